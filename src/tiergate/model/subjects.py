"""Customers and their subscriptions (design, sections 1 and 2).

These structures are array-like: their MessagePack bytes are the compact record of a replica. New fields are only
appended, with a default.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from tiergate.model.calendar_units import CalendarUnit
from tiergate.model.instants import BEGINNING, FOREVER, Instant, Interval
from tiergate.model.values import Value


class SubscriptionStatus(StrEnum):
    """The state that billing last reported."""

    ACTIVE = "active"
    TRIALING = "trialing"
    PAST_DUE = "past_due"
    CANCELED = "canceled"
    PAUSED = "paused"
    EXPIRED = "expired"


class OverrideMode(StrEnum):
    """How an override changes the value that the items give."""

    REPLACE = "replace"
    AT_LEAST = "at_least"
    DISABLED = "disabled"
    ADD = "add"


class Suspension(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A feature switched off over `[start, until)`. `feature` is empty if the suspension is inside a feature."""

    feature: str = ""
    start: Instant = BEGINNING
    until: Instant = FOREVER
    reason: str = ""


class Override(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A value for one feature over `[start, until)`; `value` is `None` exactly if the mode is `disabled`."""

    id: str
    feature: str
    mode: OverrideMode
    value: Value | None
    start: Instant = BEGINNING
    until: Instant = FOREVER
    author: str = ""
    reason: str = ""


class SubscriptionItem(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """An item in a subscription: `quantity` ≥ 1, a pinned `version` or none, its own `[start, until)`.

    `added_at`: when it was added, for rollouts to those added since; `None`: at the subscription's start.
    """

    item: str
    quantity: int = 1
    version: int | None = None
    added_at: Instant | None = None
    start: Instant = BEGINNING
    until: Instant = FOREVER


class Term(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """How often a subscription renews: every `count` of `unit`, in UTC, counted from `anchor`."""

    unit: CalendarUnit
    count: int
    anchor: Instant


class Subscription(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What a customer has. Dates are instants, or `None` where not given.

    `resumes_as`: the status that a paused subscription returns to; `None` stands for `active`. `metadata` and
    `external_ids` (system → id there) are for people and programs outside: no policy reads them.
    """

    id: str
    customer: str
    status: SubscriptionStatus
    items: tuple[SubscriptionItem, ...] = ()
    start: Instant | None = None
    end: Instant | None = None
    trial_end: Instant | None = None
    grace_until: Instant | None = None
    resume_at: Instant | None = None
    overrides: tuple[Override, ...] = ()
    suspensions: tuple[Suspension, ...] = ()
    resumes_as: SubscriptionStatus | None = None
    term: Term | None = None
    metadata: dict[str, str] = {}
    external_ids: dict[str, str] = {}

    def live_interval(self) -> Interval:
        """Return the interval in which the subscription counts (design, semantics 1); empty if it never does."""
        start = BEGINNING if self.start is None else self.start
        until = FOREVER if self.end is None else self.end
        status = self.status
        if status is SubscriptionStatus.PAUSED and self.resume_at is not None:
            start = max(start, self.resume_at)
            status = self.resumes_as or SubscriptionStatus.ACTIVE
        match status:
            case SubscriptionStatus.ACTIVE:
                pass
            case SubscriptionStatus.CANCELED if self.end is not None:
                pass
            case SubscriptionStatus.TRIALING if self.trial_end is not None:
                until = min(until, self.trial_end)
            case SubscriptionStatus.PAST_DUE if self.grace_until is not None:
                until = min(until, self.grace_until)
            case _:
                until = start
        return Interval(start, until)


class Customer(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A customer: tags and string attributes for rules, and its own overrides and suspensions.

    `name`, `metadata` and `external_ids` (system → id there) are for people and other systems: no policy reads them.
    """

    id: str
    tags: tuple[str, ...] = ()
    attributes: dict[str, str] = {}
    overrides: tuple[Override, ...] = ()
    suspensions: tuple[Suspension, ...] = ()
    name: str = ""
    metadata: dict[str, str] = {}
    external_ids: dict[str, str] = {}


class SubjectRecord(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """All data that a decision about a customer or one of its subscriptions needs."""

    customer: Customer
    subscriptions: tuple[Subscription, ...] = ()
