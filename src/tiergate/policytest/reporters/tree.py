"""A report as a tree of lines, for people: suites, their tests, and the failed cases.

The lines that describe a failed case are those of every reporter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from tiergate.model import Decision
from tiergate.policytest.results import Status

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tiergate.policytest.results import CaseResult, Mismatch, RunReport, TestResult
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


_MARKS = {Status.PASSED: "✓", Status.FAILED: "✗", Status.ERROR: "!", Status.SKIPPED: "–"}
_STYLES = {Status.PASSED: "green", Status.FAILED: "red", Status.ERROR: "bold red", Status.SKIPPED: "yellow"}


def tree(report: RunReport, *, verbose: bool = False) -> Iterator[Line]:
    """Yield the lines of a run; `verbose`: with the passed cases. The last line is the summary."""
    for suite in report.suites:
        yield Line(f"{suite.suite.name}  ({suite.suite.file})", "bold")
        for test in suite.tests:
            yield from _test(test, verbose=verbose)
        yield Line("")
    yield summary(report)


def summary(report: RunReport) -> Line:
    """`148 cases in 12 tests of 3 suites: 140 passed, 3 failed, 5 skipped (0.04 s)`."""
    counts = {status: report.count(status) for status in Status}
    tests = sum(len(suite.tests) for suite in report.suites)
    total = (
        f"{singular_or_plural(sum(counts.values()), 'case')} in {singular_or_plural(tests, 'test')} "
        f"of {singular_or_plural(len(report.suites), 'suite')}"
    )
    words = {
        Status.PASSED: "passed",
        Status.FAILED: "failed",
        Status.ERROR: "could not be decided",
        Status.SKIPPED: "skipped",
    }
    data = [f"{counts[status]} {word}" for status, word in words.items() if counts[status] or status is Status.PASSED]
    style = _STYLES[Status.PASSED if report.has_passed else Status.FAILED]
    return Line(f"{total}: {', '.join(data)} ({report.nanoseconds / 1e9:.2f} s)", f"bold {style}")


def _test(test: TestResult, *, verbose: bool) -> Iterator[Line]:
    status, cases = test.status, test.cases
    bad = [case for case in cases if case.status in {Status.FAILED, Status.ERROR}]
    if status is Status.SKIPPED:
        text = f"skipped: {test.skip}"
    elif bad:
        text = f"{len(bad)} of {singular_or_plural(len(cases), 'case')} failed"
    else:
        text = singular_or_plural(len(cases), "case")
    yield Line(f"  {_MARKS[status]} {test.test.name}  ({text})", _STYLES[status])
    if status is not Status.SKIPPED:
        for case in cases if verbose else bad:
            yield from _case(case)


def _case(case: CaseResult) -> Iterator[Line]:
    yield Line(f"      {_MARKS[case.status]} {case.case.name}", _STYLES[case.status])
    for line in failure_lines(case):
        yield Line(f"          {line.text}", line.style)
