"""Find item violations that a change of a subscription adds.

A catalog changes after customers buy: an add-on may no longer be available with their plan. Existing violations are
allowed, and must not block other changes: a late payment, another quantity, an end.
"""

from __future__ import annotations

from collections import Counter
from itertools import combinations
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from tiergate.catalog.checks.item_combinations import ItemCompatibility, ItemViolation
    from tiergate.model import SubscriptionItem


def new_violations(
    compatibility: ItemCompatibility,
    known: Collection[str],
    items: Sequence[SubscriptionItem],
    previous_items: Callable[[], Sequence[SubscriptionItem]] | None,
    customer: str | None,
) -> Iterator[ItemViolation]:
    """Yield the violations of `items` that the previous items did not have.

    `known`: the item ids of the catalog, which must include all `items`. `previous_items` is called only if there are
    violations.
    """
    result = list(compatibility.violations(items, customer))
    if not result or previous_items is None:
        yield from result
        return
    previous = [entry for entry in previous_items() if entry.item in known]
    pairs = _Pairs(previous, items)
    allowed = Counter(_key(violation, previous) for violation in compatibility.violations(previous, customer))
    for violation in result:
        if violation.other is not None:
            if not pairs.are_unchanged({items[violation.place].item, items[violation.other].item}):
                yield violation
            continue
        key = _key(violation, items)
        if allowed[key]:
            allowed[key] -= 1
        else:
            yield violation


def _key(violation: ItemViolation, items: Sequence[SubscriptionItem]) -> tuple[str, str, str]:
    return items[violation.place].item, violation.code, violation.message


class _Pairs:
    """The pairs of items that a subscription had together, in any order."""

    def __init__(self, previous: Sequence[SubscriptionItem], items: Sequence[SubscriptionItem]) -> None:
        self._before = Counter(entry.item for entry in previous)
        self._now = Counter(entry.item for entry in items)
        self._together = {
            frozenset((one.item, other.item)) for one, other in combinations(previous, 2) if _overlap(one, other)
        }

    def are_unchanged(self, pair: set[str]) -> bool:
        """Return whether the subscription had both items together before, and has no more of them now."""
        return frozenset(pair) in self._together and all(self._now[id_] <= self._before[id_] for id_ in pair)


def _overlap(one: SubscriptionItem, other: SubscriptionItem) -> bool:
    return max(one.start, other.start) < min(one.until, other.until)
