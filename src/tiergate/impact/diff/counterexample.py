"""A counterexample: a check that the two sides decide differently, with all that is needed to repeat it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from tiergate.model import (
    FOREVER,
    Amount,
    Level,
    Number,
    Status,
    SubjectType,
    Switch,
    Unlimited,
    format_instant,
    format_value,
    from_units,
)

if TYPE_CHECKING:
    from tiergate.impact.diff.representative_subjects import RepresentativeSubject
    from tiergate.impact.single_subject_engine import CheckParameters, ComparedDecision
    from tiergate.model import Instant, Override, Subject, SubscriptionItem


class Counterexample(msgspec.Struct, frozen=True, omit_defaults=True):
    """A check that the two sides answer differently at `at`.

    `subject`: made up unless a rule names it; a customer or of this `type`, perhaps with a `user`. `customer`: the
    owner of a subscription. Reasons are those of decisions, empty if the check is invalid. `items`: per subscription,
    written `gold`, `2 gold`, `gold@3` (pinned) or `override replace 5`. `overrides`, `suspended`: of the customer.
    `metered`, `total_used`: metered usage, which resets at `resets_at`. `status`: of the feature, if it is not
    operational. `timed`: the answer depends on the instant.
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
    resets_at: int | None = None
    status: str = ""
    timed: bool = False


class DifferingCase(NamedTuple):
    """A check of a made-up subject that the sides decide differently."""

    bearer: RepresentativeSubject
    subject: Subject
    at: Instant
    parameters: CheckParameters
    before: ComparedDecision
    after: ComparedDecision

    @property
    def turns(self) -> bool:
        """Whether only one side allows it: the best counterexample."""
        return self.before.allowed is not self.after.allowed

    def counterexample(self, scale: int, *, timed: bool) -> Counterexample:
        """Return the case as a counterexample; `scale`: the feature's; `timed`: it depends on the instant."""
        record, parameters = self.bearer.record, self.parameters
        customer = record.customer
        is_subscription = self.subject.type is SubjectType.SUBSCRIPTION
        return Counterexample(
            self.subject.id,
            self.at,
            self.before.reason,
            self.after.reason,
            *parameters[:5],
            tags=customer.tags,
            attributes=customer.attributes,
            type=self.subject.type.value,
            customer=customer.id if is_subscription else None,
            user=self.subject.user,
            items=tuple(
                (
                    *map(_item, subscription.items),
                    *(f"override {_override(it, scale)}" for it in subscription.overrides),
                )
                for subscription in record.subscriptions
            ),
            overrides=tuple(_override(override, scale) for override in customer.overrides),
            suspended=bool(customer.suspensions),
            metered=from_units(parameters.metered.used, scale),
            total_used=from_units(parameters.metered.total_used, scale),
            resets_at=None if parameters.metered.window_end == FOREVER else parameters.metered.window_end,
            status="" if parameters.status is Status.OPERATIONAL else parameters.status.value,
            timed=timed,
        )


def _item(item: SubscriptionItem) -> str:
    text = item.item if item.version is None else f"{item.item}@{item.version}"
    text = text if item.quantity == 1 else f"{item.quantity} {text}"
    return text if item.added_at is None else f"{text} added {format_instant(item.added_at)}"


def _override(override: Override, scale: int) -> str:
    match override.value:
        case Amount() as amount:
            value = format_value(amount, scale)
        case Switch(on=on):
            value = "on" if on else "off"
        case Level(label=label):
            value = label
        case Unlimited():
            value = "unlimited"
        case _:
            value = ""
    return f"{override.mode.value} {value}".rstrip()
