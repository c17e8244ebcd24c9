"""What a change makes impossible of what a subscription holds, and was not so before.

A catalog changes under those who hold what it sold: an add-on that was available with their plan is so no more. What
they hold stays theirs, and must not stand in the way of anything else: a late payment, another quantity, an end.
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
    """What is impossible about `items`, by `holdings`, and was not about those that `stood` before.

    `known`: the ids of the items of the catalog, among which all of `items` must be; those that stood need not. `stood`
    is asked only where something is impossible.
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
    """What is impossible, wherever in the list it stands."""
    return items[one.place].item, one.code, _ENTRY.sub("", one.message)


class _Pairs:
    """The pairs of items that were held together, wherever in the list they stood and which of them was named first."""

    def __init__(self, stood: Sequence[SubscriptionItem], items: Sequence[SubscriptionItem]) -> None:
        self._were = Counter(held.item for held in stood)
        self._are = Counter(held.item for held in items)
        self._together = {
            frozenset((one.item, other.item)) for one, other in combinations(stood, 2) if _meet(one, other)
        }

    def stood(self, one: ItemViolation, items: Sequence[SubscriptionItem]) -> bool:
        """Say whether the two that cannot be held together were, and none of them is held more often since."""
        pair = {items[one.place].item, *(id_ for id_ in _QUOTED.findall(one.message) if id_ in self._are)}
        return frozenset(pair) in self._together and all(self._are[id_] <= self._were[id_] for id_ in pair)


def _meet(one: SubscriptionItem, other: SubscriptionItem) -> bool:
    return max(one.start, other.start) < min(one.until, other.until)
