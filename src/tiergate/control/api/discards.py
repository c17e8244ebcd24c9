"""Discarding what is edited and not published: a feature, or an item with its draft, becomes what is published.

What was deleted and is still published comes back. An item's status and metadata stay: they do not wait for being
published, and have requests of their own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from tiergate.catalog import ValueUse, check_feature_change, entitlements_data, feature_data, item_head_data
from tiergate.control.api.request import Answer
from tiergate.control.api.working_catalog import refuse_any
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
from tiergate.store.references import feature_uses
from tiergate.store.working_catalog import WorkingItem, write_items

if TYPE_CHECKING:
    from tiergate.control.api.request import AdminRequest
    from tiergate.control.api.working_catalog import Data
    from tiergate.model import Item
    from tiergate.store import WriteUnit
    from tiergate.store.items import StoredItem


def discard_feature(request: AdminRequest) -> Answer:
    """Discard what is edited of a feature and not published; one that was deleted comes back."""
    id_ = request.params["id"]

    def work(unit: WriteUnit) -> Answer:
        lock_catalog(unit)
        stored, published = stored_feature(unit, id_), unit.published.catalog.features.get(id_)
        if published is None:
            find_feature(unit, id_)
            detail = f"the feature `{id_}` is not published, so there is nothing to go back to: delete it instead"
            raise ConflictError("not-published", detail)
        if stored is None:
            after = add_feature(unit, published)
            unit.audit("edit.discarded", "feature", id_, after=feature_data(published))
            return Answer.empty(etag=after.stamp.etag)
        request.check_etag("feature", id_, stored.stamp.etag)
        if stored.feature == published:
            raise NotFoundError("draft", id_)
        uses = [
            ValueUse(it.value, it.holders, it.count, is_bound=it.is_bound) for it in feature_uses(unit, stored.feature)
        ]
        refusals = check_feature_change(stored.feature, published, uses)
        refuse_any([it for it in refusals if it.code != "status-move"])  # what was never published undoes itself
        after = replace_feature(unit, stored, published)
        before = feature_data(stored.feature)
        unit.audit("edit.discarded", "feature", id_, before=before, after=feature_data(published))
        return Answer.empty(etag=after.stamp.etag)

    return request.change(work)


def discard_item(request: AdminRequest) -> Answer:
    """Discard the draft of an item, and what else of it is edited and not published; a deleted one comes back."""
    id_ = request.params["id"]

    def work(unit: WriteUnit) -> Answer:
        lock_catalog(unit)
        stored, published = stored_item(unit, id_), unit.published.catalog.items.get(id_)
        if stored is None:
            return _restored(request, unit, find_item(unit, id_).item if published is None else published)
        request.check_etag("item", id_, stored.stamp.etag)
        item = stored.item
        if published is not None:
            item = replace(item_head(published), status=item.status, metadata=item.metadata, rollouts=item.rollouts)
        if item == stored.item and stored.draft is None:
            raise NotFoundError("draft", id_)
        if item != stored.item:
            request.require(Action.EDIT_ITEM, Resource.item(id_, item.private_to or None))
            _refuse_missing(unit, item)
        after = replace_item(unit, stored, item, None)
        action = "draft.deleted" if item == stored.item else "edit.discarded"
        before = _said(unit, stored, whole=item != stored.item)
        said = None if item == stored.item else item_head_data(item)
        unit.audit(action, "item", id_, before=before, after=said, customer=item.private_to or None)
        return Answer.empty(etag=after.stamp.etag)

    return request.change(work)


def _restored(request: AdminRequest, unit: WriteUnit, published: Item) -> Answer:
    """Bring back an item that was deleted and is still published."""
    request.require(Action.EDIT_ITEM, Resource.item(published.id, published.private_to or None))
    _refuse_missing(unit, published)
    newest = max(it.definition.version for it in list_versions(unit, published.id, None, 1))
    write_items(unit, [WorkingItem(item_head(published), published.rollouts, None, newest, 0)])
    unit.audit("edit.discarded", "item", published.id, after=item_head_data(published))
    return Answer.empty()


def _refuse_missing(unit: WriteUnit, item: Item) -> None:
    """See that the items are there that an item would name again.

    Raises:
        ConflictError: some are deleted, and that is not published.
    """
    missing = {*item.available_for, *item.depends_on, *item.excludes} - read_items(unit).keys()
    if missing:
        listed = ", ".join(f"`{id_}`" for id_ in sorted(missing))
        detail = f"`{item.id}` would name {listed} again, which is deleted: discard that deletion first"
        raise ConflictError("unknown-item", detail)


def _said(unit: WriteUnit, stored: StoredItem, *, whole: bool) -> Data:
    features = read_features(unit)
    known = {id_: value for id_, value in (stored.draft or {}).items() if id_ in features}
    draft: Data = {} if stored.draft is None else {"entitlements": entitlements_data(known, features)}
    return {**item_head_data(stored.item), **draft} if whole else draft
