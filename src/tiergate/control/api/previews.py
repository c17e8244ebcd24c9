"""What a publication would do to customers, over HTTP, before it is one: each effect as a line, as it is found.

The body is one of publishing or of applying; nothing is changed. The answer is lines of JSON: how far it is
(`progress`), every single effect (`effect`) for callers who may see all customers, and last what the publication
changes with the tally (`outcome`). An answer without that last line is not whole.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from tiergate.admin.rollout_requests import read_instant
from tiergate.control.api.apply_export import ApplyBody, applied
from tiergate.control.api.bodies import decode_parts
from tiergate.control.api.publish_responses import preview_data, tally_data
from tiergate.control.api.publishing import PublishBody, publish_planner
from tiergate.control.api.request import Answer
from tiergate.control.api.router import Endpoint
from tiergate.errors import BodyError, BodyProblem
from tiergate.permissions import Action, Resource
from tiergate.publish.apply import plan_apply

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tiergate.control.api.request import AdminRequest
    from tiergate.publish.publication_plan import Planner
    from tiergate.publish.publish_result import PublishPreview
    from tiergate.publish.publisher import Publisher

_MAX_BODY: Final = 64 * 2**20
_LINES: Final = "application/x-ndjson"

_encode = msgspec.json.Encoder(decimal_format="number").encode


class _PreviewBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    publish: PublishBody | None = None
    apply: ApplyBody | None = None
    at: str | None = None


def endpoints(publisher: Publisher) -> list[Endpoint]:
    """What there is about previews."""

    def preview(request: AdminRequest) -> Answer:
        """Say whom publishing, or applying a file, would give something or take it from; it changes nothing."""
        body = decode_parts(request, _PreviewBody) if request.body else _PreviewBody()
        at = read_instant(body.at, "/at")
        found = publisher.preview(_planner(request, body), estimates=True, at=at)
        return Answer.stream(_lines(publisher, request, found, named=at is None), _LINES)

    return [Endpoint("POST", "/v1/preview", Action.PREVIEW, preview, Resource.catalog(), max_body=_MAX_BODY)]


def _planner(request: AdminRequest, body: _PreviewBody) -> Planner:
    if body.apply is not None and body.publish is not None:
        raise BodyError([BodyProblem("/apply", "wrong-value", "either `publish` or `apply` is previewed, not both")])
    if body.apply is not None:
        return plan_apply(applied(request, body.apply))
    return publish_planner(request, body.publish or PublishBody(), "/publish")


def _lines(publisher: Publisher, request: AdminRequest, found: PublishPreview, *, named: bool) -> Iterator[bytes]:
    """The lines; `named`: with the token of the loss, which is what a publication would take from now on."""
    outcome = preview_data(request, found)
    if found.estimate is not None:
        for line in found.estimate.lines(publisher.store, listing=request.may(Action.VIEW, Resource.store())):
            if "impact" in line:
                outcome |= tally_data(request, line["impact"], line["loss"] if named else "")
            else:
                yield _encode(line) + b"\n"
    yield _encode({"outcome": outcome}) + b"\n"
