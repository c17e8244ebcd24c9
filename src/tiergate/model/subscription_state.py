"""What a subscription's status and dates come to at an instant (design, semantics 1).

A status is what was last said; time goes on. The state says what is so now: one whose trial is over has ended, though
its status is still `trialing`, and one that was paused until yesterday counts again.

INVARIANT (one state): a subscription is `live` exactly where `Subscription.live` holds. `store.subscriptions` says the
same in SQL, where subscriptions are searched by their state.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from msgspec.structs import replace

from tiergate.model.instants import BEGINNING, FOREVER, Instant
from tiergate.model.subjects import SubscriptionStatus

if TYPE_CHECKING:
    from tiergate.model.subjects import Subscription


class SubscriptionState(StrEnum):
    """What a subscription is at an instant.

    Only `live` counts. `scheduled` will, from its start on. `paused` may again. `overdue` is `past_due` without grace,
    or after it. `ended` does not count any more, and will not by itself.
    """

    LIVE = "live"
    SCHEDULED = "scheduled"
    PAUSED = "paused"
    OVERDUE = "overdue"
    ENDED = "ended"


def resume_subscription(subscription: Subscription) -> Subscription:
    """A paused subscription as it is once it has resumed; any other as it is."""
    if subscription.status is not SubscriptionStatus.PAUSED:
        return subscription
    status = subscription.resumes_as or SubscriptionStatus.ACTIVE
    return replace(subscription, status=status, resume_at=None, resumes_as=None)


def apply_due_resume(subscription: Subscription, now: Instant) -> Subscription:
    """A subscription with the status that it has at `now`: a paused one whose `resume_at` has come has resumed."""
    if subscription.resume_at is not None and subscription.resume_at <= now:
        return resume_subscription(subscription)
    return subscription


def derive_state(subscription: Subscription, now: Instant) -> SubscriptionState:
    """What a subscription is at `now`."""
    if subscription.live_interval().contains(now):
        return SubscriptionState.LIVE
    present = apply_due_resume(subscription, now)
    inner = resume_subscription(present)
    if has_ended(inner, now):
        return SubscriptionState.ENDED
    if present.status is SubscriptionStatus.PAUSED:
        return SubscriptionState.PAUSED
    start = BEGINNING if inner.start is None else inner.start
    if inner.end is not None and inner.end <= start:
        return SubscriptionState.ENDED
    if inner.status is SubscriptionStatus.PAST_DUE and (
        inner.grace_until is None or inner.grace_until <= max(now, start)
    ):
        return SubscriptionState.OVERDUE
    live = inner.live_interval()
    return SubscriptionState.SCHEDULED if now < live.start < live.until else SubscriptionState.ENDED


def has_ended(subscription: Subscription, now: Instant) -> bool:
    """Say whether a subscription that is not paused has come to an end that it cannot come back from by itself."""
    until = FOREVER if subscription.end is None else subscription.end
    match subscription.status:
        case SubscriptionStatus.TRIALING:
            until = min(until, BEGINNING if subscription.trial_end is None else subscription.trial_end)
        case SubscriptionStatus.CANCELED if subscription.end is None:
            until = BEGINNING
        case SubscriptionStatus.EXPIRED | SubscriptionStatus.PAUSED:
            until = BEGINNING
        case _:
            pass
    return until <= now
