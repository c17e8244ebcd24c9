"""Answers in words, for people: what `check`, `explain` and `demo` say."""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING

from tiergate.model import Reason

if TYPE_CHECKING:
    from datetime import datetime

    from tiergate.client import Answer, Entitlement, Source

REASONS: dict[str, str] = {
    Reason.UNKNOWN_SUBJECT: "no customer or subscription has this id",
    Reason.EVALUATION_ERROR: "the check could not be evaluated",
    Reason.STALE_DATA: "the data is too old to decide",
    Reason.FEATURE_INACTIVE: "the feature is a draft",
    Reason.FEATURE_SUSPENDED: "the feature is suspended",
    Reason.SUBSCRIPTION_INACTIVE: "no subscription is active",
    Reason.OVERRIDE_DENIED: "an override removes the feature",
    Reason.RULE_DENIED: "a rule forbids it",
    Reason.AMOUNT_INVALID: "the amount is not valid for this feature",
    Reason.CAP_REACHED: "a cap is reached",
    Reason.NOT_ENTITLED: "the customer's plan does not include it",
    Reason.LIMIT_REACHED: "the limit is reached",
    Reason.OUT_OF_RANGE: "the value is above the limit",
    Reason.LEVEL_TOO_LOW: "a higher level is required",
    Reason.GRANTED: "granted",
}
"""Each reason in words."""


def verdict(answer: Answer) -> str:
    """`yes: granted`, `no: the limit is reached (limit_reached)`."""
    if answer.allowed and answer.reason == Reason.GRANTED:
        return "yes: granted"
    words = REASONS.get(answer.reason)
    return ("yes: " if answer.allowed else "no: ") + (f"{words} ({answer.reason})" if words else answer.reason)


def holding(answer: Answer) -> str:
    """What the subject holds: `50 movies/month, 12 used, 38 remaining`, `phone`, `nothing`; or `unknown`."""
    entitlement = answer.entitlement
    if not answer.type:
        return "unknown"
    if answer.type == "switch":
        return answer.feature if entitlement.value is True else "nothing"
    if answer.type == "custom":
        return "nothing" if entitlement.value is None else str(entitlement.value)
    if answer.type == "range":
        return f"up to {_amount(entitlement)}" if entitlement.unlimited or entitlement.value else "nothing"
    parts = [_amount(entitlement)]
    if entitlement.used is not None:
        parts.append(f"{entitlement.used} used")
    if entitlement.remaining is not None:
        parts.append(f"{entitlement.remaining} remaining")
    return ", ".join(parts)


def source(one: Source) -> str:
    """What an item or an override contributed: `2 × addon/extra-movies@1: +10`."""
    value = "unlimited" if one.unlimited else _plain(one.value)
    if one.override:
        whose = f" on {one.subscription}" if one.subscription else ""
        return f"override {one.override}{whose}: {value} ({one.mode})"
    value = f"+{value}" if one.add else value
    times = f"{one.quantity} × " if one.quantity is not None and one.quantity != 1 else ""
    per = f" per {one.per}" if one.per else ""
    return f"{times}{one.item}@{one.version}: {value}{per}"


def lines(answer: Answer) -> list[tuple[str, str]]:
    """An answer as a table of two columns: a word, and what it says."""
    found = [("entitlement", holding(answer))]
    found += [("from" if not index else "", source(one)) for index, one in enumerate(answer.sources)]
    found += [("decided by" if not index else "", policy) for index, policy in enumerate(answer.policies)]
    if answer.valid_until is not None:
        found.append(("valid until", moment(answer.valid_until)))
    if answer.stale:
        heard = "the sidecar has received nothing from its source for too long"
        found.append(("stale", heard if answer.type else "the sidecar has not loaded anything yet"))
    return found


def _amount(entitlement: Entitlement) -> str:
    number = "unlimited" if entitlement.unlimited else str(entitlement.value)
    return f"{number} {entitlement.unit}".rstrip()


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return str(value)


def moment(at: datetime) -> str:
    """An instant, to the second: `2027-01-01 00:00:00 UTC`."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
