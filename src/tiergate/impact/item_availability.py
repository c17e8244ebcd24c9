"""Whether an item counts: by its status and rollouts, and by the plans and items that it requires.

An item that requires others counts only while they do, so a change of a plan affects the holders of its add-ons.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tiergate.model import AudienceType, ItemStatus

if TYPE_CHECKING:
    from tiergate.model import CatalogIndex, IndexedItem, Instant


def requirements(item: IndexedItem) -> tuple[frozenset[str], frozenset[str]]:
    """Return the plans of which one, and the items of which all, must count with an item."""
    return frozenset(item.available_for), frozenset(item.depends_on)


def always_counts(item: IndexedItem | None, now: Instant) -> bool:
    """Return whether every holder of an item has some version of it from `now` on, requirements aside."""
    return (
        item is not None
        and not _is_draft(item)
        and any(rollout.audience.type is AudienceType.EVERYBODY and rollout.start <= now for rollout in item.rollouts)
    )


def availability_changes(old: CatalogIndex, new: CatalogIndex, now: Instant) -> set[str]:
    """Return the items that may count on one side only, requirements aside."""
    ids = old.items.keys() | new.items.keys()
    return {id_ for id_ in ids if _differs(old.items.get(id_), new.items.get(id_), now)}


def requirement_changes(old: CatalogIndex, new: CatalogIndex, now: Instant) -> set[str]:
    """Return the items that may count on one side only because of what they require."""
    both = old.items.keys() & new.items.keys()
    result = {id_ for id_ in both if requirements(old.items[id_]) != requirements(new.items[id_])}
    return result | _dependents(old, new, result | availability_changes(old, new, now))


def draft_changes(old: CatalogIndex, new: CatalogIndex) -> set[str]:
    """Return the items that are a draft on one side only."""
    both = old.items.keys() & new.items.keys()
    return {id_ for id_ in both if _is_draft(old.items[id_]) is not _is_draft(new.items[id_])}


def may_stop_counting(old: CatalogIndex, new: CatalogIndex, now: Instant) -> bool:
    """Return whether an item may count before and not after; true if in doubt."""
    ceasing = {
        id_
        for id_, item in old.items.items()
        if id_ not in new.items or (_differs(item, new.items[id_], now) and not always_counts(new.items[id_], now))
    }
    stricter = any(
        id_ in new.items and requirements(item) != requirements(new.items[id_]) and any(requirements(new.items[id_]))
        for id_, item in old.items.items()
    )
    return stricter or bool(_dependents(old, new, ceasing))


def _differs(before: IndexedItem | None, after: IndexedItem | None, now: Instant) -> bool:
    if before is None or after is None:
        return True
    if requirements(before) != requirements(after) or before.kind is not after.kind:
        return True
    if _is_draft(before) is not _is_draft(after):
        return True
    if always_counts(before, now) and always_counts(after, now):
        return False
    return (before.versions, before.rollouts) != (after.versions, after.rollouts)


def _is_draft(item: IndexedItem) -> bool:
    return item.status is ItemStatus.DRAFT


def _dependents(old: CatalogIndex, new: CatalogIndex, items: set[str]) -> set[str]:
    """Return all that requires one of some items, directly or indirectly."""
    dependents: set[str] = set()
    while True:
        more = {
            id_
            for side in (old, new)
            for id_, item in side.items.items()
            if id_ not in dependents and not frozenset().union(*requirements(item)).isdisjoint(items | dependents)
        }
        if not more:
            return dependents
        dependents |= more
