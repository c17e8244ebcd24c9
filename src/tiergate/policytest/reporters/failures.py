"""The lines that describe a failed case: its place, the expectation, the result and the reason."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from tiergate.model import Decision
from tiergate.policytest.results import Status

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tiergate.policytest.results import CaseResult, Mismatch
    from tiergate.policytest.suites import Place

UNSTATED_NOTE = "no row of `expected` selects this case, so it is expected to be denied"


class Line(NamedTuple):
    """A line of text, and its style in a terminal; `None` is the default."""

    text: str
    style: str | None = None


def failure_lines(result: CaseResult) -> Iterator[Line]:
    """Yield what to know of a case that failed or could not be decided; nothing for others.

    `expected  reason limit_reached, remaining 0`, then `actual`, `why` and `stated`, each at most once with its word.
    """
    if result.status not in {Status.FAILED, Status.ERROR}:
        return
    word = "problem" if result.status is Status.ERROR else "why"
    yield from difference_lines(result.mismatches, result.why, result.actual, word)
    if not result.case.stated and result.status is Status.FAILED:
        yield Line(f"note      {UNSTATED_NOTE}")
    yield Line(f"at        {place_text(result.case.place)}", "cyan")


def difference_lines(
    mismatches: Sequence[Mismatch], why: Sequence[str], actual: object, word: str = "why"
) -> Iterator[Line]:
    """Yield the expectation, the result, and the reason: sentences that follow `word`.

    For a decision, the result includes its reason, unless that is a mismatch.
    """
    if mismatches:
        yield Line(
            "expected  " + ", ".join(f"{mismatch.field} {mismatch.expected}" for mismatch in mismatches), "green"
        )
        data = ", ".join(f"{value.field} {value.actual}" for value in mismatches)
        if isinstance(actual, Decision) and all(entry.field != "reason" for entry in mismatches):
            data += f" ({actual.reason.value})"
        yield Line(f"actual    {data}", "red")
    for line in (part for sentence in why for part in sentence.splitlines()):
        yield Line(f"{word:8}  {line}".rstrip())
        word = ""


def place_text(place: Place) -> str:
    """Return `policies/guards_test.yaml:14:9`."""
    return ":".join(map(str, place))


def singular_or_plural(number: int, what: str) -> str:
    """Return `1 case`, `12 cases`."""
    return f"{number} {what}{'' if number == 1 else 's'}"
