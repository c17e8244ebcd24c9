"""Find item violations that a change of a subscription adds.

A catalog changes after customers buy: an add-on may no longer be available with their plan. Existing violations are
allowed, and must not block other changes: a late payment, another quantity, an end.
"""

from __future__ import annotations

import re
from collections import Counter
from itertools import combinations
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from tiergate.catalog.checks.item_compatibility import ItemCompatibility, ItemViolation
    from tiergate.model import SubscriptionItem

_ENTRY: Final = re.compile(r"entry \d+")
_QUOTED: Final = re.compile(r"`([^`]*)`")
_OF_PAIRS: Final = frozenset({"excluded", "several-plans"})


def new_violations(
    holdings: ItemCompatibility,
    known: Collection[str],
    items: Sequence[SubscriptionItem],
    stood: Callable[[], Sequence[SubscriptionItem]] | None,
    customer: str | None,
) -> Iterator[ItemViolation]:
    """Yield the violations of `items` that the items of `stood` did not have before.

    `known`: the item ids of the catalog, which must include all `items`. `stood` is called only if there are
    violations.
    """
    found = list(holdings.violations(items, customer))
    if not found or stood is None:
        yield from found
        return
    kept = [held for held in stood() if held.item in known]
    pairs = _Pairs(kept, items)
    excused = Counter(_said(one, kept) for one in holdings.violations(kept, customer))
    for one in found:
        if one.code in _OF_PAIRS:
            if not pairs.stood(one, items):
                yield one
            continue
        said = _said(one, items)
        if excused[said]:
            excused[said] -= 1
        else:
            yield one


def _said(one: ItemViolation, items: Sequence[SubscriptionItem]) -> tuple[str, str, str]:
    """Return the violation, independent of its index in the list."""
    return items[one.place].item, one.code, _ENTRY.sub("", one.message)


class _Pairs:
    """The pairs of items that a subscription had together, in any order."""

    def __init__(self, stood: Sequence[SubscriptionItem], items: Sequence[SubscriptionItem]) -> None:
        self._were = Counter(held.item for held in stood)
        self._are = Counter(held.item for held in items)
        self._together = {
            frozenset((one.item, other.item)) for one, other in combinations(stood, 2) if _meet(one, other)
        }

    def stood(self, one: ItemViolation, items: Sequence[SubscriptionItem]) -> bool:
        """Return whether the subscription had the two excluded items before, and has no more of them now."""
        pair = {items[one.place].item, *(id_ for id_ in _QUOTED.findall(one.message) if id_ in self._are)}
        return frozenset(pair) in self._together and all(self._are[id_] <= self._were[id_] for id_ in pair)


def _meet(one: SubscriptionItem, other: SubscriptionItem) -> bool:
    return max(one.start, other.start) < min(one.until, other.until)
