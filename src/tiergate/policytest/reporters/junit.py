"""A report as JUnit XML, for build servers: a suite is a `testsuite`, a case is a `testcase` of its test's class.

The elements and attributes are those of Jenkins' schema (junit-10.xsd): it has no file and line of a case, so these are
part of the failure's text. Characters that XML 1.0 cannot represent are replaced.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from tiergate.policytest.reporters.tree import failure_lines, place_text
from tiergate.policytest.results import Status

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tiergate.model import Problem
    from tiergate.policytest.results import CaseResult, RunReport, TestResult

_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_NAME = "tiergate test"


def junit_xml(report: RunReport) -> str:
    """Return a run as one XML document."""
    cases = list(report.cases())
    root = _element(None, "testsuites", {"name": _NAME} | _counts(cases, with_skipped=False))
    for result in report.suites:
        suite = result.suite
        inside = [case for test in result.tests for case in test.cases]
        element = _element(root, "testsuite", {"name": suite.name} | _counts(inside) | {"file": suite.file})
        for test in result.tests:
            for case in test.cases:
                _add(element, suite.name, test, case)
    return _document(root)


def junit_of_problems(problems: Sequence[Problem]) -> str:
    """Write that files are broken: a suite for each file, with an error for each of its problems.

    So a build server shows why nothing was run, instead of the report of the time before.
    """
    root = _element(None, "testsuites", {"name": _NAME} | _totals(len(problems), errors=len(problems)))
    for file in dict.fromkeys(problem.file for problem in problems):
        inside = [problem for problem in problems if problem.file == file]
        counts = _totals(len(inside), errors=len(inside)) | {"skipped": "0"}
        suite = _element(root, "testsuite", {"name": file} | counts | {"file": file})
        for problem in inside:
            name = f"line {problem.line}, column {problem.column}" if problem.line else "the file"
            case = _element(suite, "testcase", {"name": name, "classname": _class(file), "time": _seconds(0)})
            _element(case, "error", {"message": problem.sentence, "type": problem.code}, str(problem))
    return _document(root)


def _add(suite: ET.Element, suite_name: str, test: TestResult, result: CaseResult) -> None:
    classname = f"{_class(suite_name)}.{_class(test.test.name)}"
    attributes = {"name": result.case.name, "classname": classname, "time": _seconds(result.nanoseconds)}
    element = _element(suite, "testcase", attributes)
    if result.status is Status.SKIPPED:
        _element(element, "skipped", {"message": test.skip})
    elif result.status is not Status.PASSED:
        lines = [line.text for line in failure_lines(result)]
        kind = "error" if result.status is Status.ERROR else "failure"
        place = place_text(result.case.place)
        data = "; ".join(
            f"{mismatch.field}: expected {mismatch.expected}, actual {mismatch.actual}"
            for mismatch in result.mismatches
        )
        message = f"{place}: {data or ' '.join(result.why)}"
        _element(element, kind, {"message": message, "type": result.status.value}, "\n".join(lines))


def _counts(cases: Iterable[CaseResult], *, with_skipped: bool = True) -> dict[str, str]:
    result = list(cases)
    by = {status: sum(case.status is status for case in result) for status in Status}
    nanoseconds = sum(case.nanoseconds for case in result)
    counts = _totals(len(result), failures=by[Status.FAILED], errors=by[Status.ERROR], nanoseconds=nanoseconds)
    return counts | ({"skipped": str(by[Status.SKIPPED])} if with_skipped else {})


def _totals(tests: int, *, failures: int = 0, errors: int = 0, nanoseconds: int = 0) -> dict[str, str]:
    return {"tests": str(tests), "failures": str(failures), "errors": str(errors), "time": _seconds(nanoseconds)}


def _seconds(nanoseconds: int) -> str:
    return f"{nanoseconds / 1e9:.6f}"


def _class(name: str) -> str:
    """A name without the dots, by which build servers part classes into packages."""
    return name.replace(".", "_")


def _element(parent: ET.Element | None, tag: str, attributes: Mapping[str, str], text: str = "") -> ET.Element:
    clean = {name: _NOT_XML.sub("\ufffd", value) for name, value in attributes.items()}
    element = ET.Element(tag, clean) if parent is None else ET.SubElement(parent, tag, clean)
    element.text = _NOT_XML.sub("\ufffd", text) or None
    return element


def _document(root: ET.Element) -> str:
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"
