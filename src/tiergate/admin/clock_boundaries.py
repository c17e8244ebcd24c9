"""What begins and ends by itself at an instant, in the record of a customer and in the catalog. Pure.

Only what has effect: an empty interval has none, and an item begins and ends only while its subscription counts. Where
several things end a subscription at once, the trial or the grace is named.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from tiergate.model import BEGINNING, FOREVER, SubscriptionStatus, format_instant
from tiergate.store.outbox import EventType

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tiergate.model import (
        Catalog,
        Customer,
        Instant,
        Interval,
        Override,
        SubjectRecord,
        Subscription,
        Suspension,
    )


class Boundary(NamedTuple):
    """Something begins or ends at an instant: the type of its event, and the ids that the event has.

    `features`: those concerned, as far as the boundary itself names them. `items`: the items concerned.
    """

    at: Instant
    type: EventType
    ids: dict[str, object]
    features: tuple[str, ...] = ()
    items: tuple[str, ...] = ()


def boundaries_of(record: SubjectRecord) -> list[Boundary]:
    """Return everything that begins or ends in a record, past and future, by its instant; what begins comes last."""
    found = [*_of_holder(record.customer, {"customer": record.customer.id})]
    for subscription in record.subscriptions:
        found += _of_subscription(subscription)
    found.sort(key=lambda boundary: (boundary.at, not _ends(boundary)))
    return found


def next_boundary(record: SubjectRecord, after: Instant) -> Instant | None:
    """Return the first instant after another at which something begins or ends."""
    return min((boundary.at for boundary in boundaries_of(record) if boundary.at > after), default=None)


def catalog_boundaries(catalog: Catalog) -> list[Boundary]:
    """Return what begins or ends in the catalog itself: suspensions for everybody, and rollouts."""
    found: list[Boundary] = []
    for feature in catalog.features.values():
        found += _suspensions(feature.suspensions, {}, feature.id)
    for item in catalog.items.values():
        for rollout in item.rollouts:
            if rollout.start > BEGINNING:
                ids: dict[str, object] = {"item": item.id, "version": rollout.version}
                found.append(Boundary(rollout.start, EventType.ROLLOUT_STARTED, ids, items=(item.id,)))
    return found


def _ends(boundary: Boundary) -> bool:
    return boundary.type.value.endswith((".ended", ".resumed"))


def _of_subscription(subscription: Subscription) -> Iterator[Boundary]:
    ids: dict[str, object] = {"customer": subscription.customer, "subscription": subscription.id}
    live = subscription.live_interval()
    yield from _of_holder(subscription, ids)
    if live.start >= live.until:
        return
    items = tuple(held.item for held in subscription.items)
    if live.start > BEGINNING:
        yield Boundary(live.start, _start_type(subscription, live), ids, items=items)
    if live.until < FOREVER:
        yield Boundary(live.until, _end_type(subscription, live), ids, items=items)
    for held in subscription.items:
        if held.start >= held.until:
            continue
        its = {**ids, "item": held.item, "quantity": held.quantity}
        if live.start < held.start < live.until:
            yield Boundary(held.start, EventType.ITEM_STARTED, its, items=items)
        if live.start < held.until < live.until:
            yield Boundary(held.until, EventType.ITEM_ENDED, its, items=items)


def _start_type(subscription: Subscription, live: Interval) -> EventType:
    if subscription.status is SubscriptionStatus.PAUSED and live.start == subscription.resume_at:
        return EventType.SUBSCRIPTION_RESUMED
    if subscription.status is SubscriptionStatus.TRIALING:
        return EventType.TRIAL_STARTED
    return EventType.SUBSCRIPTION_STARTED


def _end_type(subscription: Subscription, live: Interval) -> EventType:
    status = subscription.status
    if status is SubscriptionStatus.PAUSED:
        status = subscription.resumes_as or SubscriptionStatus.ACTIVE
    if status is SubscriptionStatus.TRIALING and live.until == subscription.trial_end:
        return EventType.TRIAL_ENDED
    if status is SubscriptionStatus.PAST_DUE and live.until == subscription.grace_until:
        return EventType.GRACE_ENDED
    return EventType.SUBSCRIPTION_ENDED


def _of_holder(holder: Customer | Subscription, ids: dict[str, object]) -> Iterator[Boundary]:
    for override in holder.overrides:
        yield from _override(override, ids)
    for suspension in holder.suspensions:
        yield from _suspensions((suspension,), ids, suspension.feature)


def _override(override: Override, ids: dict[str, object]) -> Iterator[Boundary]:
    if override.start >= override.until:
        return
    its: dict[str, object] = {**ids, "override": override.id, "feature": override.feature, "mode": override.mode.value}
    if override.start > BEGINNING:
        yield Boundary(override.start, EventType.OVERRIDE_STARTED, its, (override.feature,))
    if override.until < FOREVER:
        yield Boundary(override.until, EventType.OVERRIDE_ENDED, its, (override.feature,))


def _suspensions(suspensions: tuple[Suspension, ...], ids: dict[str, object], feature: str) -> Iterator[Boundary]:
    for suspension in suspensions:
        if suspension.start >= suspension.until:
            continue
        its: dict[str, object] = {"feature": feature, **ids}
        if suspension.until < FOREVER:
            its["until"] = format_instant(suspension.until)
            yield Boundary(suspension.until, EventType.FEATURE_RESUMED, its, (feature,))
        if suspension.start > BEGINNING:
            yield Boundary(suspension.start, EventType.FEATURE_SUSPENDED, its, (feature,))
