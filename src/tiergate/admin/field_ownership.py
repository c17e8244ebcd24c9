"""What people own of a subject, and what another system's write leaves to them.

Billing owns of a subscription that it is: status, dates, items and quantities, term. People own what they gave or took
by hand: overrides, suspensions, pins; names, tags and what is written down beside.

INVARIANT (nothing is wiped): a write that does not name what people own leaves it as it is. Only an empty value that is
written out takes it away.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from tiergate.model import SubscriptionItem, SubscriptionStatus
from tiergate.model.subscription_state import apply_due_resume
from tiergate.store.write_order import EVERY_SIDE, Side

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from tiergate.model import Customer, Instant, Subscription

BILLINGS: Final = frozenset(
    {"status", "items", "start", "end", "trial_end", "grace_until", "resume_at", "resumes_as", "term"}
)
"""The keys of a subscription that billing owns."""

PEOPLES: Final = frozenset({"overrides", "suspensions", "metadata", "external_ids"})
"""The keys of a subscription that people own; the pins in its items are theirs too."""

_OF_CUSTOMER: Final = ("name", "tags", "attributes", "metadata", "external_ids", "overrides", "suspensions")
_NEEDS: Final = {SubscriptionStatus.TRIALING: "trial_end", SubscriptionStatus.CANCELED: "end"}


def sides_named(named: Collection[str]) -> frozenset[Side]:
    """Whose parts a patch of a subscription names; both where it names none."""
    sides = {side for side, keys in ((Side.BILLING, BILLINGS), (Side.PEOPLE, PEOPLES)) if not keys.isdisjoint(named)}
    return frozenset(sides) or EVERY_SIDE


def kept_customer(customer: Customer, before: Customer | None, named: Collection[str]) -> Customer:
    """A customer as a body says it, with everything as it was that the body does not name."""
    if before is None:
        return customer
    return replace(customer, **{key: getattr(before, key) for key in _OF_CUSTOMER if key not in named})


def kept_subscription(
    subscription: Subscription, before: Subscription | None, named: Collection[str], now: Instant
) -> Subscription:
    """A subscription as a body says it, with what people own as it was where the body does not name it."""
    if before is None:
        return subscription
    kept = {key: getattr(before, key) for key in PEOPLES if key not in named}
    return replace(subscription, items=with_pins(subscription.items, before.items, now), **kept)


def with_pins(
    items: Sequence[SubscriptionItem], before: Sequence[SubscriptionItem], now: Instant
) -> tuple[SubscriptionItem, ...]:
    """Items with the pins of those that stay: of an item in several entries, in their order.

    Where there are fewer entries of an item than before, those that are over at `now` are the ones that went.
    """
    counts = Counter(held.item for held in items)
    were = Counter(held.item for held in before)
    pins: dict[str, list[int | None]] = {}
    for held in before:
        if counts[held.item] >= were[held.item] or held.until > now:
            pins.setdefault(held.item, []).append(held.version)
    found = []
    for held in items:
        old = pins.get(held.item)
        pin = old.pop(0) if old else None
        found.append(replace(held, version=pin) if held.version is None and pin is not None else held)
    return tuple(found)


def merged(texts: Mapping[str, str], before: Mapping[str, str]) -> dict[str, str]:
    """What two sides write into one mapping: each entry as it was last written."""
    return dict(sorted({**before, **texts}.items()))


def resuming_as(after: Subscription, before: Subscription | None, now: Instant) -> Subscription:
    """A subscription that somebody paused without saying as what it resumes: as what it was, where its dates are there.

    So a pause does not make a trial, or what is owed, disappear.
    """
    if before is None or after.status is not SubscriptionStatus.PAUSED or after.resumes_as is not None:
        return after
    present = apply_due_resume(before, now)
    was = present.resumes_as if present.status is SubscriptionStatus.PAUSED else present.status
    if was not in {SubscriptionStatus.TRIALING, SubscriptionStatus.PAST_DUE, SubscriptionStatus.CANCELED}:
        return after
    needed = _NEEDS.get(was)
    return after if needed is not None and getattr(after, needed) is None else replace(after, resumes_as=was)
