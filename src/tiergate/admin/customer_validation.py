"""Validate what one customer may have under one publication: readers of JSON text, and checks across entries.

A customer sees the items for everybody and its own. An item private to another customer, and an item that needs it,
behaves like one that does not exist, so that nobody can find out about it.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from tiergate.catalog import ItemCompatibility, SubjectReader, TotalBounds, new_violations
from tiergate.errors import BodyError, BodyProblem, ConflictError
from tiergate.model import MAX_TOTAL_UNITS, CatalogIndex, Feature, FeatureStatus, FeatureType, Level, Switch

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from tiergate.model import Customer, IndexedItem, Override, SubjectRecord, Subscription, SubscriptionItem
    from tiergate.store import PublishedCatalog

_CACHED: Final = 64


class CustomerValidator:
    """Validates what one customer may have under one publication. Safe to use from several threads.

    The checks raise `BodyError` with all problems; `check_archived` raises `ConflictError`.
    """

    def __init__(self, published: PublishedCatalog, customer: str) -> None:
        """Use `validator_for`, which caches validators."""
        self.published = published
        self.index = _visible(published.index, customer)
        self._all = published.index
        self._bounds = TotalBounds.of(published.catalog)
        self.compatibility = ItemCompatibility(self.index)
        self.reader = SubjectReader(self.index, self._bounds, compatibility=self.compatibility)

    def check_items(
        self, items: Sequence[SubscriptionItem], before: Sequence[SubscriptionItem], *, pointer: str
    ) -> None:
        """Check that a customer may have these items together. Problems that `before` has already are accepted."""
        known = self.index.items
        items = [entry for entry in items if entry.item in known]
        problems = list(new_violations(self.compatibility, known, items, lambda: before, None))
        if problems:
            raise BodyError([BodyProblem(pointer, problem.code, problem.message) for problem in problems])

    def check_totals(self, record: SubjectRecord) -> None:
        """Check that no total of a customer can overflow, whichever of its subscriptions count at once."""
        subscriptions = [self._known_part(subscription) for subscription in record.subscriptions]
        own = sum(getattr(override.value, "units", 0) for override in record.customer.overrides)
        if sum(self._bounds.cheap(subscription) for subscription in subscriptions) + own <= MAX_TOTAL_UNITS:
            return
        features = self._all.features
        overrides = tuple(it for it in record.customer.overrides if it.feature in features)
        excess = self._bounds.excess(subscriptions, replace(record.customer, overrides=overrides))
        if excess:
            raise BodyError([BodyProblem("", "total-too-large", f"with all subscriptions, {it}") for it in excess])

    def check_new_overrides(self, holder: Customer | Subscription, before: Customer | Subscription | None) -> None:
        """Check that no new or changed override names an archived feature, or lacks a reason."""
        changed = _changed_overrides(holder, before)
        problems = [it for place, one in changed for it in self._override_problems(one, f"/overrides/{place}")]
        if problems:
            raise BodyError(problems)

    def check_new_override(self, override: Override) -> None:
        """Check one override that is the whole body."""
        problems = list(self._override_problems(override, ""))
        if problems:
            raise BodyError(problems)

    def _override_problems(self, override: Override, pointer: str) -> Iterator[BodyProblem]:
        if self._is_archived(override):
            detail = f"`{override.feature}` is archived: it cannot get new overrides"
            yield BodyProblem(f"{pointer}/feature", "feature-archived", detail)
        if not override.reason:
            yield BodyProblem(pointer, "missing-key", "the key `reason` is missing: an override needs one")

    def check_archived(self, holder: Customer | Subscription, before: Customer | Subscription | None) -> None:
        """Check that no new or changed override names an archived feature."""
        for _, override in _changed_overrides(holder, before):
            if self._is_archived(override):
                detail = (
                    f"the override `{override.id}` of `{holder.id}` names the archived feature `{override.feature}`"
                )
                raise ConflictError("feature-archived", detail)

    def _is_archived(self, override: Override) -> bool:
        feature = self._all.features.get(override.feature)
        return feature is not None and feature.status is FeatureStatus.ARCHIVED

    def _known_part(self, subscription: Subscription) -> Subscription:
        """Return the part of a subscription that is in the catalog: the rest has no effect."""
        items, features = self._all.items, self._all.features
        return replace(
            subscription,
            items=tuple(
                entry
                for entry in subscription.items
                if entry.item in items and (entry.version is None or entry.version in items[entry.item].versions)
            ),
            overrides=tuple(override for override in subscription.overrides if override.feature in features),
        )


def _changed_overrides(
    holder: Customer | Subscription, before: Customer | Subscription | None
) -> list[tuple[int, Override]]:
    old = () if before is None else before.overrides
    return [(place, override) for place, override in enumerate(holder.overrides) if override not in old]


def validator_for(published: PublishedCatalog, customer: str) -> CustomerValidator:
    """Return the validator of a publication for a customer. Customers without private items share one."""
    return _validator(published, customer if customer in _owners(published) else "")


_validator = lru_cache(_CACHED)(CustomerValidator)


@lru_cache(_CACHED)
def _owners(published: PublishedCatalog) -> frozenset[str]:
    """Return the customers with private items."""
    return frozenset(item.private_to for item in published.index.items.values() if item.private_to)


def _visible(index: CatalogIndex, customer: str) -> CatalogIndex:
    hidden = {id_ for id_, item in index.items.items() if item.private_to not in ("", customer)}
    if not hidden:
        return index
    while True:  # an item that needs a hidden one is hidden too
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


def printable_features(features: Mapping[str, Feature], *holders: Customer | Subscription) -> Mapping[str, Feature]:
    """Return the features, and placeholders for unknown ones that overrides of `holders` name."""
    missing = [it for holder in holders for it in holder.overrides if it.feature not in features]
    if not missing:
        return features
    return {**{it.feature: Feature(id=it.feature, type=_type_of(it)) for it in reversed(missing)}, **features}


def _type_of(override: Override) -> FeatureType:
    match override.value:
        case Switch() | None:
            return FeatureType.SWITCH
        case Level():
            return FeatureType.CUSTOM
        case _:
            return FeatureType.QUANTITY
