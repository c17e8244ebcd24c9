"""Answers as text: what `check`, `replay` and `demo` print."""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING

import msgspec

from tiergate.cli.output.console import print_line, print_table
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
"""The sentence of each reason."""


def verdict(answer: Answer) -> str:
    """Return a line such as `yes: granted` or `no: the limit is reached (limit_reached)`."""
    if answer.allowed and answer.reason == Reason.GRANTED:
        return "yes: granted"
    text = REASONS.get(answer.reason)
    return ("yes: " if answer.allowed else "no: ") + (f"{text} ({answer.reason})" if text else answer.reason)


def print_answer(answer: Answer, *rows: tuple[str, str]) -> None:
    """Print the verdict and the table of an answer, the given rows first."""
    print_line(verdict(answer), "bold green" if answer.allowed else "bold red")
    print_table([*rows, *answer_rows(answer)])


def entitlement_text(answer: Answer) -> str:
    """Return what the subject may use: `50 movies/month, 12 used, 38 remaining`, `phone`, `nothing`; or `unknown`."""
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
    if entitlement.granted is not None:
        parts.append(f"{entitlement.granted} of it granted")
    if entitlement.overage is not None:
        parts.append(f"{entitlement.overage} above the limit")
    if entitlement.caps is not None and entitlement.caps.total is not msgspec.UNSET:
        parts.append(f"at most {entitlement.caps.total} by everybody together")
    if entitlement.caps is not None and entitlement.caps.per_user is not msgspec.UNSET:
        parts.append(f"at most {entitlement.caps.per_user} per user")
    return ", ".join(parts)


def source_text(source: Source) -> str:
    """Return what an item or an override contributes: `2 × addon/extra-movies@1: +10`."""
    value = "unlimited" if source.unlimited else _plain(source.value)
    if source.override:
        subscription = f" on {source.subscription}" if source.subscription else ""
        return f"override {source.override}{subscription}: {value} ({source.mode})"
    value = f"+{value}" if source.add else value
    times = f"{source.quantity} × " if source.quantity is not None and source.quantity != 1 else ""
    per = f" per {source.per}" if source.per else ""
    above = "" if source.overage_max is None else f", at most {source.overage_max} above"
    limit = f", {source.limit} limit{above}" if source.limit else ""
    return f"{times}{source.item}@{source.version}: {value}{per}{limit}"


def answer_rows(answer: Answer) -> list[tuple[str, str]]:
    """Return an answer as rows of a label and its content."""
    rows = [("entitlement", entitlement_text(answer))]
    rows += [("from" if not index else "", source_text(source)) for index, source in enumerate(answer.sources)]
    rows += [("decided by" if not index else "", policy) for index, policy in enumerate(answer.policies)]
    if answer.valid_until is not None:
        rows.append(("valid until", instant_text(answer.valid_until)))
    if answer.resets_at is not None:
        rows.append(("resets at", instant_text(answer.resets_at)))
    if answer.since is not None:
        rows.append(("status", f"{answer.status} since {instant_text(answer.since)}"))
    if answer.stale:
        outdated = "the sidecar has received nothing from its source for too long"
        rows.append(("stale", outdated if answer.type else "the sidecar has not loaded anything yet"))
    return rows


def _amount(entitlement: Entitlement) -> str:
    number = "unlimited" if entitlement.unlimited else str(entitlement.value)
    return f"{number} {entitlement.unit}".rstrip()


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return str(value)


def instant_text(at: datetime) -> str:
    """Return an instant, to the second: `2027-01-01 00:00:00 UTC`."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
