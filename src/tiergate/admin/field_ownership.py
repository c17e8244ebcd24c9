"""Merge a write of another system with what people own of a customer or subscription.

Billing owns the existence of a subscription: status, dates, items and quantities, term. People own what they granted or
revoked by hand: overrides, suspensions, pins; and names, tags and metadata.

INVARIANT (nothing is wiped): a write that does not name what people own leaves it as it is. Only an explicit empty
value removes it.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from tiergate.model import SubscriptionItem, SubscriptionStatus
from tiergate.model.subscription_state import apply_due_resume
from tiergate.store.write_order import EVERY_SIDE, Side

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from tiergate.model import Customer, Instant, Subscription

BILLING_KEYS: Final = frozenset(
    {"status", "items", "start", "end", "trial_end", "grace_until", "resume_at", "resumes_as", "term"}
)
"""The keys of a subscription that billing owns."""

PEOPLE_KEYS: Final = frozenset({"overrides", "suspensions", "metadata", "external_ids"})
"""The keys of a subscription that people own, besides the pins of its items."""

_CUSTOMER_KEYS: Final = ("name", "tags", "attributes", "metadata", "external_ids", "overrides", "suspensions")
_REQUIRED_DATES: Final = {SubscriptionStatus.TRIALING: "trial_end", SubscriptionStatus.CANCELED: "end"}


def named_sides(named: Collection[str]) -> frozenset[Side]:
    """Return the owners of the keys of a patch of a subscription; both if it has none."""
    owned = {Side.BILLING: BILLING_KEYS, Side.PEOPLE: PEOPLE_KEYS}
    return frozenset(side for side, keys in owned.items() if not keys.isdisjoint(named)) or EVERY_SIDE


def merge_customer(customer: Customer, before: Customer | None, named: Collection[str]) -> Customer:
    """Return a written customer with everything that the write does not name as it was."""
    if before is None:
        return customer
    return replace(customer, **{key: getattr(before, key) for key in _CUSTOMER_KEYS if key not in named})


def merge_subscription(
    subscription: Subscription, before: Subscription | None, named: Collection[str], now: Instant
) -> Subscription:
    """Return a written subscription with what people own as it was, unless the write names it."""
    if before is None:
        return subscription
    kept = {key: getattr(before, key) for key in PEOPLE_KEYS if key not in named}
    return replace(subscription, items=keep_pins(subscription.items, before.items, now), **kept)


def keep_pins(
    items: Sequence[SubscriptionItem], before: Sequence[SubscriptionItem], now: Instant
) -> tuple[SubscriptionItem, ...]:
    """Return items with the pins of earlier entries of the same item, in their order.

    If an item has fewer entries than before, those that ended before `now` are taken as the removed ones.
    """
    if not any(it.version is not None for it in before):
        return tuple(items)
    counts, counts_before = Counter(it.item for it in items), Counter(it.item for it in before)
    pins: dict[str, list[int | None]] = {}
    for it in before:
        if counts[it.item] >= counts_before[it.item] or it.until > now:
            pins.setdefault(it.item, []).append(it.version)
    result = []
    for it in items:
        earlier = pins.get(it.item)
        pin = earlier.pop(0) if earlier else None
        result.append(replace(it, version=pin) if it.version is None and pin is not None else it)
    return tuple(result)


def with_resume_status(after: Subscription, before: Subscription | None, now: Instant) -> Subscription:
    """Return a subscription that was paused without `resumes_as` with the status from before, if it has its dates.

    So a pause does not remove a trial or a late payment.
    """
    if before is None or after.status is not SubscriptionStatus.PAUSED or after.resumes_as is not None:
        return after
    present = apply_due_resume(before, now)
    status = present.resumes_as if present.status is SubscriptionStatus.PAUSED else present.status
    if status not in {SubscriptionStatus.TRIALING, SubscriptionStatus.PAST_DUE, SubscriptionStatus.CANCELED}:
        return after
    date = _REQUIRED_DATES.get(status)
    return after if date is not None and getattr(after, date) is None else replace(after, resumes_as=status)
