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
    """Why a subscription cannot have an item: its index `place`, and `other`, that of an item it conflicts with."""

    place: int
    code: str
    message: str
    other: int | None = None


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
        before: list[tuple[int, SubscriptionItem]] = []
        for place, entry in enumerate(items):
            indexed = self._index.items[entry.item]
            if entry.item in self._plans:
                yield from _several_plans(place, entry, before)
                before.append((place, entry))
            if entry.version is not None and entry.version not in indexed.versions:
                listed = ", ".join(str(version) for version in indexed.versions[-12:])
                message = f"no version {entry.version} of `{entry.item}`: it has {listed}"
                yield ItemViolation(place, "unknown-version", message)
            if entry.item in self._bound:
                if customer is not None and indexed.private_to not in ("", customer):
                    yield ItemViolation(place, "private-item", f"`{entry.item}` is private to another customer")
                yield from self._together(place, entry, items)

    def _together(
        self, place: int, entry: SubscriptionItem, items: Sequence[SubscriptionItem]
    ) -> Iterator[ItemViolation]:
        indexed = self._index.items[entry.item]
        beside = {other.item for other in items if other is not entry and _overlap(entry, other)}
        if indexed.available_for and beside.isdisjoint(indexed.available_for):
            listed = _listed(indexed.available_for)
            message = f"`{entry.item}` is available with {listed} only, which the subscription does not have with it"
            yield ItemViolation(place, "not-available", message)
        for needed in indexed.depends_on:
            if needed not in beside:
                message = f"`{entry.item}` depends on `{needed}`, which the subscription does not have with it"
                yield ItemViolation(place, "missing-dependency", message)
        excluded = self._excluded.get(entry.item, ())
        for index, other in enumerate(items[:place]):
            if other.item in excluded and _overlap(entry, other):
                message = f"`{entry.item}` and `{other.item}` (entry {index + 1}) exclude each other"
                yield ItemViolation(place, "excluded", message, index)


def _several_plans(
    place: int, entry: SubscriptionItem, before: Sequence[tuple[int, SubscriptionItem]]
) -> Iterator[ItemViolation]:
    """Yield the first plan that overlaps with this one; there may be one plan at an instant."""
    for index, other in before:
        if _overlap(entry, other):
            named = f"`{entry.item}` twice" if entry.item == other.item else f"`{entry.item}` and `{other.item}`"
            message = f"a subscription has one plan at a time, not {named} (entry {index + 1})"
            yield ItemViolation(place, "several-plans", message, index)
            return


def _overlap(one: SubscriptionItem, other: SubscriptionItem) -> bool:
    if one.until == FOREVER == other.until and one.start == BEGINNING == other.start:
        return True
    return max(one.start, other.start) < min(one.until, other.until)


def _listed(ids: tuple[str, ...]) -> str:
    shown = " or ".join(f"`{id_}`" for id_ in ids[:5])
    return f"{shown} or {len(ids) - 5} more" if len(ids) > 5 else shown
