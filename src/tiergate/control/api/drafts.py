"""The endpoints of the drafts of items."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tiergate.admin import discards, drafts
from tiergate.control.api.bodies import MERGE_PATCH
from tiergate.control.api.items import the_item
from tiergate.control.api.request import Response
from tiergate.control.api.responses import change_response, expected_version, view_response
from tiergate.control.api.router import Endpoint
from tiergate.permissions import Action

if TYPE_CHECKING:
    from tiergate.control.api.request import AdminRequest

_PATH: Final = "/v1/items/{id}/draft"
_ENTITLEMENT: Final = f"{_PATH}/entitlements/{{feature}}"
_MAX_BODY: Final = 4 * 2**20  # the entitlements of 10,000 features


def endpoints() -> list[Endpoint]:
    """Return the routes."""
    edit = Action.EDIT_DRAFT
    return [
        Endpoint("GET", _PATH, Action.VIEW, get_draft, the_item),
        Endpoint("PUT", _PATH, edit, put_draft, the_item, max_body=_MAX_BODY),
        Endpoint("PATCH", _PATH, edit, patch_draft, the_item, max_body=_MAX_BODY, media_types=MERGE_PATCH),
        Endpoint("DELETE", _PATH, edit, discard_item, the_item),
        Endpoint("PUT", _ENTITLEMENT, edit, put_entitlement, the_item),
        Endpoint("DELETE", _ENTITLEMENT, edit, delete_entitlement, the_item),
        Endpoint("GET", f"{_PATH}/diff", Action.VIEW, compare_draft, the_item, query=("against",)),
    ]


def get_draft(request: AdminRequest) -> Response:
    """Show the draft of an item."""
    return view_response(request, request.read(lambda unit: drafts.get_draft(unit, request.params["id"])))


def put_draft(request: AdminRequest) -> Response:
    """Replace the draft of an item."""
    return change_response(request, drafts.put_draft, request.params["id"], request.body, expected_version(request))


def patch_draft(request: AdminRequest) -> Response:
    """Edit the draft of an item by a JSON merge patch."""
    return change_response(request, drafts.patch_draft, request.params["id"], request.body, expected_version(request))


def discard_item(request: AdminRequest) -> Response:
    """Discard the draft and the other unpublished edits of an item; restore it if it was deleted."""
    id_, expected = request.params["id"], expected_version(request)
    return request.change(lambda unit: Response.empty(etag=discards.discard_item(request.actor, unit, id_, expected)))


def put_entitlement(request: AdminRequest) -> Response:
    """Set what the draft of an item gives of one feature; the body is the value."""
    return change_response(
        request,
        drafts.put_entitlement,
        request.params["id"],
        request.params["feature"],
        request.body,
        expected_version(request),
    )


def delete_entitlement(request: AdminRequest) -> Response:
    """Remove one feature from the draft of an item."""
    return change_response(
        request, drafts.delete_entitlement, request.params["id"], request.params["feature"], expected_version(request)
    )


def compare_draft(request: AdminRequest) -> Response:
    """Compare the draft of an item with the version that new customers get, or with the version `against`."""
    id_, version = request.params["id"], request.number("against", 0, least=1, most=999_999_999)
    return Response.json(request.read(lambda unit: drafts.compare_draft(unit, id_, version)))
