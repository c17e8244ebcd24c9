"""Check a subscription's items against the catalog's `available_for`, `depends_on`, `excludes` and `private_to`.

The checks concern one subscription and instants at which items count together. An add-on must share some instant with a
plan of its `available_for`, an item with each item that it depends on. Two items of which one excludes the other must
share none, nor must two plans, unless the catalog allows several.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from tiergate.model import BEGINNING, FOREVER, ItemKind, PlansPerSubscription

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tiergate.model import CatalogIndex, SubscriptionItem


class ItemViolation(NamedTuple):
    """Why a subscription cannot have an item; `place` is the item's index."""

    place: int
    code: str
    message: str


class ItemCompatibility:
    """The compatibility rules of a catalog."""

    def __init__(self, index: CatalogIndex) -> None:
        self._index = index
        self._excluded: dict[str, set[str]] = {}
        for id_, item in index.items.items():
            for other in item.excludes:
                self._excluded.setdefault(id_, set()).add(other)
                self._excluded.setdefault(other, set()).add(id_)
        bound = (id_ for id_, item in index.items.items() if item.available_for or item.depends_on or item.private_to)
        self._bound = frozenset(bound) | frozenset(self._excluded)
        plans = (id_ for id_, item in index.items.items() if item.kind is ItemKind.PLAN)
        self._plans = frozenset() if index.plans is PlansPerSubscription.MANY else frozenset(plans)

    def violations(self, items: Sequence[SubscriptionItem], customer: str | None) -> Iterator[ItemViolation]:
        """Yield the violations of a customer's subscription with these items, which must be in the catalog.

        `customer` is `None` if unknown; then private items are not checked.
        """
        bound, plans = self._bound, self._plans
        before: list[tuple[int, SubscriptionItem]] = []
        for place, held in enumerate(items):
            if held.item in plans:
                yield from _several_plans(place, held, before)
                before.append((place, held))
            if held.version is not None and held.version not in self._index.items[held.item].versions:
                listed = ", ".join(str(version) for version in self._index.items[held.item].versions[-12:])
                message = f"no version {held.version} of `{held.item}`: it has {listed}"
                yield ItemViolation(place, "unknown-version", message)
            if held.item in bound:
                if customer is not None and self._index.items[held.item].private_to not in ("", customer):
                    yield ItemViolation(place, "private-item", f"`{held.item}` is private to another customer")
                yield from self._together(place, held, items)

    def _together(
        self, place: int, held: SubscriptionItem, items: Sequence[SubscriptionItem]
    ) -> Iterator[ItemViolation]:
        indexed = self._index.items[held.item]
        beside = {other.item for other in items if other is not held and _overlap(held, other)}
        if indexed.available_for and beside.isdisjoint(indexed.available_for):
            listed = _listed(indexed.available_for)
            message = f"`{held.item}` is available with {listed} only, and the subscription does not hold that with it"
            yield ItemViolation(place, "not-available", message)
        for needed in indexed.depends_on:
            if needed not in beside:
                message = f"`{held.item}` depends on `{needed}`, and the subscription does not hold that with it"
                yield ItemViolation(place, "missing-dependency", message)
        excluded = self._excluded.get(held.item)
        if excluded:
            for other_place, other in enumerate(items[:place]):
                if other.item in excluded and _overlap(held, other):
                    message = (
                        f"`{held.item}` and `{other.item}` exclude each other, and entry {other_place + 1} holds that"
                    )
                    yield ItemViolation(place, "excluded", message)


def _several_plans(
    place: int, held: SubscriptionItem, before: Sequence[tuple[int, SubscriptionItem]]
) -> Iterator[ItemViolation]:
    """Yield the first plan that overlaps with this one; there may be one plan at an instant."""
    for other_place, other in before:
        if _overlap(held, other):
            named = f"`{held.item}` twice" if held.item == other.item else f"`{held.item}` and `{other.item}`"
            message = f"a subscription has one plan at an instant, not {named}, which entry {other_place + 1} is"
            yield ItemViolation(place, "several-plans", message)
            return


def _overlap(one: SubscriptionItem, other: SubscriptionItem) -> bool:
    if one.until == FOREVER == other.until and one.start == BEGINNING == other.start:
        return True
    return max(one.start, other.start) < min(one.until, other.until)


def _listed(ids: tuple[str, ...]) -> str:
    shown = " or ".join(f"`{id_}`" for id_ in ids[:5])
    return f"{shown} or {len(ids) - 5} more" if len(ids) > 5 else shown
