"""A case that failed, in lines: where it is stated, what was expected, what came of it, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from tiergate.model import Decision
from tiergate.policytest.results import Status

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tiergate.policytest.results import CaseResult
    from tiergate.policytest.suites import Place

__all__ = ["Line", "failure_lines", "place_text", "singular_or_plural"]

UNSTATED_NOTE = "no row of `expected` speaks of this case, so it is expected to be denied"


class Line(NamedTuple):
    """A line of text, and the style that a terminal shows it in; none is the ordinary one."""

    text: str
    style: str | None = None


def failure_lines(result: CaseResult) -> Iterator[Line]:
    """What to know of a case that failed or could not be decided; nothing of another one.

    `expected  reason limit_reached, remaining 0`, then `actual`, `why` and `stated`, each at most once with its word.
    """
    if result.status not in {Status.FAILED, Status.ERROR}:
        return
    if result.mismatches:
        yield Line("expected  " + ", ".join(f"{one.field} {one.expected}" for one in result.mismatches), "green")
        actual = ", ".join(f"{one.field} {one.actual}" for one in result.mismatches)
        yield Line(f"actual    {actual}{_reason(result)}", "red")
    word = "problem" if result.status is Status.ERROR else "why"
    for line in (part for sentence in result.why for part in sentence.splitlines()):
        yield Line(f"{word:8}  {line}".rstrip())
        word = ""
    if not result.case.stated and result.status is Status.FAILED:
        yield Line(f"note      {UNSTATED_NOTE}")
    yield Line(f"at        {place_text(result.case.place)}", "cyan")


def place_text(place: Place) -> str:
    """`policies/guards_test.yaml:14:9`."""
    return ":".join(map(str, place))


def singular_or_plural(number: int, what: str) -> str:
    """`1 case`, `12 cases`."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def _reason(result: CaseResult) -> str:
    """The reason of a decision, where it is not said already."""
    if not isinstance(result.actual, Decision) or any(one.field == "reason" for one in result.mismatches):
        return ""
    return f" ({result.actual.reason.value})"
