"""A report as a tree of lines, for people: suites, their tests, and the failed cases."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tiergate.policytest.reporters.failures import Line, failure_lines, singular_or_plural
from tiergate.policytest.results import Status

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tiergate.policytest.results import CaseResult, RunReport, TestResult

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
