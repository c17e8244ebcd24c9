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


def availability_changes(baseline: CatalogIndex, candidate: CatalogIndex, now: Instant) -> set[str]:
    """Return the items that may count on one side only, requirements aside."""
    ids = baseline.items.keys() | candidate.items.keys()
    return {id_ for id_ in ids if _differs(baseline.items.get(id_), candidate.items.get(id_), now)}


def requirement_changes(baseline: CatalogIndex, candidate: CatalogIndex, now: Instant) -> set[str]:
    """Return the items that may count on one side only because of what they require."""
    both = baseline.items.keys() & candidate.items.keys()
    result = {id_ for id_ in both if requirements(baseline.items[id_]) != requirements(candidate.items[id_])}
    return result | _dependents(baseline, candidate, result | availability_changes(baseline, candidate, now))


def draft_changes(baseline: CatalogIndex, candidate: CatalogIndex) -> set[str]:
    """Return the items that are a draft on one side only."""
    both = baseline.items.keys() & candidate.items.keys()
    return {id_ for id_ in both if _is_draft(baseline.items[id_]) is not _is_draft(candidate.items[id_])}


def may_stop_counting(baseline: CatalogIndex, candidate: CatalogIndex, now: Instant) -> bool:
    """Return whether an item may count before and not after; true if in doubt."""
    ceasing = {
        id_
        for id_, item in baseline.items.items()
        if id_ not in candidate.items
        or (_differs(item, candidate.items[id_], now) and not always_counts(candidate.items[id_], now))
    }
    stricter = any(
        id_ in candidate.items
        and requirements(item) != requirements(candidate.items[id_])
        and any(requirements(candidate.items[id_]))
        for id_, item in baseline.items.items()
    )
    return stricter or bool(_dependents(baseline, candidate, ceasing))


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


def _dependents(baseline: CatalogIndex, candidate: CatalogIndex, items: set[str]) -> set[str]:
    """Return all that requires one of some items, directly or indirectly."""
    dependents: set[str] = set()
    while True:
        more = {
            id_
            for side in (baseline, candidate)
            for id_, item in side.items.items()
            if id_ not in dependents and not frozenset().union(*requirements(item)).isdisjoint(items | dependents)
        }
        if not more:
            return dependents
        dependents |= more
