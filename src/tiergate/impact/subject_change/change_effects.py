"""The effects of a change of one customer's record: its overrides, items and pins.

The catalog is the same on both sides, so no policy is evaluated: the granted values decide, which come from the
engine's facts. Every instant from `now` on counts, for the customer and for each subscription. Suspensions and feature
statuses are ignored: a loss during a suspension is a loss.

A subscription that does not count now may count again, and one that counts may end. So a record is compared several
times: as it is; as if its subscriptions always counted; and, if every life matters, as if none did. INVARIANT (no loss
is overlooked): a subscription only ever raises the customer's total, and the customer's overrides reduce it most at the
greatest total, or at none. If none of the three comparisons finds a loss, there is none for any lifetimes of the same
subscriptions. Whether a limit is soft is compared for the same three.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final, NamedTuple

import cachetools
from msgspec.structs import replace

from tiergate.engine.active_items import resolve_active_items
from tiergate.engine.facts import TotalOverflowError, is_multiplied, resolve_facts
from tiergate.engine.normalized_check import default_amount
from tiergate.impact.preview.subject_effects import (
    Effect,
    LeastCheckResult,
    SubjectEffect,
    overage_from_facts,
    value_from_facts,
)
from tiergate.model import (
    FOREVER,
    Feature,
    FeatureStatus,
    FeatureType,
    Reason,
    Subject,
    SubjectRecord,
    SubjectType,
    Subscription,
    SubscriptionStatus,
)
from tiergate.naming import version_ref

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from tiergate.engine.active_items import ActiveItems
    from tiergate.engine.facts import Facts
    from tiergate.model import Catalog, CatalogIndex, Instant, Value

_AS_IT_IS, _COUNTING, _WITHOUT = "as it is", "counting", "without subscriptions"

_MOST_VISITS: Final = 100_000
"""The most subscriptions resolved for one comparison of one customer; later windows are ignored."""


class CatalogDefinitions:
    """A catalog in memory, as a bundle with definitions only."""

    revision = ""

    def __init__(self, catalog: Catalog, index: CatalogIndex) -> None:
        self.index = index
        self._definitions = {
            version_ref(item.kind, item.id, entry.version): entry.entitlements
            for item in catalog.items.values()
            for entry in item.versions
        }
        self._features: dict[str, frozenset[str]] = {}
        self._counted_features: dict[str, frozenset[str]] = {}
        for item in catalog.items.values():
            values = [entitlement for version in item.versions for entitlement in version.entitlements.items()]
            self._features[item.id] = frozenset(feature for feature, _ in values)
            self._counted_features[item.id] = frozenset(
                id_ for id_, value in values if id_ in index.features and is_multiplied(index.features[id_], value)
            )

    def definition(self, ref: str) -> Mapping[str, Value]:
        """Return what a version grants."""
        return self._definitions[ref]

    def features_of(self, item: str) -> frozenset[str]:
        """Return the features with a value in some version of an item."""
        return self._features.get(item, frozenset())

    def counted_features_of(self, item: str) -> frozenset[str]:
        """Return the features whose value some version of an item multiplies by the quantity held."""
        return self._counted_features.get(item, frozenset())

    def text(self, path: str) -> str:
        """Raise: definitions alone decide nothing."""
        raise NotImplementedError(path)

    def paths(self, prefix: str) -> list[str]:
        """Raise: there are no files."""
        raise NotImplementedError(prefix)


_lock = threading.Lock()
_definitions: cachetools.LRUCache[int, tuple[Catalog, CatalogDefinitions]] = cachetools.LRUCache(4)


def catalog_definitions(catalog: Catalog, index: CatalogIndex) -> CatalogDefinitions:
    """Return the definitions of a catalog, cached. Thread-safe."""
    with _lock:
        known = _definitions.get(id(catalog))  # which holds on to it, so that no other gets its identity
        if known is None or known[0] is not catalog:
            known = _definitions[id(catalog)] = (catalog, CatalogDefinitions(catalog, index))
    return known[1]


class RecordChange(NamedTuple):
    """A record before and after a change, and the features that it may affect."""

    before: SubjectRecord
    after: SubjectRecord
    features: frozenset[str]


def affected_features(before: SubjectRecord, after: SubjectRecord, source: CatalogDefinitions) -> frozenset[str]:
    """Return the features whose value a change of a record can change."""
    features: set[str] = set()
    features.update(it.feature for it in {*before.customer.overrides} ^ {*after.customer.overrides})
    audience = before.customer.tags != after.customer.tags  # rollouts go by tags
    was = {it.id: it for it in before.subscriptions}
    becomes = {subscription.id: subscription for subscription in after.subscriptions}
    for id_ in was.keys() | becomes.keys():
        old, new = was.get(id_), becomes.get(id_)
        both = [it for it in (old, new) if it is not None]
        overrides = [{*value.overrides} for value in both]
        features.update(
            override.feature for override in (overrides[0] ^ overrides[-1] if len(both) == 2 else overrides[0])
        )
        if audience or old is None or new is None or old.start != new.start or not _have_same_items(old, new):
            # An item that goes or comes decides whether others count that are based on it: all of them are concerned.
            features.update(entry for value in both for held in value.items for entry in source.features_of(held.item))
        elif old.items != new.items:
            for was_held, held in zip(old.items, new.items, strict=True):
                if held.quantity != was_held.quantity:
                    features.update(source.counted_features_of(held.item))
    return frozenset(features & source.index.features.keys())


def _have_same_items(old: Subscription, new: Subscription) -> bool:
    """Return whether two states of a subscription differ in nothing about its items but their quantities."""
    return old.items == new.items or (
        len(old.items) == len(new.items)
        and all(replace(was, quantity=held.quantity) == held for was, held in zip(old.items, new.items, strict=True))
    )


def only_raises_quantities(before: SubjectRecord, after: SubjectRecord) -> bool:
    """Return whether a change does nothing but hold more of items that are held already, which reduces nothing.

    INVARIANT (more is never less): values are 0 or more, and everything that the engine makes of them (a product, a
    sum, a maximum, a cap, an override) is the same or greater if they are.
    """
    return (
        before.customer == after.customer
        and len(before.subscriptions) == len(after.subscriptions)
        and all(
            old == new
            or (
                replace(old, items=new.items) == new
                and _have_same_items(old, new)
                and all(was.quantity <= held.quantity for was, held in zip(old.items, new.items, strict=True))
            )
            for old, new in zip(before.subscriptions, after.subscriptions, strict=True)
        )
    )


def subject_effects(
    change: RecordChange, source: CatalogDefinitions, now: Instant, *, revived: bool = False
) -> list[SubjectEffect]:
    """Return the effects of a change on a customer and its subscriptions, each once, at its first instant.

    Effects of the record as it is come first, then those if all subscriptions counted, unless a subject has that effect
    already. `revived`: whatever becomes of its subscriptions: ended ones count too, and the customer is compared
    without any.
    """
    features = [_effective(source.index.features[id_]) for id_ in sorted(change.features)]
    result: dict[tuple[object, ...], SubjectEffect] = {}
    seen: set[tuple[Subject, str, bool]] = set()
    compared: list[tuple[SubjectRecord, SubjectRecord]] = []
    for assumption in (_AS_IT_IS, _COUNTING, _WITHOUT) if revived else (_AS_IT_IS, _COUNTING):
        before, after = (
            _as_compared(record, assumption, None if revived else now) for record in (change.before, change.after)
        )
        if (before, after) in compared:  # as of a subscription that is active, without dates
            continue
        compared.append((before, after))
        new: list[SubjectEffect] = []
        for effect in (
            effect
            for subject, records in _subjects(before, after)
            for effect in _feature_effects(subject, records, features, source, now)
        ):
            key = (effect.subject, effect.feature, effect.effect, effect.before[2:], effect.after[2:])
            if key not in result and (effect.subject, effect.feature, effect.effect.reduces) not in seen:
                result[key] = effect
                new.append(effect)
        seen |= {(it.subject, it.feature, it.effect.reduces) for it in new}
    return list(result.values())


def ever_differs(
    before: SubjectRecord, after: SubjectRecord, feature: str, source: CatalogDefinitions, now: Instant
) -> bool:
    """Return whether two records of a customer ever differ in a feature's value, ignoring suspensions."""
    effective = _effective(source.index.features[feature])
    for alive in (False, True):
        left, right = (_always_counting(record, None) if alive else _unsuspended(record) for record in (before, after))
        for subject, records in _subjects(left, right):
            sides = [
                _timeline(effective, _windows(record, subject, source, now), subject, source) for record in records
            ]
            if any(
                was is not None and becomes is not None and _decided_value(was) != _decided_value(becomes)
                for _, was, becomes in _merged(*sides)
            ):
                return True
    return False


