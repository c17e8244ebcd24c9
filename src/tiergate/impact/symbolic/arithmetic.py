"""Arithmetic and comparison of numbers, instants and durations in conditions, on linear forms.

An instant is in milliseconds since 1970, a duration in milliseconds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tiergate.cedar import DAY_MS, parse_datetime, parse_duration
from tiergate.impact.symbolic.condition_terms import StepTerm, Term, TermResult, UnsupportedExpressionError
from tiergate.impact.symbolic.formulas import (
    BIGGEST,
    SMALLEST,
    Formula,
    Linear,
    at_most,
    either,
    negated,
    overflows,
    variable_range,
)

if TYPE_CHECKING:
    from tiergate.impact.symbolic.symbolic_context import SymbolicContext

_WHOLE: Final = {"toMilliseconds": 1, "toSeconds": 1_000, "toMinutes": 60_000, "toHours": 3_600_000, "toDays": DAY_MS}

PARTS: Final = ("toDate", "toTime", *_WHOLE)
"""The functions that return a part of an instant or a duration."""


def arithmetic(op: str, left: TermResult, right: TermResult) -> TermResult:
    """Return a sum, difference or product; it fails beyond Cedar's range of numbers."""
    first, second = left.term, right.term
    if not isinstance(first, Linear) or not isinstance(second, Linear):
        raise UnsupportedExpressionError
    if op != "*":
        result = first.plus(second, 1 if op == "+" else -1)
    elif second.is_constant:
        result = first.times(second.constant)
    elif first.is_constant:
        result = second.times(first.constant)
    else:
        raise UnsupportedExpressionError
    errs = either(left.errs, right.errs)
    least, most = result.span(variable_range)
    if least < SMALLEST or most > BIGGEST:
        errs = either(errs, overflows(result))
    return TermResult(result, errs)


def instant(text: str) -> Linear:
    """Parse an instant in Cedar's form."""
    try:
        return Linear((), parse_datetime(text))
    except ValueError:
        raise UnsupportedExpressionError from None


def duration(text: str) -> Linear:
    """Parse a duration in Cedar's form: `1d12h`."""
    try:
        return Linear((), parse_duration(text))
    except ValueError:
        raise UnsupportedExpressionError from None


def part_of(name: str, whole: TermResult, scene: SymbolicContext) -> TermResult:
    """Return the day, the time of day, or the whole units of an instant or a duration."""
    form, errs = whole
    if not isinstance(form, Linear):
        raise UnsupportedExpressionError
    if name == "toTime":
        if form.is_constant:
            return TermResult(Linear((), form.constant % DAY_MS), errs)
        time = scene.number("time")
        if form != scene.number("now") or time is None:
            raise UnsupportedExpressionError
        return TermResult(time, errs)
    if name == "toDate":
        if form.is_constant:
            return TermResult(Linear((), form.constant // DAY_MS * DAY_MS), errs)
        return TermResult(StepTerm(form, lambda most: (most // DAY_MS + 1) * DAY_MS - 1), errs)
    unit = _WHOLE[name]
    if form.is_constant:
        count = abs(form.constant) // unit
        return TermResult(Linear((), -count if form.constant < 0 else count), errs)
    if unit == 1:
        return whole
    return TermResult(StepTerm(form, lambda most: (most + 1) * unit - 1 if most >= 0 else most * unit), errs)


def ordered(left: Term, right: Term, *, strict: bool) -> Formula:
    """Return when one number is at most, or less than, another."""
    match left, right:
        case (Linear(), Linear()):
            return at_most(left.plus(right, -1), -1 if strict else 0)
        case (StepTerm(of=of, bound=bound), Linear(terms=(), constant=most)):
            return at_most(of, bound(most - 1 if strict else most))
        case (Linear(terms=(), constant=least), StepTerm(of=of, bound=bound)):
            return negated(at_most(of, bound(least if strict else least - 1)))
        case _:
            raise UnsupportedExpressionError
