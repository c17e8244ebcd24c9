"""An explanation as text: its sentences, then the reasoning they rest on, section by section, and Cedar's own words."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from tiergate.cli.output.console import say, say_table
from tiergate.cli.output.decision import holding, moment, source, verdict
from tiergate.engine import Applicability, build_reasoning, reasoning_sentences
from tiergate.model import FeatureType, format_units

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tiergate.client import Answer
    from tiergate.engine import Explanation, Reasoning
    from tiergate.model import Feature, Subject, SubjectRecord
    from tiergate.wire.explanation import (
        OverrideApplicability,
        SubscriptionApplicability,
        SuspensionApplicability,
    )


def tell(
    explanation: Explanation, answer: Answer, feature: Feature, record: SubjectRecord | None, subject: Subject
) -> None:
    """Write an explanation to standard output, section by section; what is empty is left out."""
    reasoning = build_reasoning(explanation, feature, record, subject)
    say(verdict(answer), "bold green" if answer.allowed else "bold red")
    _section("summary", [("", sentence) for sentence in reasoning_sentences(reasoning)])
    _section("check", _asked(reasoning))
    _section("errors", [("", error) for error in reasoning.errors])
    if reasoning.known:
        _section("subscriptions", [(one.id, _standing(one)) for one in reasoning.subscriptions])
        _section("items", [(ref, f"× {count}") for ref, count in reasoning.held.items()])
        _section("entitlement", [("", source(one)) for one in answer.sources] + [("", f"total: {holding(answer)}")])
        _section("overrides", [_override(one) for one in reasoning.overrides])
        _section("suspensions", [_suspension(one) for one in reasoning.suspensions])
        _section(_facts_title(feature), list(_facts(reasoning)))
    _policies(reasoning)
    if answer.valid_until is not None:
        _section("valid until", [("", moment(answer.valid_until))])
    _section("revision", [("", answer.revision)])


def _section(title: str, rows: Sequence[tuple[str, str]]) -> None:
    if rows:
        say()
        say(title, "bold")
        say_table(rows)


def _asked(reasoning: Reasoning) -> list[tuple[str, str]]:
    whom = reasoning.principal or "nobody who is known"
    return [
        ("", f'{whom} {reasoning.action} Feature::"{reasoning.asked.feature}"'),
        ("", f"at {_when(reasoning.asked.at)}"),
    ]


def _standing(one: SubscriptionApplicability) -> str:
    return f"{one.status}: {_period(one, 'in effect')}"


def _override(one: OverrideApplicability) -> tuple[str, str]:
    value = "unlimited" if one.unlimited else one.value
    shown = str(value).lower() if isinstance(value, bool) else f"{value}"
    said = one.mode if one.mode == "disabled" else f"{one.mode} {shown}"
    return f"{one.id} on {one.on.id}", f"{said}: {_period(one, 'in effect')}{_why(one.author or '', one.reason or '')}"


def _suspension(one: SuspensionApplicability) -> tuple[str, str]:
    return f"for {one.on.id or one.on.type}", f"{_period(one, 'in effect')}{_why('', one.reason or '')}"


def _period(one: SubscriptionApplicability | OverrideApplicability | SuspensionApplicability, word: str) -> str:
    match one.standing:
        case Applicability.OVER if one.until:
            return f"ended {_when(one.until)}"
        case Applicability.NOT_YET if one.start:
            return f"starts {_when(one.start)}"
        case Applicability.COUNTS:
            return f"{word} until {_when(one.until)}" if one.until else word
        case _:
            return f"does not count, {one.why}"


def _why(author: str, reason: str) -> str:
    by = f", by {author}" if author else ""
    return f"{by}, because: {reason}" if reason else by


def _facts_title(feature: Feature) -> str:
    if not feature.scale or feature.type not in {FeatureType.QUANTITY, FeatureType.RANGE}:
        return "Cedar context"
    return f"Cedar context, in units of {format_units(1, feature.scale)} {feature.unit}".rstrip()


def _facts(reasoning: Reasoning) -> Iterator[tuple[str, str]]:
    for name, value in reasoning.context.items():
        inner = value.items() if isinstance(value, dict) else [("", value)]
        yield from ((f"{name}.{part}" if part else name, _fact(one)) for part, one in inner if name != "now")


def _fact(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _policies(reasoning: Reasoning) -> None:
    deciding = [policy for policy in reasoning.policies if policy.decided]
    if deciding:
        say()
        say("decided by", "bold")
    for policy in deciding:
        say(textwrap.indent(policy.text.rstrip(), "  "))
    others = [policy.id for policy in reasoning.policies if not policy.decided]
    _section("other policies", [("", name) for name in others])


def _when(instant: str) -> str:
    return instant.replace("T", " ").replace(".000Z", " UTC").replace("Z", " UTC")
