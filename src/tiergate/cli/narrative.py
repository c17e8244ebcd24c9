"""An explanation as text: asked, held, given, overrides and suspensions, facts, and the policies that decided."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from tiergate.cli.terminal import say, say_table
from tiergate.cli.wording import holding, moment, source, verdict
from tiergate.model import BEGINNING, FOREVER, FeatureType, SubjectType, format_instant, format_units, format_value

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tiergate.client import Answer
    from tiergate.engine import Explanation
    from tiergate.model import Feature, Instant, Override, Subject, SubjectRecord, Subscription, Suspension

__all__ = ["tell"]


def tell(
    explanation: Explanation, answer: Answer, feature: Feature, record: SubjectRecord | None, subject: Subject
) -> None:
    """Write an explanation to standard output, section by section; what is empty is left out."""
    say(verdict(answer), "bold green" if answer.allowed else "bold red")
    now = explanation.now
    _section("asked", _asked(explanation, answer, now))
    _section("errors", [("", error) for error in explanation.decision.errors])
    if record is not None:
        subscriptions = [
            one for one in record.subscriptions if subject.type is SubjectType.CUSTOMER or one.id == subject.id
        ]
        _section("subscriptions", [(one.id, _standing(one, now)) for one in subscriptions])
        _section("items held", [(ref, f"× {count}") for ref, count in explanation.held.items()])
        _section("given", [("", source(one)) for one in answer.sources] + [("", f"together: {holding(answer)}")])
        _section("overrides", list(_overrides(record, subscriptions, feature, now)))
        _section("suspensions", list(_suspensions(record, subscriptions, feature, now)))
        _section(_facts_title(feature), _facts(explanation))
    _policies(explanation)
    if answer.valid_until is not None:
        _section("may change by itself", [("", moment(answer.valid_until))])
    _section("by revision", [("", answer.revision)])


def _section(title: str, rows: Sequence[tuple[str, str]]) -> None:
    if rows:
        say()
        say(title, "bold")
        say_table(rows)


def _asked(explanation: Explanation, answer: Answer, now: Instant) -> list[tuple[str, str]]:
    whom = explanation.principal or "nobody who is known"
    return [("", f"{whom} {explanation.action} Feature::{_quoted(answer.feature)}"), ("", f"at {_when(now)}")]


def _quoted(text: str) -> str:
    return f'"{text}"'


def _standing(subscription: Subscription, now: Instant) -> str:
    live = subscription.live()
    if live.start >= live.until:
        return f"{subscription.status}: does not count"
    return f"{subscription.status}: {_period(live.start, live.until, now, 'counts')}"


def _overrides(
    record: SubjectRecord, subscriptions: Sequence[Subscription], feature: Feature, now: Instant
) -> Iterator[tuple[str, str]]:
    scopes: list[tuple[str, Sequence[Override]]] = [(record.customer.id, record.customer.overrides)]
    scopes += [(one.id, one.overrides) for one in subscriptions]
    for scope, overrides in scopes:
        for it in overrides:
            if it.feature == feature.id:
                value = "" if it.value is None else f" {format_value(it.value, feature.scale)}"
                period = _period(it.start, it.until, now, "in force")
                yield f"{it.id} on {scope}", f"{it.mode}{value}: {period}{_why(it.author, it.reason)}"


def _suspensions(
    record: SubjectRecord, subscriptions: Sequence[Subscription], feature: Feature, now: Instant
) -> Iterator[tuple[str, str]]:
    scopes: list[tuple[str, Sequence[Suspension]]] = [("everybody", feature.suspensions)]
    scopes.append((record.customer.id, [it for it in record.customer.suspensions if it.feature == feature.id]))
    scopes += [(one.id, [it for it in one.suspensions if it.feature == feature.id]) for one in subscriptions]
    for scope, suspensions in scopes:
        for it in suspensions:
            yield f"for {scope}", _period(it.start, it.until, now, "in force") + _why("", it.reason)


def _period(start: Instant, until: Instant, now: Instant, word: str) -> str:
    if now >= until:
        return f"over since {_when(until)}"
    if now < start:
        return f"from {_when(start)}"
    return word if until == FOREVER else f"{word} until {_when(until)}"


def _why(author: str, reason: str) -> str:
    by = f", by {author}" if author else ""
    return f"{by}, because: {reason}" if reason else by


def _facts_title(feature: Feature) -> str:
    if not feature.scale or feature.type not in {FeatureType.QUANTITY, FeatureType.RANGE}:
        return "facts, as Cedar sees them"
    return f"facts, as Cedar sees them, in units of {format_units(1, feature.scale)} {feature.unit}".rstrip()


def _facts(explanation: Explanation) -> list[tuple[str, str]]:
    facts: list[tuple[str, str]] = []
    for name, value in explanation.context.items():
        inner = value.items() if isinstance(value, dict) else [("", value)]
        facts += [(f"{name}.{part}" if part else name, _fact(one)) for part, one in inner if name != "now"]
    return facts


def _fact(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _policies(explanation: Explanation) -> None:
    deciding = [policy for policy in explanation.policies if policy.decided]
    if deciding:
        say()
        say("decided by", "bold")
    for policy in deciding:
        say(textwrap.indent(policy.text.rstrip(), "  "))
    others = [policy.id for policy in explanation.policies if not policy.decided]
    _section("looked at too", [("", name) for name in others])


def _when(instant: Instant) -> str:
    if instant == BEGINNING:
        return "ever"
    return format_instant(instant).replace("T", " ").replace(".000Z", " UTC").replace("Z", " UTC")
