"""Drafts of items: what their next version gives. Publishing makes a version of a draft.

A draft begins as what the item gives new customers now, apart from shares and tags: the version it is compared with.
Its version, for optimistic locking, is that of its item.

Discarding the pending edits of an item with its draft makes it what is published; if it was deleted, it comes back.
Status and metadata stay: they do not wait for a publication.

Use cases raise `NotFoundError` if the item, feature or version does not exist, `PreconditionError` if the item has
another version, `BodyError` if the text is invalid, `ConflictError` if the draft gives what it must not, or the
published state names deleted items, and `ForbiddenError` if the actor may not edit what it discards.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from tiergate.admin.catalog_edits import audit_item, reject_conflicts
from tiergate.admin.items import lock_item
from tiergate.admin.results import Data, View
from tiergate.catalog import (
    apply_merge_patch,
    check_draft,
    entitlements_data,
    item_head_data,
    read_entitlement_body,
    read_entitlements_body,
    to_json_line,
    value_data,
)
from tiergate.errors import ConflictError, NotFoundError
from tiergate.permissions import Action, Resource
from tiergate.publish.published_state import item_head
from tiergate.publish.rollouts import current_version
from tiergate.store.features import find_feature, lock_catalog, read_features
from tiergate.store.items import find_item, find_version, list_versions, read_items, replace_item, stored_item
from tiergate.store.working_catalog import WorkingItem, write_items

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tiergate.admin.actor import Actor
    from tiergate.admin.precondition import Precondition
    from tiergate.catalog import PlainData
    from tiergate.model import Feature, Instant, Item, Value
    from tiergate.store import ReadUnit, WriteUnit
    from tiergate.store.items import StoredItem


def get_draft(unit: ReadUnit, item: str) -> View:
    """Read the draft of an item."""
    stored = find_item(unit, item)
    return _view(stored, _draft_of(stored), read_features(unit))


def put_draft(unit: WriteUnit, item: str, text: bytes, expected: Precondition) -> View:
    """Replace the draft of an item, or create it."""
    return _save(unit, lock_item(unit, item, expected), text)


def patch_draft(unit: WriteUnit, item: str, patch: bytes, expected: Precondition) -> View:
    """Change the draft of an item by a JSON merge patch (RFC 7396)."""
    stored = lock_item(unit, item, expected)
    return _save(unit, stored, apply_merge_patch(patch, {"entitlements": _current_entitlements(unit, stored)}))


def put_entitlement(unit: WriteUnit, item: str, feature_id: str, text: bytes, expected: Precondition) -> View:
    """Set what the draft of an item gives of one feature, from the JSON text of the value."""
    stored = lock_item(unit, item, expected)
    feature = find_feature(unit, feature_id).feature
    value = value_data(read_entitlement_body(text, feature), feature)
    return _save(
        unit, stored, to_json_line({"entitlements": _current_entitlements(unit, stored) | {feature.id: value}})
    )


def delete_entitlement(unit: WriteUnit, item: str, feature: str, expected: Precondition) -> View:
    """Remove one feature from the draft of an item."""
    stored = lock_item(unit, item, expected)
    entitlements = _current_entitlements(unit, stored)
    if feature not in entitlements:
        raise NotFoundError("entitlement", feature)
    del entitlements[feature]
    return _save(unit, stored, to_json_line({"entitlements": entitlements}))


def compare_draft(unit: ReadUnit, item: str, version: int = 0) -> Data:
    """Compare the draft of an item with a version; 0: the one that new customers get."""
    stored = find_item(unit, item)
    draft = entitlements_data(_draft_of(stored), read_features(unit))
    version = version or current_version(stored.item.rollouts, unit.now)
    before = _version_entitlements(unit, item, version) if version else {}
    data: Data = {"item": item}
    if version:
        data["against"] = version
    return {**data, "changes": _changes(before, draft)}


def discard_item(actor: Actor, unit: WriteUnit, id_: str, expected: Precondition) -> int | None:
    """Discard the draft and the other unpublished edits of an item; restore it if it was deleted.

    Returns its new version; `None` if it was restored.
    """
    lock_catalog(unit)
    stored, published = stored_item(unit, id_), unit.published.catalog.items.get(id_)
    if stored is None:
        _restore(actor, unit, find_item(unit, id_).item if published is None else published)
        return None
    expected.check("item", id_, stored.stamp.etag)
    item = stored.item
    if published is not None:
        item = replace(item_head(published), status=item.status, metadata=item.metadata, rollouts=item.rollouts)
    is_edited = item != stored.item
    if not is_edited and stored.draft is None:
        raise NotFoundError("draft", id_)
    if is_edited:
        actor.require(Action.EDIT_ITEM, Resource.item(id_, item.private_to or None))
        _reject_missing_items(unit, item)
    after = replace_item(unit, stored, item, None)
    before = item_head_data(stored.item) if is_edited else {}
    if stored.draft is not None:
        features = read_features(unit)
        known = {id_: value for id_, value in stored.draft.items() if id_ in features}
        before |= {"entitlements": entitlements_data(known, features)}
    action = "edit.discarded" if is_edited else "draft.deleted"
    audit_item(unit, action, item, before, item_head_data(item) if is_edited else None)
    return after.stamp.etag


def _save(unit: WriteUnit, before: StoredItem, text: str | bytes) -> View:
    features = read_features(unit)
    draft = read_entitlements_body(text, features)
    known = set(before.draft or ())
    base = _base_version(before, unit.now)
    if base:
        known |= find_version(unit, before.item.id, str(base)).definition.entitlements.keys()
    reject_conflicts(check_draft(draft, known, features))
    after = replace_item(unit, before, before.item, draft)
    if after != before:
        old = None if before.draft is None else {"entitlements": entitlements_data(before.draft, features)}
        audit_item(unit, "draft.edited", before.item, old, {"entitlements": entitlements_data(draft, features)})
    return _view(after, draft, features)


def _current_entitlements(unit: ReadUnit, stored: StoredItem) -> Data:
    """Return what the draft gives before an edit: without a draft, what the version gives that it begins with."""
    features = read_features(unit)
    base = _base_version(stored, unit.now)
    if stored.draft is not None or not base:
        return entitlements_data(stored.draft or {}, features)
    data = _version_entitlements(unit, stored.item.id, base)
    return {id_: value for id_, value in data.items() if id_ in features}  # a draft does not give deleted features


def _version_entitlements(unit: ReadUnit, item: str, version: int) -> Data:
    stored = find_version(unit, item, str(version))
    features = unit.published_at(stored.publication).catalog.features
    return entitlements_data(stored.definition.entitlements, features)


def _base_version(stored: StoredItem, now: Instant) -> int:
    """Return the version that a draft begins with; the newest if nobody gets any; 0 if there is none."""
    return current_version(stored.item.rollouts, now) or stored.newest


def _draft_of(stored: StoredItem) -> dict[str, Value]:
    if stored.draft is None:
        raise NotFoundError("draft", stored.item.id)
    return stored.draft


def _view(stored: StoredItem, draft: dict[str, Value], features: Mapping[str, Feature]) -> View:
    return View({"item": stored.item.id, "entitlements": entitlements_data(draft, features)}, stored.stamp)


def _changes(before: Data, after: Data) -> list[PlainData]:
    changes: list[PlainData] = []
    for feature in sorted(before.keys() | after.keys()):
        if feature not in before:
            changes.append({"feature": feature, "change": "added", "after": after[feature]})
        elif feature not in after:
            changes.append({"feature": feature, "change": "removed", "before": before[feature]})
        elif to_json_line(before[feature]) != to_json_line(after[feature]):  # in Python, `true` and 1 are equal
            values = {"before": before[feature], "after": after[feature]}
            changes.append({"feature": feature, "change": "changed", **values})
    return changes


def _restore(actor: Actor, unit: WriteUnit, published: Item) -> None:
    actor.require(Action.EDIT_ITEM, Resource.item(published.id, published.private_to or None))
    _reject_missing_items(unit, published)
    newest = max(it.definition.version for it in list_versions(unit, published.id, None, 1))
    write_items(unit, [WorkingItem(item_head(published), published.rollouts, None, newest, 0)])
    unit.audit("edit.discarded", "item", published.id, after=item_head_data(published))


def _reject_missing_items(unit: WriteUnit, item: Item) -> None:
    missing = {*item.available_for, *item.depends_on, *item.excludes} - read_items(unit).keys()
    if missing:
        listed = ", ".join(f"`{id_}`" for id_ in sorted(missing))
        detail = f"`{item.id}` would name {listed} again, which is deleted: discard that deletion first"
        raise ConflictError("unknown-item", detail)
