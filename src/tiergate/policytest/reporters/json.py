"""A report as JSON, for programs. Its members are described in docs/reference/test-report.md."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import msgspec

from tiergate.engine import decision_document
from tiergate.model import Decision
from tiergate.policytest.results import Status
from tiergate.wire.json import encode

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tiergate.cedar import CedarResult
    from tiergate.permissions import Permission
    from tiergate.policytest.results import CaseResult, RunReport, SuiteResult, TestResult


def json_text(document: Mapping[str, object]) -> str:
    """Return members as indented JSON; numbers are exact."""
    return msgspec.json.format(encode(document), indent=2).decode()


def report_json(report: RunReport, *, verbose: bool = False) -> dict[str, object]:
    """Return a run as members: `passed`, `summary`, `suites`, `tests` and `cases`, in the order of the files.

    `actual`, the decision, is part of cases that did not pass; with `verbose`, of every case.
    """
    counts: dict[str, object] = {status.value: report.count(status) for status in Status}
    counts["cases"] = sum(1 for _ in report.cases())
    counts["tests"] = sum(len(suite.tests) for suite in report.suites)
    counts["suites"] = len(report.suites)
    counts["seconds"] = round(report.nanoseconds / 1e9, 6)
    return {
        "passed": report.has_passed,
        "summary": counts,
        "suites": [_suite(suite, verbose=verbose) for suite in report.suites],
    }


def _suite(result: SuiteResult, *, verbose: bool) -> dict[str, object]:
    suite = result.suite
    members: dict[str, object] = {"name": suite.name, "file": suite.file, "kind": suite.kind.value}
    members |= {name: text for name, text in (("description", suite.description), ("skip", suite.skip)) if text}
    return members | {"tests": [_test(test, verbose=verbose) for test in result.tests]}


def _test(result: TestResult, *, verbose: bool) -> dict[str, object]:
    test = result.test
    members: dict[str, object] = {"name": test.name, "status": result.status.value}
    members |= {name: text for name, text in (("description", test.description), ("skip", result.skip)) if text}
    members["line"], members["column"] = test.place[1:]
    return members | {"cases": [_case(case, verbose=verbose) for case in result.cases]}


def _case(result: CaseResult, *, verbose: bool) -> dict[str, object]:
    case = result.case
    file, line, column = case.place
    named = (("subject", case.subject), ("feature", case.feature), ("request", case.request))
    members: dict[str, object] = {"name": case.name, "status": result.status.value}
    members |= {name: text for name, text in named if text}
    members |= {"stated": case.stated, "file": file, "line": line, "column": column}
    members["nanoseconds"] = result.nanoseconds
    if result.mismatches:
        members["mismatches"] = [mismatch._asdict() for mismatch in result.mismatches]
    if result.why:
        members["why"] = list(result.why)
    if result.actual is not None and (verbose or result.status is not Status.PASSED):
        members["actual"] = _actual(result.actual)
    return members


def _actual(actual: Decision | Permission | CedarResult) -> dict[str, object]:
    """Return the decision: as the sidecar answers a check, with the errors of policies."""
    members: dict[str, object]
    if isinstance(actual, Decision):
        members = msgspec.to_builtins(decision_document(actual), builtin_types=(Decimal,))
    else:
        members = {"allowed": actual.allowed, "policies": list(actual.policies)}
    return members | ({"errors": list(actual.errors)} if actual.errors else {})
