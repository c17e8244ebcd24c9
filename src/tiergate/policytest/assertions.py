"""`assert_decision`: check a decision of an engine or a sidecar in one line, and report what differs.

The names are those of a test file: a request has `amount`, `used`, `user_used`, `value`, `level`; an expectation has
`allowed`, `reason`, `value`, `remaining`, `overage`, `sources`, `policies`, `valid_until`. They are compared as
those of test files are.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, Protocol, TypedDict, Unpack

import msgspec

from tiergate.client import read_answer, read_json
from tiergate.engine import Evaluator, explain, explanation_sentences
from tiergate.errors import CallerError, SidecarUnreachableError, did_you_mean
from tiergate.model import (
    BEGINNING,
    FOREVER,
    Check,
    Decision,
    Entitlement,
    FeatureType,
    Reason,
    Source,
    Subject,
    parse_instant,
)
from tiergate.naming import nearest
from tiergate.policytest.expectation_comparison import compare_decision
from tiergate.policytest.reporters.tree import difference_lines
from tiergate.policytest.results import Mismatch
from tiergate.policytest.suites import Expectation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from tiergate.client import Explanation
    from tiergate.model import Instant, Number

_REQUEST: Final = frozenset({"amount", "used", "user_used", "value", "level"})
_MILLISECONDS: Final = 1000


class ExpectedFields(TypedDict, total=False):
    """The expected fields of a decision; those left out may be anything.

    `value`: a number, a label, true, false, the text `unlimited`, or `None` for nothing. `sources` and `policies` are
    compared as sets. `valid_until`: `None` means that the answer never changes by itself.
    """

    allowed: bool
    reason: str
    value: bool | float | Number | str | None
    remaining: float | Number
    overage: float | Number
    sources: Iterable[str]
    policies: Iterable[str]
    valid_until: str | datetime | Instant | None


class DecisionClient(Protocol):
    """A client of a sidecar, such as `tiergate.client.Sidecar`."""

    def ask(self, check: Check) -> bytes:
        """Request a check, and return the answer's JSON."""
        ...

    @property
    def explain(self) -> Callable[..., Explanation]:
        """Explain a check of a subject and a feature, with the fields of a request by name."""
        ...


def assert_decision(
    decider: Evaluator | DecisionClient,
    subject: str | Subject,
    feature: str,
    request: Mapping[str, object] | None = None,
    *,
    now: str | datetime | Instant | None = None,
    **stated: Unpack[ExpectedFields],
) -> Decision:
    """Decide whether a subject may use a feature, fail unless the decision is as expected, and return it.

    `decider`: an engine, or a sidecar's client. `subject`: a customer's id is enough. `request`: the fields of the
    check. `now`: the instant for an engine (text, UTC milliseconds, or a `datetime` with a time zone); by default, and
    always on a sidecar, the clock's. `stated`: see `ExpectedFields`; it needs `allowed` or `reason`.

    Raises:
        AssertionError: if the decision differs; the message has both sides and the reason.
        TypeError: if an expectation has an unknown name.
        ValueError: if the call expects nothing, contradicts itself, or names an unknown field.
        UnknownFeatureError, CheckError: if the check is invalid.
        SidecarUnreachableError, RequestError: if the sidecar did not decide.
    """
    __tracebackhide__ = True
    expected = _expectation(stated)
    check = _check(subject, feature, request or {})
    if isinstance(decider, Evaluator):
        at = _instant(now)
        decision = decider.decide(check, at)
    elif now is not None:
        raise ValueError("a running sidecar decides by its own clock: `now` is for an engine")
    else:
        decision = _read(decider.ask(check))
    mismatches = compare_decision(expected, decision)
    if not mismatches and decision.reason is Reason.UNKNOWN_SUBJECT and expected.reason is None:
        # A denial of a subject that does not exist shows nothing about what it would have.
        wanted = "exists (if not, state `reason: unknown_subject`)"
        mismatches = (Mismatch("subject", wanted, "does not exist"),)
    if mismatches:
        why = (
            _explain_by_engine(decider, check, at)
            if isinstance(decider, Evaluator)
            else _explain_by_sidecar(decider, check, decision)
        )
        raise AssertionError(_message(check, request or {}, mismatches, decision, why))
    return decision


def _check(subject: str | Subject, feature: str, request: Mapping[str, object]) -> Check:
    unknown = sorted(request.keys() - _REQUEST)
    if unknown:
        known = ", ".join(f"`{name}`" for name in sorted(_REQUEST))
        raise ValueError(f"a check has no field `{unknown[0]}`: a request may say {known}")
    fields: dict[str, Any] = {name: _exact(value) for name, value in request.items()}
    return Check(Subject(subject) if isinstance(subject, str) else subject, feature, **fields)


