"""The first sentence: yes or no, the subject and the feature, and the cause. Each reason of a denial has one cause."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tiergate.engine.explanation.phrases import joined, moment, plain, with_unit
from tiergate.model import FeatureType, Reason, parse_instant
from tiergate.wire.decision import UNSET

if TYPE_CHECKING:
    from collections.abc import Callable

    from tiergate.wire.explanation import Reasoning


def verdict(reasoning: Reasoning) -> str:
    """Return `No: on 1 January 2027 at 00:00 UTC, customer ada may not use Analytics, because …`."""
    asked = parse_instant(reasoning.asked.at)
    at = moment(asked - asked % 1000)
    if reasoning.decision.allowed:
        return f"Yes: on {at}, {subject_phrase(reasoning)} may {_act(reasoning)}."
    why = cause(reasoning, Reason(reasoning.decision.reason))
    return f"No: on {at}, {subject_phrase(reasoning)} may not {_act(reasoning)}, because {why}."


def cause(reasoning: Reasoning, reason: Reason) -> str:
    """Return the cause of a denial, as the end of a sentence."""
    return _CAUSES[reason](reasoning)


def feature_name(reasoning: Reasoning) -> str:
    """Return the display name of the feature, or its id."""
    return plain(reasoning.asked.name or "") or reasoning.asked.feature


def subject_phrase(reasoning: Reasoning) -> str:
    """Return the subject in words: `user ann of customer ada`."""
    subject = reasoning.asked.subject
    user = f"user {subject.user} of " if subject.user else ""
    return f"{user}{subject.type} {subject.id}"


def _act(reasoning: Reasoning) -> str:
    asked, feature = reasoning.asked, feature_name(reasoning)
    match FeatureType(asked.type):
        case FeatureType.QUANTITY:
            return f"take {with_unit(asked.amount)} more of {feature}"
        case FeatureType.RANGE if value := with_unit(asked.value, asked.unit or ""):
            return f"set {feature} to {value}"
        case FeatureType.CUSTOM if asked.level:
            return f"choose the level {plain(asked.level)} of {feature}"
        case _:
            return f"use {feature}"


def _limit(reasoning: Reasoning) -> str:
    asked = reasoning.asked
    used, amount = with_unit(asked.used), with_unit(asked.amount)
    counting = reasoning.counting
    if counting.draws and any(policy.decided and policy.id == "guard/draws-exceeded" for policy in reasoning.policies):
        draws = counting.draws
        most, taken, drawn = with_unit(draws.ceiling), with_unit(draws.used), with_unit(draws.amount)
        return f"it draws {drawn} of {draws.feature}, of which {taken} are used and at most {most} may be"
    if counting.soft and counting.overage_max is not UNSET:
        above = f"by more than {with_unit(counting.overage_max)}"
        return f"{used} are used, and {amount} more would pass the soft limit of {_held(reasoning)} {above}"
    return f"{used} are used, and {amount} more would pass the limit of {_held(reasoning)}"


def _held(reasoning: Reasoning) -> str:
    return with_unit(reasoning.decision.entitlement.value, reasoning.asked.unit or "")


def _level(reasoning: Reasoning) -> str:
    return plain(str(reasoning.decision.entitlement.value))


def _rules(reasoning: Reasoning) -> str:
    rules = [policy for policy in reasoning.policies if policy.decided and policy.reason == Reason.RULE_DENIED]
    return f"the rule {rules[0].id.removeprefix('rule/')} forbids it" if len(rules) == 1 else "several rules forbid it"


def _amounts(reasoning: Reasoning) -> str:
    counting, unit = reasoning.counting, reasoning.asked.unit or ""
    parts = []
    if minimum := with_unit(counting.minimum, unit):
        parts.append(f"at least {minimum}")
    if increment := with_unit(counting.increment, unit):
        parts.append(f"in steps of {increment}")
    return joined(parts)


def _caps(reasoning: Reasoning) -> str:
    asked, counting = reasoning.asked, reasoning.counting
    deciding = {policy.id for policy in reasoning.policies if policy.decided}
    parts = []
    for policy, cap, whose in (
        ("guard/user-cap-reached", counting.user_cap, "each user"),
        ("guard/total-cap-reached", counting.total_cap, "everybody together"),
    ):
        if policy in deciding and cap:
            limit, used = with_unit(cap.limit, asked.unit or ""), with_unit(cap.used)
            amount = with_unit(asked.amount)
            parts.append(f"{whose} may take at most {limit}, {used} are used, and {amount} more would pass that")
    return joined(parts)


_CAUSES: dict[Reason, Callable[[Reasoning], str]] = {
    Reason.UNKNOWN_SUBJECT: lambda reasoning: (
        f"no {reasoning.asked.subject.type} {reasoning.asked.subject.id} is known"
    ),
    Reason.EVALUATION_ERROR: lambda _: "the check could not be evaluated, and what cannot be evaluated is denied",
    Reason.STALE_DATA: lambda reasoning: f"the data is too old to decide on {feature_name(reasoning)} by",
    Reason.FEATURE_INACTIVE: lambda reasoning: (
        f"{feature_name(reasoning)} is still being prepared and nobody has it yet"
    ),
    Reason.FEATURE_SUSPENDED: lambda reasoning: f"{feature_name(reasoning)} is suspended",
    Reason.SUBSCRIPTION_INACTIVE: lambda _: "no subscription counts at that time",
    Reason.OVERRIDE_DENIED: lambda reasoning: f"an override removes {feature_name(reasoning)}",
    Reason.RULE_DENIED: _rules,
    Reason.AMOUNT_INVALID: lambda reasoning: f"this amount is not possible: it must be {_amounts(reasoning)}",
    Reason.CAP_REACHED: lambda reasoning: f"a cap is reached: {_caps(reasoning)}",
    Reason.NOT_ENTITLED: lambda reasoning: f"no item of the customer gives {feature_name(reasoning)}",
    Reason.LIMIT_REACHED: lambda reasoning: f"the limit is reached: {_limit(reasoning)}",
    Reason.OUT_OF_RANGE: lambda reasoning: f"that is out of range: no more than {_held(reasoning)} is granted",
    Reason.LEVEL_TOO_LOW: lambda reasoning: f"the level held is too low: it is {_level(reasoning)}",
    Reason.GRANTED: lambda _: "it is granted",
}
"""INVARIANT (every reason is said): a test compares the keys with the closed set."""
