"""What a change makes impossible of what a subscription holds, and was not so before.

A catalog changes under those who hold what it sold: an add-on that was available with their plan is so no more. What
they hold stays theirs, and must not stand in the way of anything else: a late payment, another quantity, an end.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from tiergate.catalog.holdings import Impossibility, PossibleHoldings
    from tiergate.model import HeldItem

__all__ = ["worsened"]

_ENTRY: Final = re.compile(r"entry \d+")


def worsened(
    holdings: PossibleHoldings,
    known: Collection[str],
    items: Sequence[HeldItem],
    stood: Callable[[], Sequence[HeldItem]] | None,
    customer: str | None,
) -> Iterator[Impossibility]:
    """What is impossible about `items`, by `holdings`, and was not about those that `stood` before.

    `known`: the ids of the items of the catalog, among which all of `items` must be; those that stood need not. `stood`
    is asked only where something is impossible.
    """
    found = list(holdings.violations(items, customer))
    if not found or stood is None:
        yield from found
        return
    kept = [held for held in stood() if held.item in known]
    excused = Counter(_said(one, kept) for one in holdings.violations(kept, customer))
    for one in found:
        said = _said(one, items)
        if excused[said]:
            excused[said] -= 1
        else:
            yield one


def _said(one: Impossibility, items: Sequence[HeldItem]) -> tuple[str, str, str]:
    """What is impossible, wherever in the list it stands."""
    return items[one.place].item, one.code, _ENTRY.sub("", one.message)