def facts_at(
    record: SubjectRecord, subject: Subject, feature: str, source: CatalogDefinitions, at: Instant
) -> Facts | None:
    """Return the facts about a feature at an instant, ignoring suspensions; `None` if its total overflows."""
    try:
        holdings = resolve_active_items(_unsuspended(record), subject, source.index, at)
        return resolve_facts(_effective(source.index.features[feature]), holdings, subject, source, at)
    except TotalOverflowError:
        return None


def _effective(feature: Feature) -> Feature:
    return replace(feature, suspensions=(), status=FeatureStatus.ACTIVE)


def _decided_value(facts: Facts) -> tuple[float, float, bool]:
    return comparable_size(facts), comparable_ceiling(facts), facts.disabled


def has_ended(subscription: Subscription, now: Instant) -> bool:
    """Return whether a subscription has ended for good: it expired, or its `end` has passed."""
    ended = subscription.end is not None and subscription.end <= now
    return subscription.status is SubscriptionStatus.EXPIRED or ended


def _unsuspended(record: SubjectRecord) -> SubjectRecord:
    return SubjectRecord(
        replace(record.customer, suspensions=()),
        tuple(replace(it, suspensions=()) if it.suspensions else it for it in record.subscriptions),
    )


def _as_compared(record: SubjectRecord, assumption: str, now: Instant | None) -> SubjectRecord:
    if assumption == _AS_IT_IS:
        return _unsuspended(record)
    if assumption == _COUNTING:
        return _always_counting(record, now)
    return SubjectRecord(replace(record.customer, suspensions=()))


