"""The endpoints that import and export all customers and subscriptions as the lines of a subjects file (NDJSON)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tiergate.admin import imports
from tiergate.control.api.request import Response
from tiergate.control.api.router import Endpoint
from tiergate.permissions import Action, Resource

if TYPE_CHECKING:
    from tiergate.control.api.request import AdminRequest

NDJSON: Final = "application/x-ndjson"

_MAX_BODY: Final = 2**33


def endpoints() -> list[Endpoint]:
    """Return the routes."""
    everybody = Resource.customer_of("*")  # no customer: a key for some customers may not
    path, edit, ndjson = "/v1/import/subjects", Action.EDIT_CUSTOMER, (NDJSON,)
    return [
        Endpoint("POST", path, edit, import_subjects, everybody, max_body=_MAX_BODY, media_types=ndjson, spooled=True),
        Endpoint("GET", "/v1/export/subjects", Action.VIEW, export_subjects, Resource.store()),
    ]


def import_subjects(request: AdminRequest) -> Response:
    """Create or replace the customers and subscriptions of a subjects file: one JSON object a line."""
    if request.spool is None:
        raise RuntimeError("the endpoint is not `spooled`")
    result = imports.import_subjects(request.actor, request.store, request.spool)
    data = {"customers": result.customers, "subscriptions": result.subscriptions, "changed": result.changed}
    return Response.json({**data, "passed_over": result.outdated} if result.outdated else data)


def export_subjects(request: AdminRequest) -> Response:
    """Return all customers and subscriptions as the lines of a subjects file, as of one instant."""
    return Response.stream(imports.export_subjects(request.store), NDJSON)
