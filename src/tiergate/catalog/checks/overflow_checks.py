"""Bounds of a subject's totals, so that none exceeds 2^62 units (design, semantics 5).

A bound counts all items and overrides as if they counted at the same time: every item in the version (of those that it
may get) that gives the most, and every override. The cheap bound uses the largest number of each item and the sum of
the overrides; the exact one, feature by feature, is only computed if the cheap one is not enough.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tiergate.model import MAX_TOTAL_UNITS, AddedAmount, Amount, Combine, OverrideMode, Per, format_units
from tiergate.naming import version_ref

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from tiergate.model import Catalog, CatalogIndex, Customer, Feature, Override, Subscription, SubscriptionItem, Value


class TotalBounds:
    """The largest values of items; `definition` returns the entitlements of a version such as `plan/pro@7`."""

    def __init__(self, index: CatalogIndex, definition: Callable[[str], Mapping[str, Value]]) -> None:
        self._index = index
        self._definition = definition
        self._most: dict[tuple[str, int | None], int] = {}

    @classmethod
    def of(cls, catalog: Catalog) -> TotalBounds:
        """Return the bounds of a catalog in memory."""
        definitions = {
            version_ref(item.kind, item.id, version.version): version.entitlements
            for item in catalog.items.values()
            for version in item.versions
        }
        return cls(catalog.index(), definitions.__getitem__)

    def definitions(self, held: SubscriptionItem) -> Iterator[Mapping[str, Value]]:
        """Yield the entitlements that an item may give: of its pinned version, else of every version."""
        item = self._index.items[held.item]
        for version in item.versions if held.version is None else (held.version,):
            yield self._definition(version_ref(item.kind, item.id, version))

    def feature(self, id_: str) -> Feature:
        """Return a feature of the catalog."""
        return self._index.features[id_]

    def cheap(self, subscription: Subscription) -> int:
        """Return an upper bound in units for all features of the subscription."""
        total = 0
        most = self._most
        for entry in subscription.items:
            key = (entry.item, entry.version)
            if key not in most:
                most[key] = max(
                    (_units(value) for given in self.definitions(entry) for value in given.values()), default=0
                )
            total += entry.quantity * most[key]
        for override in subscription.overrides:
            total += _units(override.value)
        return total

    @staticmethod
    def cheap_customer(customer: Customer) -> int:
        """Return an upper bound in units for the raise by the customer's own overrides."""
        return sum(_units(entry.value) for entry in customer.overrides if entry.mode is OverrideMode.ADD)

    def excess(self, subscriptions: Iterable[Subscription], customer: Customer | None = None) -> list[str]:
        """Return messages on totals of these subscriptions together that are too large, by the exact bound."""
        totals = SubjectTotals(self)
        for subscription in subscriptions:
            totals.add(subscription)
        if customer is not None:
            totals.add_customer(customer)
        return totals.excess()


class SubjectTotals:
    """The exact bound of the total of some subscriptions, and of what their customer has by itself, for every feature.

    Of a range with a maximum, what items give is bound by that, and kept apart from what overrides make of it.
    """

    def __init__(self, bounds: TotalBounds) -> None:
        self._bounds = bounds
        self._base: dict[str, int] = {}
        self._extra: dict[str, int] = {}
        self._free: dict[str, int] = {}
        self._floors: dict[str, int] = {}
        self._adds: dict[str, int] = {}

    def add(self, subscription: Subscription) -> None:
        """Add a subscription."""
        base: dict[str, int] = {}
        extra: dict[str, int] = {}
        floors: dict[str, int] = {}
        adds: dict[str, int] = {}
        for entry in subscription.items:
            self._add_item(entry, base, extra)
        for override in subscription.overrides:
            _add_override(override, floors, adds)
        for id_ in base.keys() | extra.keys() | floors.keys() | adds.keys():
            feature = self._bounds.feature(id_)
            value, added = base.get(id_, 0), extra.get(id_, 0)
            is_free = (id_ in floors or id_ in adds) and feature.maximum is not None
            if is_free or feature.across is Combine.MAX:
                value, added = _capped(feature, value + added), 0
            value, added = max(value, floors.get(id_, 0)), added + adds.get(id_, 0)
            if feature.across is Combine.MAX:
                self._free[id_] = max(self._free.get(id_, 0), value + added)
            elif is_free:
                self._free[id_] = self._free.get(id_, 0) + value + added
            else:
                before = self._base.get(id_, 0)
                self._base[id_] = max(before, value) if feature.combine is Combine.MAX else before + value
                self._extra[id_] = self._extra.get(id_, 0) + added

    def add_customer(self, customer: Customer) -> None:
        """Add the customer's own overrides, once."""
        for override in customer.overrides:
            _add_override(override, self._floors, self._adds)

    def _add_item(self, held: SubscriptionItem, base: dict[str, int], extra: dict[str, int]) -> None:
        given: dict[str, int] = {}
        added: dict[str, int] = {}
        for definition in self._bounds.definitions(held):
            for id_, value in definition.items():
                if isinstance(value, Amount):
                    default = Per.SUBSCRIPTION if self._bounds.feature(id_).combine is Combine.MAX else Per.UNIT
                    times = held.quantity if (value.per or default) is Per.UNIT else 1
                    given[id_] = max(given.get(id_, 0), times * value.units)
                elif isinstance(value, AddedAmount):
                    times = held.quantity if (value.per or Per.UNIT) is Per.UNIT else 1
                    added[id_] = max(added.get(id_, 0), times * value.units)
        for id_, units in given.items():
            if self._bounds.feature(id_).combine is Combine.MAX:
                base[id_] = max(base.get(id_, 0), units)
            else:
                base[id_] = base.get(id_, 0) + units
        for id_, units in added.items():
            extra[id_] = extra.get(id_, 0) + units

    def excess(self) -> list[str]:
        """Return a message for each feature whose total could exceed 2^62 units, sorted."""
        result = []
        parts = (self._base, self._extra, self._free, self._floors, self._adds)
        for id_ in sorted({id_ for part in parts for id_ in part}):
            feature = self._bounds.feature(id_)
            base, extra, free, floor, added = (part.get(id_, 0) for part in parts)
            units = max(_capped(feature, base + extra) + free, floor) + added
            if units > MAX_TOTAL_UNITS:
                reached, most = format_units(units, feature.scale), format_units(MAX_TOTAL_UNITS, feature.scale)
                result.append(f"the total of `{id_}` could reach {reached}, more than {most}")
        return result


def _add_override(override: Override, floors: dict[str, int], adds: dict[str, int]) -> None:
    """Add an override: one that replaces or raises to a value counts as the largest such value; `add` is summed."""
    id_, units = override.feature, _units(override.value)
    if override.mode is OverrideMode.ADD:
        adds[id_] = adds.get(id_, 0) + units
    else:
        floors[id_] = max(floors.get(id_, 0), units)


def _capped(feature: Feature, units: int) -> int:
    return units if feature.maximum is None else min(units, feature.maximum)


def _units(value: Value | None) -> int:
    return value.units if isinstance(value, Amount | AddedAmount) else 0
