"""Answer with what use cases return: resources with their version and dates, pages of them, results of publications.

`reading` and `changing` make whole handlers of use cases, whose docstrings are the summaries of the routes. `If-Match`
of a publication can require what was reviewed: the entity tag of a dry run.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from tiergate.admin import publishing
from tiergate.admin.loss_gate import parse_loss_token
from tiergate.admin.publication_views import Members, result_data
from tiergate.admin.results import View
from tiergate.control.api.request import Response, etag_text
from tiergate.model import format_instant
from tiergate.publish.review_tag import ReviewTags, is_review_tag

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tiergate.admin.loss_gate import AcceptLoss
    from tiergate.admin.precondition import Precondition
    from tiergate.admin.publishing import PublicationRequest
    from tiergate.admin.results import Data, Page
    from tiergate.control.api.request import AdminRequest
    from tiergate.control.api.router import Handler
    from tiergate.publish.publication_stages import PublishResult
    from tiergate.publish.publisher import Publisher
    from tiergate.store import WriteUnit
    from tiergate.store.subjects import Stamp


def stamp_data(stamp: Stamp) -> Data:
    """Return the version and the dates of a stored resource, as members of an answer."""
    return {
        "etag": etag_text(stamp.etag),
        "created_at": format_instant(stamp.created_at),
        "updated_at": format_instant(stamp.updated_at),
    }


def view_data(view: View) -> Data:
    """Return the members of an answer: the resource, its version and its dates."""
    return view.data | stamp_data(view.stamp)


def view_response(request: AdminRequest, view: View) -> Response:
    """Answer with a resource, or with 304 if the caller has this version (`If-None-Match`)."""
    if not view.changed_since_stamp and request.is_fresh(view.stamp.etag):
        return Response(304, headers={"etag": etag_text(view.stamp.etag)})
    return Response.json(view_data(view), etag=view.stamp.etag)


def written_response(view: View, collection: str = "") -> Response:
    """Answer with a resource that was written; `collection`: the path of the collection it was added to."""
    if collection:
        return Response.json(view_data(view), 201, etag=view.stamp.etag, location=f"{collection}/{view.data['id']}")
    return Response.json(view_data(view), etag=view.stamp.etag)


def reading(use_case: Callable[..., View | Mapping[str, object]]) -> Handler:
    """Return the handler of a use case that reads: it takes a unit and the parameters of the path."""

    def handler(request: AdminRequest) -> Response:
        result = request.read(lambda unit: use_case(unit, *request.params.values()))
        return view_response(request, result) if isinstance(result, View) else Response.json(result)

    handler.__doc__ = use_case.__doc__
    return handler


def changing(use_case: Callable[..., View | int | None], *, with_actor: bool = False) -> Handler:
    """Return the handler of a use case that changes a resource of the expected version.

    It takes the actor if `with_actor`, a unit, the parameters of the path, the body of `PUT` and `PATCH`, and the
    expected version. It returns the resource; or its new version or nothing, if there is nothing to show.
    """

    def handler(request: AdminRequest) -> Response:
        actor = (request.actor,) if with_actor else ()
        body = (request.body,) if request.method in {"PUT", "PATCH"} else ()
        args = (*request.params.values(), *body, expected_version(request))

        def work(unit: WriteUnit) -> Response:
            result = use_case(*actor, unit, *args)
            return written_response(result) if isinstance(result, View) else Response.empty(etag=result)

        return request.change(work)

    handler.__doc__ = use_case.__doc__
    return handler


def page_response(page: Page) -> Response:
    """Answer with one page of a list."""
    return Response.page([view_data(view) for view in page.items], page.next)


def expected_version(request: AdminRequest) -> Precondition:
    """Return the version that `If-Match` expects of a resource that exists; `If-None-Match` does not matter."""
    return replace(request.precondition, must_not_exist=False)


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
