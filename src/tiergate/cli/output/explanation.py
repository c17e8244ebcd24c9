"""An explanation as text: its sentences, then the reasoning behind them, section by section, and the Cedar policies."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from tiergate.cli.output.console import print_line, print_section
from tiergate.cli.output.decision import entitlement_text, instant_text, source_text, verdict
from tiergate.engine import Applicability, reasoning_sentences
from tiergate.model import FeatureType, format_units

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tiergate.client import Answer
    from tiergate.engine import Reasoning
    from tiergate.model import Feature
    from tiergate.wire.explanation import (
        OverrideApplicability,
        SubscriptionApplicability,
        SuspensionApplicability,
    )


def print_explanation(reasoning: Reasoning, answer: Answer, feature: Feature) -> None:
    """Write an explanation to standard output, section by section; empty sections are left out."""
    print_line(verdict(answer), "bold green" if answer.allowed else "bold red")
    print_section("summary", [("", sentence) for sentence in reasoning_sentences(reasoning)])
    principal = reasoning.principal or "unknown subject"
    request = f'{principal} {reasoning.action} Feature::"{reasoning.asked.feature}"'
    print_section("check", [("", request), ("", f"at {_instant(reasoning.asked.at)}")])
    print_section("errors", [("", error) for error in reasoning.errors])
    if reasoning.known:
        print_section("subscriptions", [(it.id, f"{it.status}: {_period(it)}") for it in reasoning.subscriptions])
        print_section("items", [(ref, f"× {count}") for ref, count in reasoning.held.items()])
        sources = [("", source_text(source)) for source in answer.sources]
        print_section("entitlement", [*sources, ("", f"total: {entitlement_text(answer)}")])
        print_section("overrides", [_override(override) for override in reasoning.overrides])
        print_section("suspensions", [_suspension(suspension) for suspension in reasoning.suspensions])
        print_section(_context_title(feature), list(_context(reasoning)))
    _print_policies(reasoning)
    if answer.valid_until is not None:
        print_section("valid until", [("", instant_text(answer.valid_until))])
    print_section("revision", [("", answer.revision)])


def _override(override: OverrideApplicability) -> tuple[str, str]:
    value = "unlimited" if override.unlimited else _scalar(override.value)
    effect = override.mode if override.mode == "disabled" else f"{override.mode} {value}"
    cause = _cause(override.author or "", override.reason or "")
    return f"{override.id} on {override.on.id}", f"{effect}: {_period(override)}{cause}"


def _suspension(suspension: SuspensionApplicability) -> tuple[str, str]:
    return (
        f"for {suspension.on.id or suspension.on.type}",
        f"{_period(suspension)}{_cause('', suspension.reason or '')}",
    )


def _period(entry: SubscriptionApplicability | OverrideApplicability | SuspensionApplicability) -> str:
    match entry.standing:
        case Applicability.OVER if entry.until:
            return f"ended {_instant(entry.until)}"
        case Applicability.NOT_YET if entry.start:
            return f"starts {_instant(entry.start)}"
        case Applicability.COUNTS:
            return f"in effect until {_instant(entry.until)}" if entry.until else "in effect"
        case _:
            return f"does not count, {entry.why}"


def _cause(author: str, reason: str) -> str:
    by = f", by {author}" if author else ""
    return f"{by}, because: {reason}" if reason else by


def _context_title(feature: Feature) -> str:
    if not feature.scale or feature.type not in {FeatureType.QUANTITY, FeatureType.RANGE}:
        return "Cedar context"
    return f"Cedar context, in units of {format_units(1, feature.scale)} {feature.unit}".rstrip()


def _context(reasoning: Reasoning) -> Iterator[tuple[str, str]]:
    for name, value in reasoning.context.items():
        members = value.items() if isinstance(value, dict) else [("", value)]
        yield from (
            (f"{name}.{member}" if member else name, _scalar(content)) for member, content in members if name != "now"
        )


def _scalar(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _print_policies(reasoning: Reasoning) -> None:
    deciding = [policy for policy in reasoning.policies if policy.decided]
    if deciding:
        print_line()
        print_line("decided by", "bold")
    for policy in deciding:
        print_line(textwrap.indent(policy.text.rstrip(), "  "))
    print_section("other policies", [("", policy.id) for policy in reasoning.policies if not policy.decided])


def _instant(instant: str) -> str:
    return instant.replace("T", " ").replace(".000Z", " UTC").replace("Z", " UTC")
