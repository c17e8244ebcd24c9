"""Answer with the values that use cases return: resources with their version and dates, and pages of them.

`reading` and `changing` make whole handlers of use cases, whose docstrings are the summaries of the routes.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tiergate.admin.results import View
from tiergate.control.api.request import Response, etag_text
from tiergate.model import format_instant

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tiergate.admin.precondition import Precondition
    from tiergate.admin.results import Data, Page
    from tiergate.control.api.request import AdminRequest
    from tiergate.control.api.router import Handler
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