def _always_counting(record: SubjectRecord, now: Instant | None) -> SubjectRecord:
    """Return the record as if its subscriptions always counted, except those that ended by `now`, if given."""
    return SubjectRecord(
        replace(record.customer, suspensions=()),
        tuple(
            replace(it, suspensions=()) if now is not None and has_ended(it, now) else _counting(it)
            for it in record.subscriptions
        ),
    )


def _counting(subscription: Subscription) -> Subscription:
    """Return the subscription without start and end; its items keep their age, which rollouts read."""
    start = subscription.start
    items = (held if held.added_at is not None else replace(held, added_at=start) for held in subscription.items)
    return replace(
        subscription, status=SubscriptionStatus.ACTIVE, items=tuple(items), start=None, end=None, suspensions=()
    )


def _subjects(
    before: SubjectRecord, after: SubjectRecord
) -> Iterator[tuple[Subject, tuple[SubjectRecord, SubjectRecord]]]:
    """Yield the subjects of checks: the customer as a whole, and each of several subscriptions."""
    yield Subject(before.customer.id), (before, after)
    if len(before.subscriptions) < 2 and len(after.subscriptions) < 2:
        return  # where it counts, it is all that the customer has
    becomes = {it.id: it for it in after.subscriptions}
    for old in before.subscriptions:
        new = becomes.get(old.id)
        if new is not None and (new != old or before.customer != after.customer):
            alone = SubjectRecord(before.customer, (old,)), SubjectRecord(after.customer, (new,))
            yield Subject(old.id, SubjectType.SUBSCRIPTION), alone


def _feature_effects(
    subject: Subject,
    records: tuple[SubjectRecord, SubjectRecord],
    features: Collection[Feature],
    source: CatalogDefinitions,
    now: Instant,
) -> Iterator[SubjectEffect]:
    windows = [_windows(record, subject, source, now) for record in records]
    customer = records[0].customer.id
    for feature in features:
        reported: set[tuple[Effect, LeastCheckResult, LeastCheckResult]] = set()
        sides = [_timeline(feature, window, subject, source) for window in windows]
        for start, was, becomes in _merged(*sides):
            if was is None or becomes is None:
                continue
            effect = effect_between(was, becomes)
            if effect is None:
                continue
            key = (effect, _least_check(was), _least_check(becomes))
            if key not in reported:
                reported.add(key)
                yield SubjectEffect(customer, subject, feature.id, effect, max(start, now), key[1], key[2])


