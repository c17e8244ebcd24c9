"""Equivalence classes of subjects: all in one class are affected alike, so only one of them must be decided.

A class consists of all that can matter to the affected features: items and their lifetimes, relative to the instants at
which anything starts or ends; overrides and suspensions; tags and attributes if something reads them. Records of one
class have the same effects, each at its own instants.

INVARIANT (shapes are fine enough): a part of a record that is left out changes no decision about an affected feature.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, NamedTuple

from tiergate.engine.active_items import share_bucket
from tiergate.model import BEGINNING, FOREVER, AudienceType, FeatureStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable

    from tiergate.impact.preview.affected_scope import AffectedScope
    from tiergate.model import CatalogIndex, Customer, Instant, SubjectRecord, Subscription, SubscriptionItem


class EquivalenceClass(NamedTuple):
    """The class of a record, and the record's own instants, `now` first.

    `subscriptions`: those that can come to count.
    """

    key: Hashable
    instants: tuple[Instant, ...]
    subscriptions: tuple[Subscription, ...]


class SubjectClassifier:
    """Finds the classes of records under two catalogs from `now` on, or at `now` alone (`only_now`).

    `reads_subjects`: rules may read tags and attributes; `reads_ids`: also ids; `reads_time`: also the time.
    """

    def __init__(
        self,
        sides: tuple[CatalogIndex, CatalogIndex],
        touched: AffectedScope,
        now: Instant,
        *,
        only_now: bool,
        reads_subjects: bool,
        reads_ids: bool,
        reads_time: bool,
    ) -> None:
        self._now = now
        self._only_now = only_now
        self._features = touched.features
        self._items = touched.items
        self._reads_subjects = reads_subjects
        self._reads_ids = reads_ids
        self._reads_time = reads_time
        self._suspended = _ends(
            (value.start, value.until)
            for side in sides
            for id_, feature in side.features.items()
            if id_ in touched.features and feature.status is not FeatureStatus.DRAFT
            for value in feature.suspensions
        )
        self._starts: dict[str, tuple[Instant, ...]] = {}
        self._shares: dict[str, tuple[int, ...]] = {}
        tags = set()
        for side in sides:
            for item in side.items.values():
                for rollout in item.rollouts:
                    self._put(self._starts, item.id, rollout.start)
                    if rollout.audience.type is AudienceType.SHARE:
                        self._put(self._shares, item.id, rollout.audience.share)
                    elif rollout.audience.type is AudienceType.TAG:
                        tags.add(rollout.audience.tag)
        self._tags = frozenset(tags)

    @staticmethod
    def _put(table: dict[str, tuple[int, ...]], item: str, number: int) -> None:
        table[item] = tuple(sorted({*table.get(item, ()), number}))

    def concerns(self, record: SubjectRecord) -> bool:
        """Return whether a record can be affected at all."""
        if self._items is None:
            return True
        items, features = self._items, self._features
        for subscription in record.subscriptions:
            for held in subscription.items:
                if held.item in items:
                    return True
            for override in subscription.overrides:
                if override.feature in features:
                    return True
        return any(override.feature in features for override in record.customer.overrides)

    def of(self, record: SubjectRecord) -> EquivalenceClass:
        """Return the class of a record that can be affected."""
        now, customer = self._now, record.customer
        living = []
        for subscription in record.subscriptions:
            live = subscription.live_interval()
            if self._reads_subjects or (live.start < live.until and live.until > now):
                living.append((subscription, live.start, live.until))
        instants = self._instants(customer, living)
        places = {instant: place for place, instant in enumerate(instants)}

        def place(instant: Instant) -> int:
            return -1 if instant <= now else -2 if instant == FOREVER else places.get(instant, -3)

        at = (
            tuple(places[instant] for instant in self._catalog_instants(living) if instant in places)
            if len(instants) > 1
            else ()
        )
        key: tuple[Hashable, ...] = (
            len(record.subscriptions) > 1,
            len(instants),
            at,
            tuple(
                [
                    (
                        place(start),
                        place(until),
                        tuple([self._held(held, subscription, customer, place) for held in subscription.items]),
                        self._exceptions(subscription, place),
                    )
                    for subscription, start, until in living
                ]
            ),
            self._exceptions(customer, place),
        )
        if self._reads_subjects:
            key += (customer.tags, tuple(sorted(customer.attributes.items())))
        else:
            key += (tuple([tag for tag in customer.tags if tag in self._tags]),)
        if self._reads_ids:
            key += (customer.id, tuple([it.id for it in record.subscriptions]))
        if self._reads_time:
            key += (instants,)
        return EquivalenceClass(key, instants, tuple([it[0] for it in living]))

    def _held(
        self, held: SubscriptionItem, subscription: Subscription, customer: Customer, place: Callable[[Instant], int]
    ) -> Hashable:
        added = held.added_at if held.added_at is not None else subscription.start
        starts = self._starts.get(held.item, _ALWAYS)
        began = -1 if added is None or starts == _ALWAYS else bisect_right(starts, added)
        shares = self._shares.get(held.item)
        bucket = 0 if shares is None else bisect_right(shares, share_bucket(customer.id, held.item))
        return (held.item, held.quantity, held.version, place(held.start), place(held.until), began, bucket)

    def _exceptions(self, holder: Customer | Subscription, place: Callable[[Instant], int]) -> Hashable:
        if not holder.overrides and not holder.suspensions:
            return None
        overrides = [
            override
            for override in holder.overrides
            if override.feature in self._features and override.until > self._now
        ]
        reported = [
            (
                entry.feature,
                entry.mode,
                entry.value,
                place(entry.start),
                place(entry.until),
                len(overrides) > 1 and (entry.start, entry.id),
            )
            for entry in overrides
        ]
        suspensions = [
            (suspension.feature, place(suspension.start), place(suspension.until))
            for suspension in holder.suspensions
            if suspension.feature in self._features
            and suspension.start < suspension.until
            and suspension.until > self._now
        ]
        return tuple(reported), tuple(suspensions)

    def _instants(self, customer: Customer, living: list[tuple[Subscription, Instant, Instant]]) -> tuple[Instant, ...]:
        """Return all instants from `now` on at which anything of the record starts or ends."""
        now = self._now
        if self._only_now:
            return (now,)
        result = set(self._catalog_instants(living))
        holders: list[Customer | Subscription] = [customer]
        for subscription, start, until in living:
            result |= {start, until}
            if subscription.overrides or subscription.suspensions:
                holders.append(subscription)
            for held in subscription.items:
                result |= {held.start, held.until}
        for holder in holders:
            for override in holder.overrides:
                if override.feature in self._features:
                    result |= {override.start, override.until}
            for suspension in holder.suspensions:
                if suspension.feature in self._features:
                    result |= {suspension.start, suspension.until}
        return (now, *sorted(it for it in result if now < it < FOREVER))

    def _catalog_instants(self, living: Iterable[tuple[Subscription, Instant, Instant]]) -> list[Instant]:
        found = [it for it in self._suspended if it > self._now]
        for subscription, _, _ in living:
            for held in subscription.items:
                starts = self._starts.get(held.item, _ALWAYS)
                if starts[-1] > self._now:
                    found += [start for start in starts if start > self._now]
        return found


_ALWAYS: tuple[Instant, ...] = (BEGINNING,)


def _ends(intervals: Iterable[tuple[Instant, Instant]]) -> tuple[Instant, ...]:
    return tuple(sorted({instant for interval in intervals for instant in interval if instant < FOREVER}))
