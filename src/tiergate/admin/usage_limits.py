"""Lets accounts of usage follow limits that moved for many customers: by a publication, or by dates in the catalog.

Their rows get the limit of now, and thresholds that are reached fire. What moves the limits of one customer is followed
in the same transaction (`store.usage_ledger`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from tiergate.admin.clock_boundaries import catalog_boundaries
from tiergate.admin.entitlement_changes import features_of_items
from tiergate.impact.subject_change.change_effects import catalog_definitions
from tiergate.store import SYSTEM
from tiergate.store.usage_ledger import check_call
from tiergate.store.usage_thresholds import (
    metered_features,
    next_accounts,
    read_checked_publication,
    write_checked_publication,
)

if TYPE_CHECKING:
    from collections.abc import Collection

    from tiergate.model import Catalog, Instant, Item
    from tiergate.store import ReadUnit, Store
    from tiergate.store.usage_ledger import UsageLedger

_AT_ONCE: Final = 100


def follow_publication(store: Store, ledger: UsageLedger) -> int:
    """Let accounts follow the publication in force if it may have moved limits; return how many were concerned.

    What was followed is written down, so that a control plane that ends in between begins again.
    """

    def read(unit: ReadUnit) -> tuple[int, int, frozenset[str]]:
        published, followed = unit.published, read_checked_publication(unit)
        if published.sequence <= followed:
            return published.sequence, followed, frozenset()
        moved = _moved(unit.published_at(followed).catalog, published.catalog)
        return published.sequence, followed, metered_features(published.index) & moved

    sequence, followed, features = store.read(read)
    if sequence <= followed:
        return 0
    count = _follow(store, ledger, features)
    store.change(lambda unit: write_checked_publication(unit, sequence), SYSTEM)
    return count


def follow_dates(store: Store, ledger: UsageLedger, after: Instant, until: Instant) -> int:
    """Let accounts follow rollouts and suspensions of the catalog that began or ended after an instant, until another.

    Return how many accounts were concerned.
    """

    def read(unit: ReadUnit) -> frozenset[str]:
        published = unit.published
        source = catalog_definitions(published.catalog, published.index)
        due = [it for it in catalog_boundaries(published.catalog) if after < it.at <= until]
        moved = frozenset().union(*(features_of_items(it.items, source).union(it.features) for it in due))
        return metered_features(published.index) & moved

    return _follow(store, ledger, store.read(read))


def _follow(store: Store, ledger: UsageLedger, features: Collection[str]) -> int:
    count, after = 0, ("", "")
    while features:
        page = store.read(
            lambda unit: next_accounts(unit.session.connection(), features, unit.now, after, _AT_ONCE)  # noqa: B023
        )
        if not page:
            break
        ledger.run(check_call(page))
        count, after = count + len(page), (page[-1].customer, page[-1].feature)
    return count


def _moved(before: Catalog, after: Catalog) -> frozenset[str]:
    """Return the features whose limits or thresholds may differ between two catalogs."""
    moved = {id_ for id_, feature in after.features.items() if before.features.get(id_) != feature}
    for id_ in before.items.keys() | after.items.keys():
        old, new = before.items.get(id_), after.items.get(id_)
        if old != new:
            moved |= _moved_by(old, new)
    return frozenset(moved)


def _moved_by(before: Item | None, after: Item | None) -> set[str]:
    """Return the features of an item that has changed; if only its versions have, those of which they differ."""
    given = [version.entitlements for item in (before, after) if item is not None for version in item.versions]
    features = {feature for entitlements in given for feature in entitlements}
    if before is None or after is None or _without_versions(before) != _without_versions(after):
        return features
    return {feature for feature in features if any(it.get(feature) != given[0].get(feature) for it in given)}


def _without_versions(item: Item) -> Item:
    return replace(item, versions=(), rollouts=())
