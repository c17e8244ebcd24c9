"""Items of the working catalog and their published versions: list, read, create, patch, delete them.

An item's JSON text is its entry in a catalog file, without versions and rollouts, which publishing makes. What the next
version gives is its draft (`drafts`).

Use cases raise `NotFoundError` if the item does not exist, `PreconditionError` if it has another version, `BodyError`
if the text is not an item, `ForbiddenError` if the actor may not edit the item or its draft, and `ConflictError` if
what is published, or what uses the item, does not allow the change.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from msgspec.structs import replace

from tiergate.admin.catalog_edits import audit_item, reject_conflicts
from tiergate.admin.results import Data, Page, View
from tiergate.catalog import (
    apply_merge_patch,
    check_draft,
    definition_data,
    entitlements_data,
    item_head_data,
    read_item_body,
    rollout_data,
)
from tiergate.errors import ConflictError
from tiergate.model import ItemStatus, format_instant
from tiergate.naming import item_ref
from tiergate.permissions import Action, Resource
from tiergate.publish.published_state import is_pending_draft
from tiergate.store import items as stored_items
from tiergate.store.features import lock_catalog, read_features
from tiergate.store.items import ItemFilter, StoredItem, StoredVersion, find_item, find_version, read_items
from tiergate.store.references import describe_item_references, other_subscription_with_item
from tiergate.store.working_catalog import delete_items

if TYPE_CHECKING:
    from tiergate.admin.actor import Actor
    from tiergate.admin.precondition import Precondition
    from tiergate.model import Item
    from tiergate.store import ReadUnit, WriteUnit


def list_items(unit: ReadUnit, wanted: ItemFilter, after: str | None, limit: int) -> Page:
    """List items in the order of their ids, from the one after `after` on."""
    rows = stored_items.list_items(unit, wanted, after, limit + 1, partial(has_draft, unit))
    page = rows[:limit]
    return Page([item_view(unit, row) for row in page], page[-1].item.id if len(rows) > limit else None)


def get_item(unit: ReadUnit, id_: str) -> View:
    """Read an item."""
    return item_view(unit, find_item(unit, id_))


def create_item(actor: Actor, unit: WriteUnit, text: bytes) -> View:
    """Create an item from its JSON text, with or without a draft."""
    lock_catalog(unit)
    features = read_features(unit)
    read = read_item_body(text, features, _items(unit))
    item, draft = read.item, read.draft
    resource = Resource.item(item.id, item.private_to or None)
    actor.require(Action.EDIT_ITEM, resource)
    _reject_other_kind(unit, item)
    if draft is not None:
        actor.require(Action.EDIT_DRAFT, resource)
        reject_conflicts(check_draft(draft, (), features))
    stored = stored_items.add_item(unit, item, draft)
    given: Data = {} if draft is None else {"entitlements": entitlements_data(draft, features)}
    audit_item(unit, "item.created", item, after=item_head_data(item) | given)
    return item_view(unit, stored)


def patch_item(actor: Actor, unit: WriteUnit, id_: str, patch: bytes, expected: Precondition) -> View:
    """Change an item by a JSON merge patch (RFC 7396)."""
    before = lock_item(unit, id_, expected)
    text = apply_merge_patch(patch, item_head_data(before.item))
    features = read_features(unit) if '"service_levels"' in text else {}  # nothing else of an item names features
    item = read_item_body(text, features, _items(unit), {"id": id_}, with_draft=False).item
    actor.require(Action.EDIT_ITEM, Resource.item(id_, item.private_to or None))
    _reject_change(unit, before, item)
    return _replace(unit, before, item, "item.edited")


def archive_item(unit: WriteUnit, id_: str, expected: Precondition) -> View:
    """Archive an item: its customers keep it, and nobody can get it. Takes effect immediately."""
    return _move(unit, id_, expected, ItemStatus.ARCHIVED, "item.archived")


def activate_item(unit: WriteUnit, id_: str, expected: Precondition) -> View:
    """Activate an item that is a draft or archived."""
    return _move(unit, id_, expected, ItemStatus.ACTIVE, "item.activated")


def delete_item(unit: WriteUnit, id_: str, expected: Precondition) -> None:
    """Delete an item that no subscription has and no other item or ladder names. Its published versions stay."""
    item = lock_item(unit, id_, expected).item
    users = [
        *describe_item_references(unit, id_),
        *(
            f"the item `{other.id}`"
            for other in _items(unit).values()
            if id_ in (*other.available_for, *other.depends_on, *other.excludes)
        ),
        *(f"the ladder `{ladder.id}`" for ladder in unit.published.catalog.ladders if id_ in ladder.plans),
    ]
    if users:
        raise ConflictError("item-in-use", f"`{id_}` is in use, by {', '.join(users)}")
    delete_items(unit.session, [id_])
    audit_item(unit, "item.deleted", item, before=item_head_data(item))


def list_versions(unit: ReadUnit, id_: str, below: int | None, limit: int) -> tuple[list[Data], str | None]:
    """List the published versions of an item without what they give, latest first, and what the next page is below."""
    find_item(unit, id_)
    rows = stored_items.list_versions(unit, id_, below, limit + 1)
    page = rows[:limit]
    following = str(page[-1].definition.version) if len(rows) > limit else None
    return [_version_data(row) for row in page], following


def get_version(unit: ReadUnit, id_: str, version: str) -> Data:
    """Read a published version of an item: what it gives, and when it was published."""
    find_item(unit, id_)
    stored = find_version(unit, id_, version)
    features = unit.published_at(stored.publication).catalog.features
    return _version_data(stored) | definition_data(stored.definition, features)


def lock_item(unit: WriteUnit, id_: str, expected: Precondition) -> StoredItem:
    """Lock the catalog, and return an item with the expected version."""
    lock_catalog(unit)
    stored = find_item(unit, id_)
    expected.check("item", id_, stored.stamp.etag)
    return stored


def has_draft(unit: ReadUnit, stored: StoredItem) -> bool:
    """Return whether an item has a draft that differs from what it gives now."""
    if stored.draft is None:
        return False
    return is_pending_draft(stored.draft, unit.published.catalog.items.get(stored.item.id), unit.now)


def item_view(unit: ReadUnit, stored: StoredItem) -> View:
    """Return an item as the API shows it: in the form of the files without versions, and what the store knows."""
    data = item_head_data(stored.item)
    data["rollouts"] = [rollout_data(rollout) for rollout in stored.item.rollouts]
    data["newest_version"] = stored.newest
    data["has_draft"] = has_draft(unit, stored)
    return View(data, stored.stamp)


def _move(unit: WriteUnit, id_: str, expected: Precondition, status: ItemStatus, action: str) -> View:
    before = lock_item(unit, id_, expected)
    return _replace(unit, before, replace(before.item, status=status), action)


def _replace(unit: WriteUnit, before: StoredItem, item: Item, action: str) -> View:
    after = stored_items.replace_item(unit, before, item, before.draft)
    if after != before:
        audit_item(unit, action, item, item_head_data(before.item), item_head_data(item))
    return item_view(unit, after)


def _reject_change(unit: ReadUnit, before: StoredItem, item: Item) -> None:
    old = before.item
    if item.kind is not old.kind and before.newest:
        detail = f"`{item_ref(old.kind, old.id)}` is published: its kind cannot change"
        raise ConflictError("kind-published", detail)
    if item.status is ItemStatus.DRAFT and old.status is not ItemStatus.DRAFT and before.newest:
        raise ConflictError(
            "item-published", f"`{old.id}` is published and cannot be a draft again: archive it instead"
        )
    if item.private_to not in ("", old.private_to):
        other = other_subscription_with_item(unit, item.id, item.private_to)
        if other is not None:
            detail = f"`{item.id}` cannot be private to `{item.private_to}`: the subscription `{other}` has it"
            raise ConflictError("item-held", detail)


def _reject_other_kind(unit: ReadUnit, item: Item) -> None:
    """Reject another kind for a published id: past versions and publications can become active again."""
    for stored in stored_items.list_versions(unit, item.id, None, 1):
        published = unit.published_at(stored.publication).catalog.items.get(item.id)
        if published is not None and published.kind is not item.kind:
            kind = published.kind
            detail = f"`{item.id}` was published as a {kind}, and an item's id keeps its kind forever: \
choose another id, or make it a {kind} again"
            raise ConflictError("kind-published", detail)


def _items(unit: ReadUnit) -> dict[str, Item]:
    return {id_: stored.item for id_, stored in read_items(unit).items()}


def _version_data(stored: StoredVersion) -> Data:
    return {
        "version": stored.definition.version,
        "publication": stored.publication,
        "published_at": format_instant(stored.published_at),
    }
