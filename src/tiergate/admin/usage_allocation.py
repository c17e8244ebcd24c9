"""Allocation against use: how much of each metered feature customers may use, and how much they have used.

Now, everybody counts who has the feature or has used it, by what is published and held now; in the past, everybody who
has used it, by the limit at the end of the window. Customers who hold the same are resolved once, by the engine;
customers with exceptions one by one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from tiergate.admin.usage_debits import metered_feature
from tiergate.engine.active_items import resolve_active_items, usual_versions
from tiergate.engine.facts import TotalOverflowError, resolve_facts
from tiergate.errors import OperatorError, ParameterError
from tiergate.impact.subject_change.change_effects import catalog_definitions
from tiergate.model import AudienceType, Customer, Subject, SubjectRecord, from_units
from tiergate.store.item_holdings import (
    Narrowing,
    Relevant,
    holdings,
    records_apart,
    unused_grants,
    unused_grants_apart,
)
from tiergate.store.usage_shares import Share, UsedShares, used_shares

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tiergate.engine.active_items import ActiveItems
    from tiergate.impact.subject_change.change_effects import CatalogDefinitions
    from tiergate.model import CatalogIndex, Feature, Instant
    from tiergate.store import ReadUnit

MAX_FEATURES: Final = 20
"""The most features of one page: each is counted over all customers."""

_NOBODY: Final = Customer("-")


class WantedAllocation(NamedTuple):
    """Of which customers, and when; `at` none: now. `feature`: only this one."""

    narrowing: Narrowing = Narrowing()
    feature: str | None = None
    at: Instant | None = None


def allocation(
    unit: ReadUnit, wanted: WantedAllocation, after: str | None, limit: int
) -> tuple[list[dict[str, object]], str | None]:
    """Return a page of features by id, at most `MAX_FEATURES`, and the cursor of the next.

    Raises:
        NotFoundError: there is no such metered feature.
        ParameterError: `at` is in the future.
    """
    index, at = unit.published.index, wanted.at
    if at is not None and at > unit.now:
        raise ParameterError("at", "must not be in the future")
    if wanted.feature is not None:
        found = [metered_feature(index, wanted.feature)]
    else:
        found = [it for _, it in sorted(index.features.items()) if it.metered is not None]
    found = [it for it in found if after is None or it.id > after]
    page = found[: min(limit, MAX_FEATURES)]
    given = {} if at is not None else _given(unit, page, wanted.narrowing)
    data = [
        _data(
            it,
            _of_feature(used_shares(unit, it.id, unit.now if at is None else at, wanted.narrowing), given.get(it.id)),
        )
        for it in page
    ]
    return data, page[-1].id if len(found) > len(page) else None


@dataclass
class _Given:
    """What is given of one feature, used or not; `grants`: what is left of grants of those who have used nothing.

    `only_grants`: how many of these have nothing else of the feature.
    """

    limited: int = 0
    unlimited: int = 0
    allowance: int = 0
    grants: int = 0
    only_grants: int = 0

    def add(self, units: int | None, customers: int) -> None:
        """Count customers with an allowance; none: unlimited."""
        if units is None:
            self.unlimited += customers
        elif units:
            self.limited += customers
            self.allowance += units * customers

    def add_grants(self, units: int | None, customers: int, left: int) -> None:
        """Count customers with grants besides an allowance."""
        if units is not None:
            self.grants += left
            self.only_grants += 0 if units else customers


def _of_feature(used: UsedShares, given: _Given | None) -> UsedShares:
    """Return what was used with what was given in place of what was given to those who have used something."""
    if given is None:
        return used
    limited = given.limited + used.limited - used.entitled + given.only_grants
    shares = dict(used.shares)
    shares[Share.NONE] = max(0, limited - sum(count for share, count in shares.items() if share is not Share.NONE))
    return UsedShares(
        limited=sum(shares.values()),
        allowance=given.allowance,
        limit=given.allowance + used.limit - used.allowance + given.grants,
        used=used.used,
        unlimited=max(given.unlimited, used.unlimited),
        used_unlimited=used.used_unlimited,
        shares=shares,
    )


def _data(feature: Feature, found: UsedShares) -> dict[str, object]:
    scale = feature.scale
    data: dict[str, object] = {"feature": feature.id, "scale": scale}
    if feature.unit:
        data["unit"] = feature.unit
    data |= {
        "customers": found.limited + found.unlimited,
        "unlimited": found.unlimited,
        "allowance": from_units(found.allowance, scale),
        "granted": from_units(found.limit - found.allowance, scale),
        "allowed": from_units(found.limit, scale),
        "used": from_units(found.used, scale),
        "used_unlimited": from_units(found.used_unlimited, scale),
    }
    if found.limit:
        data["share"] = round(found.used / found.limit, 6)
    return data | {"customers_by_share": {share.value: count for share, count in found.shares.items()}}


# ── what is given ────────────────────────────────────────────────────────────────────────────────────────────────────


def _given(unit: ReadUnit, features: list[Feature], wanted: Narrowing) -> dict[str, _Given]:
    """Return what is given of features now, by their ids."""
    given = {feature.id: _Given() for feature in features}
    if not features:
        return given
    published = unit.published
    index = published.index
    source = catalog_definitions(published.catalog, index)
    relevant = _relevant(index, source, frozenset(given))
    resolver = _Resolver(index, source, unit.now)
    for holding in holdings(unit, relevant, wanted):
        items = resolver.active_items(SubjectRecord(_NOBODY, holding.subscriptions))
        for feature in features:
            given[feature.id].add(resolver.allowance(feature, items), holding.customers)
    for unused in unused_grants(unit, relevant, wanted):
        items = resolver.active_items(SubjectRecord(_NOBODY, unused.subscriptions))
        units = resolver.allowance(index.features[unused.feature], items)
        given[unused.feature].add_grants(units, unused.customers, unused.units)
    left = unused_grants_apart(unit, relevant, wanted)
    for record in records_apart(unit, relevant, wanted):
        items = resolver.active_items(record)
        for feature in features:
            units, of_grants = resolver.allowance(feature, items), left.pop((record.customer.id, feature.id), 0)
            given[feature.id].add(units, 1)
            if of_grants:
                given[feature.id].add_grants(units, 1, of_grants)
    return given


class _Resolver:
    """Resolves what customers have now."""

    def __init__(self, index: CatalogIndex, source: CatalogDefinitions, now: Instant) -> None:
        self._index, self._source, self._now = index, source, now
        self._usual = usual_versions(index)

    def active_items(self, record: SubjectRecord) -> ActiveItems | None:
        """Return the active items of a customer; none if they cannot be resolved."""
        try:
            return resolve_active_items(record, Subject(record.customer.id), self._index, self._now, self._usual)
        except OperatorError:
            return None

    def allowance(self, feature: Feature, items: ActiveItems | None) -> int | None:
        """Return how much a customer with these items has of a feature, in units; `None`: unlimited."""
        if items is None:
            return 0
        try:
            facts = resolve_facts(feature, items, Subject(items.customer.id), self._source, self._now)
        except (OperatorError, TotalOverflowError):
            return 0
        return None if facts.unlimited else facts.total


def _relevant(index: CatalogIndex, source: CatalogDefinitions, features: frozenset[str]) -> Relevant:
    giving = {id_ for id_ in index.items if source.features_of(id_) & features}
    items = _with_bases(index, giving)
    gradual = {
        id_
        for id_ in items
        if any(rollout.audience.type is not AudienceType.EVERYBODY for rollout in index.items[id_].rollouts)
    }
    multiplied = {id_ for id_ in giving if source.counted_features_of(id_) & features}
    return Relevant(tuple(sorted(features)), frozenset(items), frozenset(multiplied), frozenset(gradual))


def _with_bases(index: CatalogIndex, ids: Iterable[str]) -> set[str]:
    """Return items, and all that they may need to count."""
    found: set[str] = set()
    missing = set(ids)
    while missing:
        found |= missing
        needed = {base for id_ in missing for base in (*index.items[id_].available_for, *index.items[id_].depends_on)}
        missing = (needed & index.items.keys()) - found
    return found