def _expectation(stated: ExpectedFields) -> Expectation:
    unknown = sorted(stated.keys() - ExpectedFields.__annotations__.keys())
    if unknown:
        known = ", ".join(f"`{name}`" for name in ExpectedFields.__annotations__)
        raise TypeError(f"an expectation has no `{unknown[0]}`: it may state {known}")
    if "allowed" not in stated and "reason" not in stated:
        raise ValueError("state `allowed` or `reason`")
    data: dict[str, Any] = {}
    if "reason" in stated:
        data["reason"] = _reason(stated["reason"])
    data["allowed"] = stated.get("allowed", data.get("reason") is Reason.GRANTED)
    if "reason" in data and data["allowed"] is not (data["reason"] is Reason.GRANTED):
        raise ValueError(f"`{data['reason']}` is not the reason of a decision whose `allowed` is {data['allowed']}")
    if "value" in stated:
        data |= {"has_value": True, "value": _exact(stated["value"])}
    for name in ("remaining", "overage"):
        number: object = stated.get(name, 0)
        if isinstance(number, bool) or not isinstance(number, int | float | Decimal):
            raise ValueError(f"`{name}` is a number, not `{number}`")
        if name in stated:
            data[name] = _exact(number)
    if "sources" in stated:
        data["sources"] = _names("sources", stated["sources"])
    if "policies" in stated:
        data["policies"] = _names("policies", stated["policies"])
    if "valid_until" in stated:
        until = stated["valid_until"]
        data["valid_until"] = FOREVER if until is None else _instant(until)
    return Expectation(**data)


def _reason(name: str) -> Reason:
    if name not in {reason.value for reason in Reason}:
        raise ValueError(f"no reason `{name}`{did_you_mean(nearest(str(name), Reason))}")
    return Reason(name)


def _names(what: str, names: Iterable[str]) -> tuple[str, ...]:
    if isinstance(names, str):
        raise ValueError(f"`{what}` is a list of names, not one text")
    return tuple(names)


def _exact(value: object) -> object:
    """Return a number as written: a `float` by its shortest digits."""
    return Decimal(repr(value)) if isinstance(value, float) else value


def _instant(moment: str | datetime | Instant | None) -> Instant:
    if moment is None:
        return time.time_ns() // 1_000_000
    if isinstance(moment, str):
        return parse_instant(moment)
    if not isinstance(moment, datetime):
        return moment
    if moment.tzinfo is None:
        raise ValueError(f"`{moment.isoformat()}` has no time zone")
    since = moment.astimezone(UTC) - datetime.fromtimestamp(0, UTC)
    return (since.days * 86_400 + since.seconds) * _MILLISECONDS + since.microseconds // 1000


def _read(body: bytes) -> Decision:
    """Return a sidecar's answer as a decision. It lacks the start of validity and evaluation errors."""
    answer = read_answer(read_json(body))
    entitlement = answer.entitlement
    return Decision(
        allowed=answer.allowed,
        reason=Reason(answer.reason),
        feature=answer.feature,
        type=FeatureType(answer.type),
        entitlement=Entitlement(
            value=msgspec.UNSET if entitlement.unlimited else entitlement.value,
            unlimited=entitlement.unlimited,
            remaining=msgspec.UNSET if entitlement.remaining is None else entitlement.remaining,
            overage=msgspec.UNSET if entitlement.overage is None else entitlement.overage,
        ),
        sources=tuple(
            Source(item=source.item or None, version=source.version, override=source.override or None)
            for source in answer.sources
        ),
        policies=answer.policies,
        publication=answer.publication,
        revision=answer.revision,
        start=BEGINNING,
        until=FOREVER if answer.valid_until is None else _instant(answer.valid_until),
        stale=answer.stale,
    )


def _explain_by_engine(engine: Evaluator, check: Check, now: Instant) -> tuple[str, ...]:
    feature = engine.index.features[check.feature]
    record = engine.subjects.record_of(check.subject)
    return explanation_sentences(explain(engine, check, now), feature, record, check.subject)


def _explain_by_sidecar(sidecar: DecisionClient, check: Check, decision: Decision) -> tuple[str, ...]:
    """Return a sidecar's explanation; its policies alone if it cannot explain, or decides differently by now."""
    policies = ", ".join(decision.policies) or "no policy"
    plain = (f"decided by {policies}, at publication {decision.publication}",)
    try:
        request = {name: getattr(check, name) for name in _REQUEST}
        explanation = sidecar.explain(check.subject, check.feature, **request)
    except (CallerError, SidecarUnreachableError):
        return plain
    is_same = explanation.answer.reason == decision.reason.value
    return explanation.sentences if is_same else plain


def _message(
    check: Check, request: Mapping[str, object], mismatches: Sequence[Mismatch], decision: Decision, why: Sequence[str]
) -> str:
    query = ", ".join(f"{name} {value}" for name, value in request.items())
    subject = check.subject.id + (f" ({check.subject.user})" if check.subject.user else "")
    head = " · ".join(part for part in (subject, check.feature, query) if part) + " is not decided as expected"
    return "\n".join([head, *(line.text for line in difference_lines(mismatches, why, decision))])
