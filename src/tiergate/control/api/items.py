"""The items of the working catalog, and what was published of them.

An item's body is its entry in a catalog file, without versions and rollouts: those come about by publishing. What it
will give next, its draft, is edited by `drafts`.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from tiergate.catalog import (
    apply_merge_patch,
    check_draft,
    definition_data,
    entitlements_data,
    item_head_data,
    read_item_body,
    rollout_data,
)
from tiergate.control.api.bodies import MERGE_PATCH
from tiergate.control.api.request import Answer
from tiergate.control.api.router import Endpoint
from tiergate.control.api.working_catalog import choice, flag, refuse_any, stamped, unchanged
from tiergate.errors import ConflictError, RequestError
from tiergate.model import ItemKind, ItemStatus, format_instant
from tiergate.naming import item_ref
from tiergate.permissions import Action, Resource
from tiergate.publish.published_state import is_pending_draft
from tiergate.store.features import lock_catalog, read_features
from tiergate.store.items import (
    ItemFilter,
    add_item,
    find_item,
    find_version,
    list_items,
    list_versions,
    owner_of,
    read_items,
    remove_item,
    replace_item,
)
from tiergate.store.references import held_by_others, item_uses

if TYPE_CHECKING:
    from tiergate.control.api.request import AdminRequest
    from tiergate.control.api.working_catalog import Data
    from tiergate.model import Item
    from tiergate.store import ReadUnit, WriteUnit
    from tiergate.store.items import StoredItem, StoredVersion

_PATH: Final = "/v1/items/{id}"
_MAX_BODY: Final = 4 * 2**20  # the entitlements of 10,000 features


def endpoints() -> list[Endpoint]:
    """The routes of items and their versions."""
    return [
        Endpoint(
            "GET",
            "/v1/items",
            Action.VIEW,
            list_all,
            Resource.catalog(),
            query=("tag", "text", "kind", "private_to", "has_draft", "status"),
            paged=True,
        ),
        Endpoint("POST", "/v1/items", Action.EDIT_ITEM, create, Resource.item("*"), max_body=_MAX_BODY),
        Endpoint("GET", _PATH, Action.VIEW, show, item_resource),
        Endpoint("PATCH", _PATH, Action.EDIT_ITEM, edit, item_resource, media_types=MERGE_PATCH),
        Endpoint("DELETE", _PATH, Action.EDIT_ITEM, delete, item_resource),
        Endpoint("POST", f"{_PATH}/archive", Action.EDIT_ITEM, archive, item_resource),
        Endpoint("POST", f"{_PATH}/activate", Action.EDIT_ITEM, activate, item_resource),
        Endpoint("GET", f"{_PATH}/versions", Action.VIEW, list_all_versions, item_resource, paged=True),
        Endpoint("GET", f"{_PATH}/versions/{{version}}", Action.VIEW, show_version, item_resource),
    ]


def item_resource(request: AdminRequest) -> Resource:
    """The item of the path; of one that does not exist the handler says so."""
    id_ = request.params["id"]
    return Resource.item(id_, request.read(lambda unit: owner_of(unit, id_)))


def has_draft(unit: ReadUnit, stored: StoredItem) -> bool:
    """Say whether an item has a draft that is other than what the item gives now: whether one is pending."""
    if stored.draft is None:
        return False
    return is_pending_draft(stored.draft, unit.published.catalog.items.get(stored.item.id), unit.now)


def item_answer(unit: ReadUnit, stored: StoredItem) -> Data:
    """An item as it is answered: the file's form without versions, and what the store knows of it."""
    data = item_head_data(stored.item)
    data["rollouts"] = [rollout_data(rollout) for rollout in stored.item.rollouts]
    data["newest_version"] = stored.newest
    data["has_draft"] = has_draft(unit, stored)
    return data | stamped(stored.stamp)


