"""Preview the effects of a change on subjects, at every instant at which anything changes.

Each subject is decided on both sides. Records come as a stream; memory is bounded. Customers are decided as such, and
so is each subscription of those with several. Records and usage come from others (`subject_spool`, the store,
`usage_data`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from msgspec.structs import replace

from tiergate.engine.active_items import resolve_active_items
from tiergate.impact.preview.affected_scope import find_affected_scope
from tiergate.impact.preview.equivalence_classes import EquivalenceClass, SubjectClassifier
from tiergate.impact.preview.subject_comparison import SubjectComparison
from tiergate.impact.preview.subject_effects import (
    UNLIMITED,
    ComparedCheck,
    Effect,
    Impact,
    LeastCheckResult,
    SubjectEffect,
)
from tiergate.model import FOREVER, Check, FeatureType, OverrideMode, Subject, SubjectRecord, SubjectType
from tiergate.naming import version_ref

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Iterator

    from tiergate.engine import BundleSource
    from tiergate.impact.preview.affected_scope import AffectedScope
    from tiergate.model import Customer, Instant, Number, Override, Subscription

_MOST_SHAPES: Final = 50_000
_PROGRESS_EVERY: Final = 1_000


class KnownUsage(NamedTuple):
    """What a subject has used of a quantity. `granted`: how much of that may be above its value, by grants."""

    used: Number
    granted: Number = 0


class UsageLookup(Protocol):
    """The usage of subjects."""

    def known(self, subject: Subject, feature: str, at: Instant) -> KnownUsage | None:
        """Return what a subject will have used at an instant, if it uses no more until then; `None` if unknown."""
        ...


class _ClassEffect(NamedTuple):
    """An effect on a class: on the customer (-1) or the subscription at a position, at the instant at a position."""

    subscription: int
    feature: str
    instant: int
    effect: Effect
    before: LeastCheckResult
    after: LeastCheckResult
    shown_by: ComparedCheck | None


def preview_impact(
    baseline: BundleSource,
    candidate: BundleSource,
    records: Iterable[SubjectRecord],
    *,
    now: Instant,
    at: Instant | None = None,
    usage: UsageLookup | None = None,
    progress: Callable[[int], None] | None = None,
    each: Callable[[SubjectEffect], None] | None = None,
) -> Impact:
    """Compute the effects of replacing `baseline` by `candidate` on subjects that the old side could store.

    `now` in UTC milliseconds; with `at`, only that instant counts, else all from `now` on. `each` receives every
    effect, in the order of the records; `progress` the number of customers so far, now and then.

    Raises:
        BundleError: if a bundle cannot be read. Errors of `records` pass through.
    """
    result = ImpactPreview(baseline, candidate, now=now, at=at, usage=usage)
    impact = Impact()
    for record in records:
        effects = result.effects(record)
        impact.count(effects)
        if each is not None:
            for effect in effects:
                each(effect)
        if progress is not None and not impact.examined % _PROGRESS_EVERY:
            progress(impact.examined)
    if progress is not None:
        progress(impact.examined)
    return impact


class ImpactPreview:
    """Two bundles, ready to compute the effects on one subject after the other."""

    def __init__(
        self,
        baseline: BundleSource,
        candidate: BundleSource,
        *,
        now: Instant,
        at: Instant | None = None,
        usage: UsageLookup | None = None,
    ) -> None:
        """Find the affected scope, and prepare to decide."""
        self.sides = (baseline, candidate)
        self.touched: AffectedScope = find_affected_scope(baseline, candidate, now if at is None else min(now, at))
        self._usage = usage
        self._only_now = at is not None
        self._comparison = SubjectComparison(baseline, candidate, self.touched.features)
        by_cedar = self.touched.by_cedar
        self._reads_time = by_cedar and self._comparison.reads_time
        self._shapes = SubjectClassifier(
            (baseline.index, candidate.index),
            self.touched,
            now if at is None else at,
            only_now=at is not None,
            reads_subjects=by_cedar,
            reads_ids=by_cedar and self._comparison.reads_ids,
            reads_time=self._reads_time,
        )
        self._by_item = _FeaturesByItem(self.sides, self.touched.features)
        self._known: dict[Hashable, tuple[_ClassEffect, ...]] = {}

    @property
    def decided(self) -> int:
        """How many checks were decided so far, on both sides."""
        return self._comparison.decided

    def effects(self, record: SubjectRecord, usage: UsageLookup | None = None) -> list[SubjectEffect]:
        """Return the effects on a customer and its subscriptions, each once, at its first instant.

        `usage` takes the place of the one that the preview was made with.
        """
        if not self.touched.features or not self._shapes.concerns(record):
            return []
        shape = self._shapes.of(record)
        usage = self._usage if usage is None else usage
        return [self._subject_effect(effect, record, shape, usage) for effect in self._class_effects(record, shape)]

    def _compute(self, record: SubjectRecord, shape: EquivalenceClass) -> Iterator[_ClassEffect]:
        subjects = [(-1, Subject(record.customer.id))]
        if len(record.subscriptions) > 1 or (self.touched.by_cedar and self._comparison.reads_kinds):
            subscriptions = enumerate(shape.subscriptions)
            subjects += [(place, Subject(it.id, SubjectType.SUBSCRIPTION)) for place, it in subscriptions]
        features = self._features_of(record)
        losses: set[tuple[int, str]] = set()
        for place, subject in subjects:
            reported: set[tuple[str, Effect]] = set()
            for difference in self._differences(record, subject, place, shape, features):
                if (difference.feature, difference.effect) not in reported:
                    reported.add((difference.feature, difference.effect))
                    yield difference
            losses |= {(place, feature) for feature, effect in reported if effect.reduces}
        yield from self._kept_effects(record, shape, losses)

    def _class_effects(self, record: SubjectRecord, shape: EquivalenceClass) -> tuple[_ClassEffect, ...]:
        effects = self._known.get(shape.key)
        if effects is None:
            if len(self._known) >= _MOST_SHAPES:
                self._known.clear()
            effects = self._known[shape.key] = tuple(self._compute(record, shape))
        return effects

    def _differences(
        self, record: SubjectRecord, subject: Subject, place: int, shape: EquivalenceClass, features: Iterable[str]
    ) -> Iterator[_ClassEffect]:
        """Yield what differs for a subject at each of its instants, in order."""
        engines = self._comparison.engines
        for index, now in enumerate(shape.instants):
            until = now + 1 if self._only_now else next(iter(shape.instants[index + 1 :]), FOREVER)
            holdings = (
                resolve_active_items(record, subject, engines[0].index, now),
                resolve_active_items(record, subject, engines[1].index, now),
            )
            for feature in features:
                difference = self._comparison.difference(record, subject, feature, holdings, now, until)
                if difference is not None:
                    yield _ClassEffect(place, feature, index, *difference)

    def _kept_effects(
        self, record: SubjectRecord, shape: EquivalenceClass, losses: set[tuple[int, str]]
    ) -> Iterator[_ClassEffect]:
        """Yield what would be lost without overrides; `losses`: what is lost anyway."""
        bare = _without_overrides(record, self.touched.features)
        if bare == record:
            return
        bare_class = self._shapes.of(bare)
        reported = set(losses)
        for found in self._class_effects(bare, bare_class):
            key, now = (found.subscription, found.feature), bare_class.instants[found.instant]
            if not found.effect.reduces or found.effect is Effect.UNPROVED:
                continue
            if key not in reported and now in shape.instants and _has_override(record, found.feature, now):
                reported.add(key)
                yield found._replace(effect=Effect.KEPT, shown_by=None, instant=shape.instants.index(now))

    def _features_of(self, record: SubjectRecord) -> list[str]:
        """Return the affected features that a record can have; if rules may permit, all."""
        if self.touched.by_cedar:
            return sorted(self.touched.features)
        features: set[str] = set()
        features.update(override.feature for override in record.customer.overrides)
        for subscription in record.subscriptions:
            features.update(effect.feature for effect in subscription.overrides)
            for held in subscription.items:
                features |= self._by_item[held.item]
        return sorted(features & self.touched.features)

    def _subject_effect(
        self, found: _ClassEffect, record: SubjectRecord, shape: EquivalenceClass, usage: UsageLookup | None
    ) -> SubjectEffect:
        subject = Subject(record.customer.id)
        if found.subscription >= 0:
            subject = Subject(shape.subscriptions[found.subscription].id, SubjectType.SUBSCRIPTION)
        since, shown_by = shape.instants[found.instant], found.shown_by
        if shown_by is not None:
            if self._reads_time:
                since = max(since, shown_by.at)
            else:  # the check shows the effect at any instant, and another record's instants are not this one's
                shown_by = shown_by._replace(at=since)
        known = usage.known(subject, found.feature, since) if usage is not None and found.effect.reduces else None
        above = known is not None and self._is_above(found, known, record, subject, since)
        used = None if known is None else known.used
        customer, effect, before, after = record.customer.id, found.effect, found.before, found.after
        return SubjectEffect(customer, subject, found.feature, effect, since, before, after, used, above, shown_by)

    def _is_above(
        self, found: _ClassEffect, known: KnownUsage, record: SubjectRecord, subject: Subject, since: Instant
    ) -> bool:
        feature = self._comparison.engines[0].index.features.get(found.feature)
        used = max(0, known.used - known.granted)
        if feature is None or feature.type is not FeatureType.QUANTITY or not used:
            return False
        if found.effect is Effect.LOSES:
            return True
        value = found.after.value
        if value != UNLIMITED and not isinstance(value, str | None) and used > value:
            return True
        return found.shown_by is not None and self._comparison.is_denied(
            record, Check(subject, found.feature, used=used), since
        )


def _without_overrides(record: SubjectRecord, features: frozenset[str]) -> SubjectRecord:
    def others(holder: Customer | Subscription) -> tuple[Override, ...]:
        return tuple(override for override in holder.overrides if override.feature not in features)

    customer = replace(record.customer, overrides=others(record.customer))
    return SubjectRecord(customer, tuple(replace(it, overrides=others(it)) for it in record.subscriptions))


def _has_override(record: SubjectRecord, feature: str, now: Instant) -> bool:
    """Return whether an override is active that grants something, and none that disables it."""
    holders: list[Customer | Subscription] = [record.customer, *record.subscriptions]
    overrides = (it for holder in holders for it in holder.overrides if it.feature == feature)
    modes = {it.mode for it in overrides if it.start <= now < it.until}
    return bool(modes) and OverrideMode.DISABLED not in modes


class _FeaturesByItem(dict[str, frozenset[str]]):
    """For each item, those of some features that a version of either side grants; found on first use."""

    def __init__(self, sides: tuple[BundleSource, BundleSource], features: frozenset[str]) -> None:
        super().__init__()
        self._sides = sides
        self._features = features

    def __missing__(self, id_: str) -> frozenset[str]:
        items = ((side, side.index.items.get(id_)) for side in self._sides)
        definitions = (
            side.definition(version_ref(item.kind, id_, version))
            for side, item in items
            if item is not None
            for version in item.versions
        )
        self[id_] = given = frozenset().union(*(self._features & definition.keys() for definition in definitions))
        return given
