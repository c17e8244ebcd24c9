"""The endpoints of catalog files: apply them as a whole, and export what is published as one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from tiergate.admin import catalog_files
from tiergate.admin.loss_gate import AcceptLoss
from tiergate.control.api.request import Response
from tiergate.control.api.request_values import decode_parts, flag_parameter
from tiergate.control.api.responses import publication_response, reviewed_by
from tiergate.control.api.router import Endpoint
from tiergate.model import Rules
from tiergate.permissions import Action, Resource

if TYPE_CHECKING:
    from tiergate.admin.publishing import PublicationRequest
    from tiergate.control.api.request import AdminRequest
    from tiergate.publish.publisher import Publisher

_MAX_BODY: Final = 64 * 2**20


class ApplyBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to apply, and the loss that is accepted."""

    catalog: msgspec.Raw
    rules: Rules | None = None
    prune: bool = False
    dry_run: bool = False
    note: str = ""
    accept_loss: AcceptLoss = False


def endpoints(publisher: Publisher) -> list[Endpoint]:
    """Return the routes."""

    def apply(request: AdminRequest) -> Response:
        """Publish what catalog files contain."""
        body = decode_parts(request, ApplyBody)
        wanted, reviewed = apply_publication(request, publisher, body), reviewed_by(request)
        return publication_response(publisher, request, wanted, reviewed, body)

    def export(request: AdminRequest) -> Response:
        """Export the published catalog as a file, and with `rules=true` the rules."""
        with_rules, with_private = (bool(flag_parameter(request, name)) for name in ("rules", "private"))
        data = catalog_files.export_files(request.actor, publisher, with_rules=with_rules, with_private=with_private)
        return Response.json(data)

    catalog = Resource.catalog()
    return [
        Endpoint("POST", "/v1/apply", Action.PREVIEW, apply, catalog, max_body=_MAX_BODY, purpose=Action.APPLY),
        Endpoint("GET", "/v1/export", Action.VIEW, export, catalog, query=("rules", "private")),
    ]


def apply_publication(request: AdminRequest, publisher: Publisher, body: ApplyBody) -> PublicationRequest:
    """Return the request to publish what a body contains; raises as `catalog_files.apply_files`."""
    content = bytes(body.catalog)
    return catalog_files.apply_files(request.actor, publisher, content, body.rules, prune=body.prune, note=body.note)