def list_all(request: AdminRequest) -> Answer:
    """List items, by id."""
    wanted = ItemFilter(
        request.query.get("tag"),
        request.query.get("text"),
        choice(request, "kind", ItemKind),
        request.query.get("private_to"),
        flag(request, "has_draft"),
        choice(request, "status", ItemStatus),
    )

    def work(unit: ReadUnit) -> Answer:
        found = list_items(unit, wanted, request.cursor, request.limit + 1, partial(has_draft, unit))
        page = found[: request.limit]
        cursor = page[-1].item.id if len(found) > len(page) else None
        return Answer.page([item_answer(unit, stored) for stored in page], cursor)

    return request.read(work)


def show(request: AdminRequest) -> Answer:
    """Show an item."""

    def work(unit: ReadUnit) -> Answer:
        stored = find_item(unit, request.params["id"])
        return unchanged(request, stored.stamp) or _answer(unit, stored)

    return request.read(work)


def create(request: AdminRequest) -> Answer:
    """Create an item, with a draft or without."""

    def work(unit: WriteUnit) -> Answer:
        lock_catalog(unit)
        features = read_features(unit)
        read = read_item_body(request.body, features, _heads(unit))
        item, draft = read.item, read.draft
        resource = Resource.item(item.id, item.private_to or None)
        request.require(Action.EDIT_ITEM, resource)
        _refuse_other_kind(unit, item)
        if draft is not None:
            request.require(Action.EDIT_DRAFT, resource)
            refuse_any(check_draft(draft, (), features))
        stored = add_item(unit, item, draft)
        unit.audit(
            "item.created",
            "item",
            item.id,
            after=item_head_data(item)
            | ({} if draft is None else {"entitlements": entitlements_data(draft, features)}),
            customer=item.private_to or None,
        )
        return _answer(unit, stored, 201, location=f"/v1/items/{item.id}")

    return request.change(work)


def edit(request: AdminRequest) -> Answer:
    """Edit what is said of an item, by a JSON Merge Patch."""

    def work(unit: WriteUnit) -> Answer:
        before = locked_item(request, unit)
        old = before.item
        body = apply_merge_patch(request.body, item_head_data(old))
        item = read_item_body(body, {}, _heads(unit), {"id": old.id}, with_draft=False).item
        request.require(Action.EDIT_ITEM, Resource.item(item.id, item.private_to or None))
        _refuse_change(unit, before, item)
        after = replace_item(unit, before, item, before.draft)
        if after != before:
            said = {"before": item_head_data(old), "after": item_head_data(item)}
            unit.audit("item.edited", "item", item.id, **said, customer=item.private_to or None)
        return _answer(unit, after)

    return request.change(work)


def archive(request: AdminRequest) -> Answer:
    """Archive an item, at once: those who have it keep it, and nobody new gets it."""
    return _move(request, ItemStatus.ARCHIVED, "item.archived")


def activate(request: AdminRequest) -> Answer:
    """Activate an item that is a draft or archived. A draft is given once it is published."""
    return _move(request, ItemStatus.ACTIVE, "item.activated")


def _move(request: AdminRequest, status: ItemStatus, action: str) -> Answer:
    def work(unit: WriteUnit) -> Answer:
        before = locked_item(request, unit)
        item = replace(before.item, status=status)
        after = replace_item(unit, before, item, before.draft)
        if after != before:
            said = {"before": item_head_data(before.item), "after": item_head_data(item)}
            unit.audit(action, "item", item.id, **said, customer=item.private_to or None)
        return _answer(unit, after)

    return request.change(work)


def _refuse_change(unit: ReadUnit, before: StoredItem, item: Item) -> None:
    old = before.item
    if item.kind is not old.kind and before.newest:
        detail = f"`{item_ref(old.kind, old.id)}` is published: its kind does not change any more"
        raise ConflictError("kind-published", detail)
    if item.status is ItemStatus.DRAFT and old.status is not ItemStatus.DRAFT and before.newest:
        detail = f"`{old.id}` is published, and is no draft any more: archive it instead"
        raise ConflictError("item-published", detail)
    if item.private_to not in ("", old.private_to):
        other = held_by_others(unit, item.id, item.private_to)
        if other is not None:
            detail = f"`{item.id}` cannot be private to `{item.private_to}`: the subscription `{other}` holds it"
            raise ConflictError("item-held", detail)


