"""Answer with the values that use cases return: resources with their version and dates, and pages of them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Concatenate, ParamSpec

from tiergate.control.api.request import Response, etag_text
from tiergate.model import format_instant

if TYPE_CHECKING:
    from collections.abc import Callable

    from tiergate.admin.precondition import Precondition
    from tiergate.admin.results import Data, Page, View
    from tiergate.control.api.request import AdminRequest
    from tiergate.store import WriteUnit
    from tiergate.store.subjects import Stamp

P = ParamSpec("P")


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


def change_response(
    request: AdminRequest, use_case: Callable[Concatenate[WriteUnit, P], View | None], *args: P.args, **kwargs: P.kwargs
) -> Response:
    """Run a use case in one transaction, and answer with the resource, or with nothing."""

    def work(unit: WriteUnit) -> Response:
        view = use_case(unit, *args, **kwargs)
        return Response.empty() if view is None else written_response(view)

    return request.change(work)


def page_response(page: Page) -> Response:
    """Answer with one page of a list."""
    return Response.page([view_data(view) for view in page.items], page.next)


def expected_version(request: AdminRequest) -> Precondition:
    """Return the version that `If-Match` expects of a resource that exists; `If-None-Match` does not matter."""
    return replace(request.precondition, must_not_exist=False)
