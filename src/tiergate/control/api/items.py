"""The endpoints of items and their published versions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tiergate.admin import items
from tiergate.control.api.bodies import MERGE_PATCH
from tiergate.control.api.parameters import enum_parameter, flag_parameter
from tiergate.control.api.request import Response
from tiergate.control.api.responses import changing, page_response, reading, written_response
from tiergate.control.api.router import Endpoint
from tiergate.errors import RequestError
from tiergate.model import ItemKind, ItemStatus
from tiergate.permissions import Action, Resource
from tiergate.store.items import ItemFilter, owner_of

if TYPE_CHECKING:
    from tiergate.control.api.request import AdminRequest

_ALL: Final = "/v1/items"
_PATH: Final = f"{_ALL}/{{id}}"
_MAX_BODY: Final = 4 * 2**20  # the entitlements of 10,000 features


def endpoints() -> list[Endpoint]:
    """Return the routes."""
    edit, catalog = Action.EDIT_ITEM, Resource.catalog()
    searched = ("tag", "text", "kind", "private_to", "has_draft", "status")
    return [
        Endpoint("GET", _ALL, Action.VIEW, list_items, catalog, query=searched, paged=True),
        Endpoint("POST", _ALL, edit, create_item, Resource.item("*"), max_body=_MAX_BODY),
        Endpoint("GET", _PATH, Action.VIEW, reading(items.get_item), the_item),
        Endpoint("PATCH", _PATH, edit, changing(items.patch_item, with_actor=True), the_item, media_types=MERGE_PATCH),
        Endpoint("DELETE", _PATH, edit, changing(items.delete_item), the_item),
        Endpoint("POST", f"{_PATH}/archive", edit, changing(items.archive_item), the_item),
        Endpoint("POST", f"{_PATH}/activate", edit, changing(items.activate_item), the_item),
        Endpoint("GET", f"{_PATH}/versions", Action.VIEW, list_versions, the_item, paged=True),
        Endpoint("GET", f"{_PATH}/versions/{{version}}", Action.VIEW, reading(items.get_version), the_item),
    ]


def the_item(request: AdminRequest) -> Resource:
    """Return the item of the path. The handler reports one that does not exist."""
    id_ = request.params["id"]
    return Resource.item(id_, request.read(lambda unit: owner_of(unit, id_)))


def list_items(request: AdminRequest) -> Response:
    """List items, by id."""
    wanted = ItemFilter(
        request.query.get("tag"),
        request.query.get("text"),
        enum_parameter(request, "kind", ItemKind),
        request.query.get("private_to"),
        flag_parameter(request, "has_draft"),
        enum_parameter(request, "status", ItemStatus),
    )
    return page_response(request.read(lambda unit: items.list_items(unit, wanted, request.cursor, request.limit)))


def create_item(request: AdminRequest) -> Response:
    """Create an item, with or without a draft."""
    return request.change(lambda unit: written_response(items.create_item(request.actor, unit, request.body), _ALL))


def list_versions(request: AdminRequest) -> Response:
    """List the published versions of an item, latest first, without their entitlements."""
    cursor = request.cursor
    if cursor is not None and not (cursor.isascii() and cursor.isdigit()):
        raise RequestError(400, "invalid request", "`cursor` is not one that a list gave out")
    id_, below = request.params["id"], None if cursor is None else int(cursor)
    return Response.page(*request.read(lambda unit: items.list_versions(unit, id_, below, request.limit)))
