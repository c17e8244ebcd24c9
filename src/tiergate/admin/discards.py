"""Discard pending edits: a feature, or an item with its draft, becomes what is published.

What was deleted and is still published comes back. An item's status and metadata stay: they do not wait for a
publication.

Use cases raise `NotFoundError` if there is no edit, `PreconditionError` if the resource has another version,
`ConflictError` if the published state is missing, or contradicts what uses it, and `ForbiddenError` if more than the
draft changes and the actor may not edit the item.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from tiergate.admin.conflicts import reject_conflicts
from tiergate.admin.features import value_uses
from tiergate.catalog import check_feature_change, entitlements_data, feature_data, item_head_data
from tiergate.errors import ConflictError, NotFoundError
from tiergate.permissions import Action, Resource
from tiergate.publish.published_state import item_head
from tiergate.store.features import (
    add_feature,
    find_feature,
    lock_catalog,
    read_features,
    replace_feature,
    stored_feature,
)
from tiergate.store.items import find_item, list_versions, read_items, replace_item, stored_item
from tiergate.store.working_catalog import WorkingItem, write_items

if TYPE_CHECKING:
    from tiergate.admin.actor import Actor
    from tiergate.admin.precondition import Precondition
    from tiergate.admin.results import Data
    from tiergate.model import Item
    from tiergate.store import WriteUnit
    from tiergate.store.items import StoredItem


def discard_feature(unit: WriteUnit, id_: str, expected: Precondition) -> int:
    """Discard the unpublished edits of a feature; restore it if it was deleted.

    Return its new version.
    """
    lock_catalog(unit)
    stored, published = stored_feature(unit, id_), unit.published.catalog.features.get(id_)
    if published is None:
        find_feature(unit, id_)
        detail = f"the feature `{id_}` is not published, so no published state can be restored: delete it instead"
        raise ConflictError("not-published", detail)
    if stored is None:
        after = add_feature(unit, published)
        unit.audit("edit.discarded", "feature", id_, after=feature_data(published))
        return after.stamp.etag
    expected.check("feature", id_, stored.stamp.etag)
    if stored.feature == published:
        raise NotFoundError("draft", id_)
    problems = check_feature_change(stored.feature, published, value_uses(unit, stored.feature))
    reject_conflicts([it for it in problems if it.code != "status-move"])  # an unpublished move can be undone
    after = replace_feature(unit, stored, published)
    before = feature_data(stored.feature)
    unit.audit("edit.discarded", "feature", id_, before=before, after=feature_data(published))
    return after.stamp.etag


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
    unit.audit(
        "edit.discarded" if is_edited else "draft.deleted",
        "item",
        id_,
        before=(item_head_data(stored.item) if is_edited else {}) | _draft_data(unit, stored),
        after=item_head_data(item) if is_edited else None,
        customer=item.private_to or None,
    )
    return after.stamp.etag


def _restore(actor: Actor, unit: WriteUnit, published: Item) -> None:
    actor.require(Action.EDIT_ITEM, Resource.item(published.id, published.private_to or None))
    _reject_missing_items(unit, published)
    newest = max(it.definition.version for it in list_versions(unit, published.id, None, 1))
    write_items(unit, [WorkingItem(item_head(published), published.rollouts, None, newest, 0)])
    unit.audit("edit.discarded", "item", published.id, after=item_head_data(published))


def _reject_missing_items(unit: WriteUnit, item: Item) -> None:
    """Reject an item that names deleted items."""
    missing = {*item.available_for, *item.depends_on, *item.excludes} - read_items(unit).keys()
    if missing:
        listed = ", ".join(f"`{id_}`" for id_ in sorted(missing))
        detail = f"`{item.id}` would name {listed} again, which is deleted: discard that deletion first"
        raise ConflictError("unknown-item", detail)


def _draft_data(unit: WriteUnit, stored: StoredItem) -> Data:
    if stored.draft is None:
        return {}
    features = read_features(unit)
    known = {id_: value for id_, value in stored.draft.items() if id_ in features}
    return {"entitlements": entitlements_data(known, features)}
