"""Evidence: a check that shows a difference, with all that is needed to ask it again.

Values and their making only; whether it shows anything is for whoever decided it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from tiergate.model import (
    Amount,
    Level,
    Number,
    SubjectType,
    Switch,
    Unlimited,
    format_instant,
    format_units,
    from_units,
)

if TYPE_CHECKING:
    from tiergate.impact.single_subject_engine import CheckParameters
    from tiergate.model import Instant, Override, Subject, SubjectRecord, SubscriptionItem


class Counterexample(msgspec.Struct, frozen=True, omit_defaults=True):
    """A check, asked of both sides at `at`, which they answer differently.

    `subject` is made up, unless a rule names it; it is a customer, or of this `type`, and asks for itself or as `user`.
    `customer`: whose it is, where it is not a customer itself: rules may name that customer.
    Reasons are those of decisions; empty where the check is a mistake. `items`: what the subject holds, written
    `gold`, `2 gold` or `gold@3` (pinned), or `override replace 5`, one list for each of its subscriptions. `overrides`
    and `suspended`: what else is said of the customer. `metered` and `total_used`: usage that is known of itself.
    `timed`: something concerns the check that goes by time, so that at another instant it may be answered otherwise.
    """

    subject: str
    at: int
    reason_before: str
    reason_after: str
    amount: Number | None = None
    used: Number | None = None
    user_used: Number | None = None
    value: Number | None = None
    level: str | None = None
    tags: tuple[str, ...] = ()
    attributes: dict[str, str] = {}
    type: str = "customer"
    customer: str | None = None
    user: str | None = None
    items: tuple[tuple[str, ...], ...] = ()
    overrides: tuple[str, ...] = ()
    suspended: bool = False
    metered: Number = 0
    total_used: Number = 0
    timed: bool = False


def make_counterexample(
    record: SubjectRecord,
    subject: Subject,
    ask: CheckParameters,
    at: Instant,
    scale: int,
    reasons: tuple[str, str],
    *,
    timed: bool,
) -> Counterexample:
    """A check of a made-up subject as a value that says all of it; `scale`: the feature's."""
    customer = record.customer
    is_part = subject.type is SubjectType.SUBSCRIPTION
    return Counterexample(
        subject.id,
        at,
        *reasons,
        ask.amount,
        ask.used,
        ask.user_used,
        ask.value,
        ask.level,
        customer.tags,
        customer.attributes,
        SubjectType.SUBSCRIPTION.value if is_part else SubjectType.CUSTOMER.value,
        customer.id if is_part else None,
        subject.user,
        tuple(
            (
                *map(_item, subscription.items),
                *(f"override {_override(override, scale)}" for override in subscription.overrides),
            )
            for subscription in record.subscriptions
        ),
        tuple(_override(entry, scale) for entry in customer.overrides),
        bool(customer.suspensions),
        from_units(ask.metered.used, scale),
        from_units(ask.metered.total_used, scale),
        timed,
    )


def _item(held: SubscriptionItem) -> str:
    text = held.item if held.version is None else f"{held.item}@{held.version}"
    text = text if held.quantity == 1 else f"{held.quantity} {text}"
    return text if held.added_at is None else f"{text} added {format_instant(held.added_at)}"


def _override(override: Override, scale: int) -> str:
    match override.value:
        case Amount(units=units):
            value = format_units(units, scale)
        case Switch(on=on):
            value = "on" if on else "off"
        case Level(label=label):
            value = label
        case Unlimited():
            value = "unlimited"
        case _:
            value = ""
    return f"{override.mode.value} {value}".rstrip()
