"""Validate a publication against what customers have: removed items, pinned versions, and totals that are too large."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tiergate.catalog import TotalBounds
from tiergate.catalog.entries.subjects import MAX_QUANTITY
from tiergate.model import MAX_TOTAL_UNITS, AddedAmount, Amount
from tiergate.store.references import (
    customers_above_quantity,
    describe_item_references,
    other_subscription_with_item,
    pinned_versions,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tiergate.model import Feature, Item, Problem
    from tiergate.publish.catalog_change import CatalogChange

MAX_SUMMED_ITEMS: Final = 1000
"""Number of items of one feature, of one customer, up to which totals are proved without reading the customer."""

_MAX_CUSTOMERS: Final = 1000
_MAX_SHOWN: Final = 3


def validate_subscribed_items(change: CatalogChange) -> Iterator[Problem]:
    """Yield items and versions that subscriptions have and that would be removed, or private to somebody else."""
    unit, old, new = change.unit, change.old, change.new
    for id_, pins in pinned_versions(unit.session, change.items & old.items.keys()).items():
        item = new.items.get(id_)
        if item is None:
            users = describe_item_references(unit, id_)
            if users:
                message = f"`{id_}` cannot be removed: it is in use, by {', '.join(users)}"
                yield change.problem(("item", id_), "item-held", message)
            continue
        for version in sorted(pins - {definition.version for definition in item.versions}):
            message = f"version {version} of `{id_}` cannot be removed: a subscription is pinned to it"
            yield change.problem(("item", id_, version), "version-pinned", message)
        if item.private_to and item.private_to != old.items[id_].private_to:
            other = other_subscription_with_item(unit, id_, item.private_to)
            if other is not None:
                message = f"`{id_}` cannot be private to `{item.private_to}`: the subscription `{other}` of another \
customer has it"
                yield change.problem(("item", id_), "item-held", message)


def validate_totals(change: CatalogChange) -> Iterator[Problem]:
    """Yield customers whose totals could exceed the largest one.

    A total can only if an item gives more than before and a customer has a large quantity of it: with ordinary numbers,
    no quantity is large enough, and no customer is read.
    """
    old, new, unit = change.old, change.new, change.unit
    recombined = {id_ for id_ in change.features if _combine(old.features.get(id_)) != _combine(new.features.get(id_))}
    quantities: dict[str, int] = {}
    for id_, item in new.items.items():
        is_recombined = recombined and any(not recombined.isdisjoint(it.entitlements) for it in item.versions)
        if id_ not in change.items and not is_recombined:
            continue
        largest = _largest_units(item)
        before = 0 if is_recombined or id_ not in old.items else _largest_units(old.items[id_])
        quantity = MAX_TOTAL_UNITS // (largest * MAX_SUMMED_ITEMS) if largest else MAX_QUANTITY
        if largest > before and id_ in old.items and quantity < MAX_QUANTITY:
            quantities[id_] = quantity
    bounds = TotalBounds.of(new) if quantities else None
    for customer in customers_above_quantity(unit.session, quantities, _MAX_CUSTOMERS):
        record = unit.record(customer, public=True)
        if bounds is None or record is None:
            continue
        excess = bounds.excess(record.subscriptions, record.customer)
        if excess:
            message = f"all subscriptions of `{customer}` together: {'; '.join(excess[:_MAX_SHOWN])}"
            yield change.problem(("item", min(quantities)), "total-too-large", message)


def _combine(feature: Feature | None) -> object:
    return None if feature is None else feature.combine


def _largest_units(item: Item) -> int:
    values = (value for it in item.versions for value in it.entitlements.values())
    return max((value.units for value in values if isinstance(value, Amount | AddedAmount)), default=0)
