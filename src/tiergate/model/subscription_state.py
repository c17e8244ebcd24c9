"""The state of a subscription at an instant, from its status and dates (design, semantics 1).

The status is what billing last reported. The state follows the time: a subscription whose trial is over has ended,
though its status is still `trialing`; one that was paused until yesterday counts again.

INVARIANT (one state): a subscription is `live` exactly where `Subscription.live_interval` contains the instant.
`store.subscriptions` computes the same in SQL, to search subscriptions by state.
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
    """The state of a subscription at an instant.

    Only `live` counts. `scheduled` starts later. `paused` may continue. `overdue`: `past_due` without grace, or after
    it. `ended` does not count any more, and cannot continue by itself.
    """

    LIVE = "live"
    SCHEDULED = "scheduled"
    PAUSED = "paused"
    OVERDUE = "overdue"
    ENDED = "ended"


def resume_subscription(subscription: Subscription) -> Subscription:
    """Return a paused subscription as it is after it has resumed; any other unchanged."""
    if subscription.status is not SubscriptionStatus.PAUSED:
        return subscription
    status = subscription.resumes_as or SubscriptionStatus.ACTIVE
    return replace(subscription, status=status, resume_at=None, resumes_as=None)


def apply_due_resume(subscription: Subscription, now: Instant) -> Subscription:
    """Return a subscription with its status at `now`: a paused one with `resume_at` in the past has resumed."""
    if subscription.resume_at is not None and subscription.resume_at <= now:
        return resume_subscription(subscription)
    return subscription


def derive_state(subscription: Subscription, now: Instant) -> SubscriptionState:
    """Return the state of a subscription at `now`."""
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
    """Return whether a subscription that is not paused has ended, and cannot continue by itself."""
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
