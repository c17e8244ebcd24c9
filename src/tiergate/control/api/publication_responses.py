"""Publish for a request, or preview for a dry run, and answer with the result.

`If-Match` can require what was reviewed: the entity tag of a dry run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from tiergate.admin import publishing
from tiergate.admin.loss_gate import parse_loss_token
from tiergate.admin.publication_views import Members, result_data
from tiergate.control.api.request import Response
from tiergate.publish.review_tag import ReviewTags, is_review_tag

if TYPE_CHECKING:
    from collections.abc import Callable

    from tiergate.admin.loss_gate import AcceptLoss
    from tiergate.admin.publishing import PublicationRequest
    from tiergate.control.api.request import AdminRequest
    from tiergate.publish.publication_stages import PublishResult
    from tiergate.publish.publisher import Publisher
    from tiergate.store import WriteUnit


class PublicationBody(Protocol):
    """The members that the bodies of publications share."""

    @property
    def accept_loss(self) -> AcceptLoss:
        """The token of the accepted loss, or `False`."""

    @property
    def dry_run(self) -> bool:
        """Whether to preview only."""


def publication_response(
    publisher: Publisher,
    request: AdminRequest,
    wanted: PublicationRequest,
    reviewed: ReviewTags | None,
    body: PublicationBody | None = None,
) -> Response:
    """Publish once for an idempotency key, or preview; raises as `publishing.publish`, and BodyError for the token."""
    actor, accepted = request.actor, "" if body is None else parse_loss_token(body.accept_loss)
    if body is not None and body.dry_run:
        return preview_response(publishing.preview(actor, publisher, wanted))

    def run(work: Callable[[WriteUnit], PublishResult]) -> Response:
        return request.change(lambda unit: _result_response(request, work(unit)))

    return publishing.publish(
        actor, publisher, wanted, run, accepted_loss=accepted, reviewed=reviewed, replay=request.replayed
    )


def preview_response(data: Members) -> Response:
    """Answer with a preview; its entity tag is the review tag."""
    answer = Response.json(data)
    return Response(200, answer.body, {**answer.headers, "etag": str(data["etag"])})


def reviewed_by(request: AdminRequest) -> ReviewTags | None:
    """Return what the caller reviewed (`If-Match`), or `None`."""
    tags = request.entity_tags
    return None if tags is None else ReviewTags(tags)


def dry_run_reviewed_by(request: AdminRequest) -> ReviewTags | None:
    """Return what the caller reviewed if `If-Match` has the tag of a dry run, not that of an item or a feature."""
    tags = request.entity_tags or ()
    return ReviewTags(tags) if any(is_review_tag(tag) for tag in tags) else None


def _result_response(request: AdminRequest, result: PublishResult) -> Response:
    data = result_data(request.actor, result)
    if result.is_new:
        return Response.json(data, 201, location=f"/v1/publications/{result.sequence}")
    return Response.json(data)
