"""The endpoints of items: their drafts and published versions, and the retirement of plans."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from tiergate.admin import drafts, items, plan_retirement
from tiergate.admin.loss_gate import AcceptLoss, parse_loss_token
from tiergate.control.api.request import Response
from tiergate.control.api.request_values import MERGE_PATCH, enum_list_parameter, flag_parameter, text_parameter
from tiergate.control.api.responses import changing, page_response, reading, written_response
from tiergate.control.api.router import Endpoint
from tiergate.control.api.subject_requests import read_instant, tags_parameter
from tiergate.impact.preview.subject_effects import impact_data
from tiergate.model import ItemKind, ItemStatus, format_instant
from tiergate.permissions import Action, Resource
from tiergate.store.items import ItemFilter, owner_of

if TYPE_CHECKING:
    from tiergate.control.api.request import AdminRequest

_ALL: Final = "/v1/items"
_PATH: Final = f"{_ALL}/{{id}}"
_DRAFT: Final = f"{_PATH}/draft"
_ENTITLEMENT: Final = f"{_DRAFT}/entitlements/{{feature}}"
_MOST_LISTED: Final = 100
_MAX_BODY: Final = 4 * 2**20  # the entitlements of 10,000 features


def endpoints() -> list[Endpoint]:
    """Return the routes."""
    edit, catalog = Action.EDIT_ITEM, Resource.catalog()
    edit_draft, patch_draft = Action.EDIT_DRAFT, changing(drafts.patch_draft)
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
        Endpoint("GET", _DRAFT, Action.VIEW, reading(drafts.get_draft), the_item),
        Endpoint("PUT", _DRAFT, edit_draft, changing(drafts.put_draft), the_item, max_body=_MAX_BODY),
        Endpoint("PATCH", _DRAFT, edit_draft, patch_draft, the_item, max_body=_MAX_BODY, media_types=MERGE_PATCH),
        Endpoint("DELETE", _DRAFT, edit_draft, changing(drafts.discard_item, with_actor=True), the_item),
        Endpoint("PUT", _ENTITLEMENT, edit_draft, changing(drafts.put_entitlement), the_item),
        Endpoint("DELETE", _ENTITLEMENT, edit_draft, changing(drafts.delete_entitlement), the_item),
        Endpoint("GET", f"{_DRAFT}/diff", Action.VIEW, compare_draft, the_item, query=("against",)),
        Endpoint("POST", f"{_PATH}/retire", edit, retire_plan, the_item),
    ]


def the_item(request: AdminRequest) -> Resource:
    """Return the item of the path. The handler reports one that does not exist."""
    id_ = request.params["id"]
    return Resource.item(id_, request.read(lambda unit: owner_of(unit, id_)))


def list_items(request: AdminRequest) -> Response:
    """List items, by id."""
    wanted = ItemFilter(
        tags_parameter(request),
        text_parameter(request),
        enum_list_parameter(request, "kind", ItemKind),
        request.query.get("private_to"),
        flag_parameter(request, "has_draft"),
        enum_list_parameter(request, "status", ItemStatus),
    )
    return page_response(request.read(lambda unit: items.list_items(unit, wanted, request.cursor, request.limit)))


def create_item(request: AdminRequest) -> Response:
    """Create an item, with or without a draft."""
    return request.change(lambda unit: written_response(items.create_item(request.actor, unit, request.body), _ALL))


def list_versions(request: AdminRequest) -> Response:
    """List the published versions of an item, latest first, without their entitlements."""
    id_, below = request.params["id"], request.number_cursor
    return Response.page(*request.read(lambda unit: items.list_versions(unit, id_, below, request.limit)))


def compare_draft(request: AdminRequest) -> Response:
    """Compare the draft of an item with the version that new customers get, or with the version `against`."""
    id_, version = request.params["id"], request.number("against", 0, least=1, most=999_999_999)
    return Response.json(request.read(lambda unit: drafts.compare_draft(unit, id_, version)))


class _Retirement(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    to: str
    at: str = "now"
    dry_run: bool = False
    accept_loss: AcceptLoss = False


def retire_plan(request: AdminRequest) -> Response:
    """Retire a plan: archive it, and move its subscriptions to another plan, now or at an instant; or `dry_run`."""
    body = request.decode(_Retirement)
    at = 0 if body.at == "now" else read_instant(body.at, "/at")
    wanted = plan_retirement.PlanMove(request.params["id"], body.to, at)
    result = plan_retirement.retire_plan(
        request.actor, request.store, wanted, parse_loss_token(body.accept_loss), dry_run=body.dry_run
    )
    data = {
        "item": wanted.item,
        "to": wanted.to,
        "at": format_instant(result.at),
        "subscriptions": result.subscriptions,
        "impact": impact_data(result.impact),
        "moved": result.moved,
        "left_count": len(result.kept),
        "left": [it._asdict() for it in result.kept[:_MOST_LISTED]],
    }
    if body.dry_run and result.token:
        data["accept_loss"] = result.token
    return Response.json(data)
