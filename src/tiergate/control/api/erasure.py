"""The endpoints that erase personal data."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from tiergate.admin import erasure
from tiergate.control.api.customers import the_customer
from tiergate.control.api.request import Response
from tiergate.control.api.router import Endpoint
from tiergate.permissions import Action, Resource
from tiergate.store.snapshots import snapshot_lock

if TYPE_CHECKING:
    from tiergate.control.api.request import AdminRequest
    from tiergate.store import WriteUnit


def endpoints() -> list[Endpoint]:
    """Return the routes."""
    anybody = Resource.customer_of("*")  # no customer: a key that is limited to customers may not
    return [
        Endpoint("POST", "/v1/customers/{customer}/erase", Action.ERASE_CUSTOMER, erase_customer, the_customer),
        Endpoint("POST", "/v1/authors/erase", Action.ERASE_CUSTOMER, erase_author, anybody),
    ]


class _Erasure(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    tags: bool = False


class _Author(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    author: str


def erase_customer(request: AdminRequest) -> Response:
    """Erase a person's data from a customer and its history: name, attributes, reasons, and `tags` on request."""
    id_ = request.params["customer"]
    tags = request.decode(_Erasure).tags if request.body else False

    def work(unit: WriteUnit) -> Response:
        return Response.json({"customer": id_, **erasure.erase_customer(request.actor, unit, id_, tags=tags)})

    with snapshot_lock(request.store.database):
        return request.change(work)


def erase_author(request: AdminRequest) -> Response:
    """Replace an `author` by a pseudonym in overrides, publications and the audit log."""
    author = request.decode(_Author).author
    return request.change(lambda unit: Response.json(erasure.erase_author(request.actor, unit, author)))