def _windows(
    record: SubjectRecord, subject: Subject, source: CatalogDefinitions, now: Instant
) -> list[tuple[Instant, ActiveItems]]:
    """Return a subject's active items from `now` on, each with its first instant."""
    windows: list[tuple[Instant, ActiveItems]] = []
    at, visits = now, 0
    while at < FOREVER and visits <= _MOST_VISITS:
        holdings = resolve_active_items(record, subject, source.index, at)
        windows.append((at, holdings))
        at = holdings.until
        visits += len(record.subscriptions)
    return windows


def _timeline(
    feature: Feature, windows: list[tuple[Instant, ActiveItems]], subject: Subject, source: CatalogDefinitions
) -> list[tuple[Instant, Facts | None]]:
    """Return the facts about a feature, each with its first instant; `None` if the total overflows."""
    timeline: list[tuple[Instant, Facts | None]] = []
    for start, holdings in windows:
        at = start
        while at < min(holdings.until, FOREVER):
            try:
                facts = resolve_facts(feature, holdings, subject, source, at)
            except TotalOverflowError:
                timeline.append((at, None))
                break
            timeline.append((at, facts))
            at = facts.until
    return timeline


def _merged(
    left: list[tuple[Instant, Facts | None]], right: list[tuple[Instant, Facts | None]]
) -> Iterator[tuple[Instant, Facts | None, Facts | None]]:
    """Merge two timelines: yield each instant at which either changes."""
    places = [0, 0]
    sides = (left, right)
    while True:
        yield max(left[places[0]][0], right[places[1]][0]), left[places[0]][1], right[places[1]][1]
        following = [
            sides[which][places[which] + 1][0] if places[which] + 1 < len(sides[which]) else FOREVER for which in (0, 1)
        ]
        at = min(following)
        if at >= FOREVER:
            return
        for which in (0, 1):
            if following[which] == at:
                places[which] += 1


def comparable_size(facts: Facts) -> float:
    """Return the granted value as one number: units, a rank, 0 or 1; infinite if unlimited."""
    return float("inf") if facts.unlimited else facts.total


def comparable_ceiling(facts: Facts) -> float:
    """Return up to where usage is allowed, as one number like `comparable_size`: beyond it for a soft limit."""
    size = comparable_size(facts)
    if not facts.soft or not size:
        return size
    return float("inf") if facts.overage_max is None else size + facts.overage_max


def effect_between(was: Facts, becomes: Facts) -> Effect | None:
    """Return the effect of other facts on a value and on what is allowed above it; `None` if both stay."""
    before, after = comparable_size(was), comparable_size(becomes)
    ceilings = comparable_ceiling(was), comparable_ceiling(becomes)
    if before == after and ceilings[0] == ceilings[1]:
        return None
    if not before or not after:
        return Effect.GAINS if after else Effect.LOSES
    reduces, raises = after < before or ceilings[1] < ceilings[0], after > before or ceilings[1] > ceilings[0]
    return Effect.OTHER if reduces and raises else Effect.LESS if reduces else Effect.MORE


def _least_check(facts: Facts) -> LeastCheckResult:
    """Return the result of the least check, as far as the granted value decides it."""
    feature, reason = facts.feature, Reason.GRANTED
    if facts.disabled:
        reason = Reason.OVERRIDE_DENIED
    elif not facts.held:
        reason = Reason.NOT_ENTITLED if facts.live or facts.overridden else Reason.SUBSCRIPTION_INACTIVE
    elif feature.type is FeatureType.QUANTITY and not facts.unlimited and facts.total < default_amount(feature):
        reason = Reason.LIMIT_REACHED
    return LeastCheckResult(reason is Reason.GRANTED, reason, value_from_facts(facts), overage_from_facts(facts))