def _refuse_other_kind(unit: ReadUnit, item: Item) -> None:
    """See that an id that was published keeps its kind: past versions and publications can come back."""
    for stored in list_versions(unit, item.id, None, 1):
        then = unit.published_at(stored.publication).catalog.items.get(item.id)
        if then is not None and then.kind is not item.kind:
            detail = f"`{item.id}` was published as a {then.kind}, and the id of an item keeps its kind for ever: \
choose another id, or make it a {then.kind} again"
            raise ConflictError("kind-published", detail)


def delete(request: AdminRequest) -> Answer:
    """Delete an item that no subscription holds and no other item or ladder names. What was published of it stays."""

    def work(unit: WriteUnit) -> Answer:
        item = locked_item(request, unit).item
        named_by = [
            f"the item `{other.id}`"
            for other in _heads(unit).values()
            if item.id in (*other.available_for, *other.depends_on, *other.excludes)
        ]
        ladders = unit.published.catalog.ladders
        named_by += [f"the ladder `{ladder.id}`" for ladder in ladders if item.id in ladder.plans]
        holders = [*item_uses(unit, item.id), *named_by]
        if holders:
            raise ConflictError("item-in-use", f"`{item.id}` is in use, by {', '.join(holders)}")
        remove_item(unit, item.id)
        unit.audit("item.deleted", "item", item.id, before=item_head_data(item), customer=item.private_to or None)
        return Answer.empty()

    return request.change(work)


def list_all_versions(request: AdminRequest) -> Answer:
    """List the published versions of an item, the newest first, without what they give."""
    cursor = request.cursor
    if cursor is not None and not (cursor.isascii() and cursor.isdigit()):
        raise RequestError(400, "invalid request", "`cursor` is not one that a list gave out")

    def work(unit: ReadUnit) -> list[StoredVersion]:
        find_item(unit, request.params["id"])
        below = None if cursor is None else int(cursor)
        return list_versions(unit, request.params["id"], below, request.limit + 1)

    found = request.read(work)
    page = found[: request.limit]
    entries = [_published(stored) for stored in page]
    return Answer.page(entries, str(page[-1].definition.version) if len(found) > len(page) else None)


def show_version(request: AdminRequest) -> Answer:
    """Show a published version of an item: what it gives, and when it came."""
    item, version = request.params["id"], request.params["version"]

    def work(unit: ReadUnit) -> Data:
        find_item(unit, item)
        stored = find_version(unit, item, version)
        features = unit.published_at(stored.publication).catalog.features
        return _published(stored) | definition_data(stored.definition, features)

    return Answer.json(request.read(work))


def locked_item(request: AdminRequest, unit: WriteUnit) -> StoredItem:
    """The item of the path, which nobody else changes until the end, as the caller has seen it.

    Raises:
        NotFoundError: there is none.
        PreconditionError: it is not as the caller has seen it.
    """
    lock_catalog(unit)
    stored = find_item(unit, request.params["id"])
    request.check_etag("item", stored.item.id, stored.stamp.etag)
    return stored


def _heads(unit: ReadUnit) -> dict[str, Item]:
    return {id_: stored.item for id_, stored in read_items(unit).items()}


def _published(stored: StoredVersion) -> Data:
    return {
        "version": stored.definition.version,
        "publication": stored.publication,
        "published_at": format_instant(stored.published_at),
    }


def _answer(unit: ReadUnit, stored: StoredItem, status: int = 200, *, location: str | None = None) -> Answer:
    return Answer.json(item_answer(unit, stored), status, etag=stored.stamp.etag, location=location)
