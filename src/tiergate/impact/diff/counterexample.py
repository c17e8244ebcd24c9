"""A counterexample: a check that the two sides decide differently, with all that is needed to repeat it."""

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
    """A check that the two sides answer differently at `at`.

    `subject`: made up unless a rule names it; a customer or of this `type`, perhaps with a `user`. `customer`: the
    owner of a subscription. Reasons are those of decisions, empty if the check is invalid. `items`: per subscription,
    written `gold`, `2 gold`, `gold@3` (pinned) or `override replace 5`. `overrides`, `suspended`: of the customer.
    `metered`, `total_used`: metered usage. `timed`: the answer depends on the instant.
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
    """Return a check of a made-up subject as a counterexample; `scale`: the feature's."""
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
