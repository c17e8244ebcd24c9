"""The endpoint that previews a publication, or the application of a file, as lines of JSON.

The lines are `progress`, each single `effect` for callers who may see all customers, and last the `outcome`: what
changes, with the tally. An answer without that last line is incomplete.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from tiergate.admin.publishing import stream_preview
from tiergate.admin.rollout_requests import read_instant
from tiergate.control.api.apply_export import ApplyBody, apply_publication
from tiergate.control.api.bodies import decode_parts
from tiergate.control.api.publishing import PublishBody, pending_publication
from tiergate.control.api.request import Response
from tiergate.control.api.router import Endpoint
from tiergate.errors import BodyError, BodyProblem
from tiergate.permissions import Action, Resource
from tiergate.wire.json import encode

if TYPE_CHECKING:
    from tiergate.admin.publishing import PublicationRequest
    from tiergate.control.api.request import AdminRequest
    from tiergate.publish.publisher import Publisher

_MAX_BODY: Final = 64 * 2**20
_LINES: Final = "application/x-ndjson"


class _PreviewBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    publish: PublishBody | None = None
    apply: ApplyBody | None = None
    at: str | None = None


def endpoints(publisher: Publisher) -> list[Endpoint]:
    """Return the routes."""

    def preview(request: AdminRequest) -> Response:
        """Preview what publishing, or applying a file, would change for each customer. Changes nothing."""
        body = decode_parts(request, _PreviewBody) if request.body else _PreviewBody()
        at = read_instant(body.at, "/at")
        lines = stream_preview(request.actor, publisher, _wanted(publisher, request, body), at)
        return Response.stream((encode(line) + b"\n" for line in lines), _LINES)

    return [Endpoint("POST", "/v1/preview", Action.PREVIEW, preview, Resource.catalog(), max_body=_MAX_BODY)]


def _wanted(publisher: Publisher, request: AdminRequest, body: _PreviewBody) -> PublicationRequest:
    if body.apply is not None and body.publish is not None:
        raise BodyError([BodyProblem("/apply", "wrong-value", "give either `publish` or `apply`, not both")])
    if body.apply is not None:
        return apply_publication(request, publisher, body.apply)
    return pending_publication(request, body.publish or PublishBody(), "/publish")
