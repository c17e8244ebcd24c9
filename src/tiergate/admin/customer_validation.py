"""What one publication allows of what one customer holds: the readers of bodies, and the checks that no body shows.

A customer sees the items that are for everybody, and its own. What is private to another one is to it as if it were not
there, and so is what cannot be held without that: nobody can tell such an item from one that does not exist.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

import cachetools
from msgspec.structs import replace

from tiergate.catalog import ItemCompatibility, SubjectReader, TotalBounds, new_violations
from tiergate.errors import BodyError, BodyProblem, ConflictError
from tiergate.model import MAX_TOTAL_UNITS, CatalogIndex, Feature, FeatureStatus, FeatureType, Level, Switch

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tiergate.model import Customer, IndexedItem, Override, SubjectRecord, Subscription, SubscriptionItem
    from tiergate.store import PublishedCatalog

_KEPT: Final = 64


class Terms:
    """What a publication allows of what a customer holds. Safe to use from several threads."""

    def __init__(self, published: PublishedCatalog, customer: str) -> None:
        """Use `terms_for`, which keeps them."""
        self.published = published
        self.index = _visible(published.index, customer)
        self._all = published.index
        self._bounds = TotalBounds.of(published.catalog)
        self.holdings = ItemCompatibility(self.index)
        self.reader = SubjectReader(self.index, self._bounds, holdings=self.holdings)

    def check_holdings(
        self, items: Sequence[SubscriptionItem], stood: Sequence[SubscriptionItem], *, pointer: str
    ) -> None:
        """See that a customer may hold these items together; what was impossible already about what `stood` is let be.

        `pointer`: where in the body it is said that they are.

        Raises:
            BodyError: it may not.
        """
        known = self.index.items
        items = [held for held in items if held.item in known]
        found = list(new_violations(self.holdings, known, items, lambda: stood, None))
        if found:
            raise BodyError([BodyProblem(pointer, one.code, one.message) for one in found])

    def check_totals(self, record: SubjectRecord) -> None:
        """See that no total of a customer can overflow, whatever of it counts at once.

        Raises:
            BodyError: one could.
        """
        held = [self._known(subscription) for subscription in record.subscriptions]
        own = sum(_units(override) for override in record.customer.overrides)
        if sum(self._bounds.cheap(subscription) for subscription in held) + own <= MAX_TOTAL_UNITS:
            return
        excess = self._bounds.excess(held, self._known_customer(record.customer))
        if excess:
            raise BodyError([BodyProblem("", "total-too-large", f"with all subscriptions, {it}") for it in excess])

    def check_new_overrides(
        self, holder: Customer | Subscription, before: Customer | Subscription | None, pointer: str = "/overrides"
    ) -> None:
        """See that no override is new or changed that names an archived feature, or says no reason.

        `pointer`: where the overrides stand in the body.

        Raises:
            BodyError: with all that are.
        """
        stood = () if before is None else before.overrides
        problems: list[BodyProblem] = []
        for place, override in enumerate(holder.overrides):
            if override not in stood:
                problems += self.problems_of(override, f"{pointer}/{place}")
        if problems:
            raise BodyError(problems)

    def problems_of(self, override: Override, pointer: str) -> list[BodyProblem]:
        """What is wrong with an override that is new."""
        problems = []
        if self._is_archived(override):
            message = f"`{override.feature}` is archived, and takes no new overrides"
            problems.append(BodyProblem(f"{pointer}/feature", "feature-archived", message))
        if not override.reason:
            message = "an override says why it is given: the key `reason` is missing"
            problems.append(BodyProblem(pointer, "missing-key", message))
        return problems

    def check_archived(self, holder: Customer | Subscription, before: Customer | Subscription | None) -> None:
        """See that no override is new or changed that names an archived feature; reasons are for others to ask.

        Raises:
            ConflictError: one is.
        """
        stood = () if before is None else before.overrides
        for override in holder.overrides:
            if self._is_archived(override) and override not in stood:
                said = (
                    f"`{override.feature}` is archived, and takes no new overrides: `{holder.id}` has `{override.id}`"
                )
                raise ConflictError("feature-archived", said)

    def _is_archived(self, override: Override) -> bool:
        feature = self._all.features.get(override.feature)
        return feature is not None and feature.status is FeatureStatus.ARCHIVED

    def _known_customer(self, customer: Customer) -> Customer:
        features = self._all.features
        return replace(customer, overrides=tuple(it for it in customer.overrides if it.feature in features))

    def _known(self, subscription: Subscription) -> Subscription:
        """What of a subscription is in the catalog: what is not gives nothing."""
        items, features = self._all.items, self._all.features
        return replace(
            subscription,
            items=tuple(
                held
                for held in subscription.items
                if held.item in items and (held.version is None or held.version in items[held.item].versions)
            ),
            overrides=tuple(override for override in subscription.overrides if override.feature in features),
        )


_lock = threading.Lock()
_terms: cachetools.LRUCache[tuple[int, str], Terms] = cachetools.LRUCache(_KEPT)
_private: cachetools.LRUCache[int, tuple[PublishedCatalog, frozenset[str]]] = cachetools.LRUCache(_KEPT)


def terms_for(published: PublishedCatalog, customer: str) -> Terms:
    """The terms of a publication for a customer; those who have nothing private share theirs."""
    with _lock:
        known = _private.get(id(published))  # which holds on to it, so that no other gets its identity
        if known is None:
            owners = frozenset(item.private_to for item in published.index.items.values() if item.private_to)
            known = _private[id(published)] = (published, owners)
        key = (id(published), customer if customer in known[1] else "")
        terms = _terms.get(key)
        if terms is None or terms.published is not published:
            terms = _terms[key] = Terms(published, key[1])
    return terms


def _visible(index: CatalogIndex, customer: str) -> CatalogIndex:
    hidden = {id_ for id_, item in index.items.items() if item.private_to not in ("", customer)}
    if not hidden:
        return index
    while True:  # what needs something hidden is hidden too
        more = {id_ for id_, item in index.items.items() if id_ not in hidden and _needs(item, hidden)}
        if not more:
            break
        hidden |= more
    items = {id_: _without(item, hidden) for id_, item in index.items.items() if id_ not in hidden}
    return replace(index, items=items)


def _needs(item: IndexedItem, hidden: set[str]) -> bool:
    return not hidden.isdisjoint(item.depends_on) or (
        bool(item.available_for) and hidden.issuperset(item.available_for)
    )


def _without(item: IndexedItem, hidden: set[str]) -> IndexedItem:
    if hidden.isdisjoint(item.available_for) and hidden.isdisjoint(item.excludes):
        return item
    return replace(item, available_for=_rest(item.available_for, hidden), excludes=_rest(item.excludes, hidden))


def _rest(ids: Iterable[str], hidden: set[str]) -> tuple[str, ...]:
    return tuple(id_ for id_ in ids if id_ not in hidden)


def _units(override: Override) -> int:
    units: int = getattr(override.value, "units", 0)
    return units


class _Printable(dict[str, Feature]):
    """Features by id, and a stand-in for each that the catalog no longer has, so that what stands can be shown."""

    def __init__(self, features: Mapping[str, Feature], records: Iterable[Customer | Subscription]) -> None:
        super().__init__(features)
        for holder in records:
            for override in holder.overrides:
                if override.feature not in self:
                    self[override.feature] = Feature(id=override.feature, type=_type_of(override))


def printable_features(features: Mapping[str, Feature], *holders: Customer | Subscription) -> Mapping[str, Feature]:
    """The features to print some subjects with, of which one may have overrides for what is no longer there."""
    if all(override.feature in features for holder in holders for override in holder.overrides):
        return features
    return _Printable(features, holders)


def _type_of(override: Override) -> FeatureType:
    match override.value:
        case Switch() | None:
            return FeatureType.SWITCH
        case Level():
            return FeatureType.CUSTOM
        case _:
            return FeatureType.QUANTITY
