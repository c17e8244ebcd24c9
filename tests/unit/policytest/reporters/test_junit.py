from __future__ import annotations

from typing import Final
from xml.etree import ElementTree as ET

import pytest

from tests.unit.policytest.reporters.reports import BAD, FAILED, GOOD, PASSED, one_test, report
from tiergate.model import Problem
from tiergate.policytest.reporters import junit_of_problems, junit_xml
from tiergate.policytest.results import RunReport

SHAPE: Final[dict[str, tuple[set[str], set[str], set[str]]]] = {
    "testsuites": (set(), {"name", "time", "tests", "failures", "disabled", "errors"}, {"testsuite"}),
    "testsuite": (
        {"name", "tests", "failures", "errors"},
        {"group", "time", "skipped", "timestamp", "hostname", "id", "package", "file", "log", "url", "version"},
        {"testsuite", "properties", "testcase", "system-out", "system-err"},
    ),
    "testcase": (
        {"name", "classname"},
        {"time", "group"},
        {"skipped", "error", "failure", "rerunFailure", "rerunError", "flakyFailure", "flakyError", "system-out"},
    ),
    "skipped": (set(), {"type", "message"}, set()),
    "error": (set(), {"type", "message"}, set()),
    "failure": (set(), {"type", "message"}, set()),
}
"""Each element of Jenkins's junit-10.xsd that we write: the attributes it needs, may have, and what stands in it."""


def parsed(text: str) -> ET.Element:
    """Read the document, which must have the shape that build servers validate by."""
    root = ET.fromstring(text.encode())
    assert root.tag == "testsuites"
    for element in root.iter():
        needed, allowed, inside = SHAPE[element.tag]
        assert needed <= element.attrib.keys() <= needed | allowed
        assert {child.tag for child in element} <= inside
        assert all(element.get(count, "0").isdecimal() for count in ("tests", "failures", "errors", "skipped"))
        assert float(element.get("time", "0")) >= 0
    return root


@pytest.mark.parametrize("run", [GOOD, BAD, RunReport(())], ids=["good", "bad", "empty"])
def test_build_servers_can_read_it(run: RunReport) -> None:
    """The document has the elements and attributes of Jenkins's schema, and no others."""
    parsed(junit_xml(run))


def test_the_counts_are_those_of_the_cases() -> None:
    """A build server that trusts the counts and one that counts agree."""
    suite = parsed(junit_xml(BAD))[0]
    assert {name: suite.get(name) for name in ("tests", "failures", "errors", "skipped")} == {
        "tests": str(len(suite.findall("testcase"))),
        "failures": str(len(suite.findall("testcase/failure"))),
        "errors": str(len(suite.findall("testcase/error"))),
        "skipped": str(len(suite.findall("testcase/skipped"))),
    }
    assert [suite.get(name) for name in ("tests", "failures", "errors", "skipped")] == ["6", "3", "1", "1"]


def test_a_failure_has_its_place_in_the_message() -> None:
    """The message, which lists show, begins with file, line and column; the text has all of it."""
    failure = parsed(junit_xml(BAD)).find("testsuite/testcase/failure")
    assert failure is not None
    assert failure.get("message") == (
        "plans/gold_test.yaml:14:5: allowed: expected true, actual false; value: expected 80, actual 70"
    )
    assert "why       plan/gold@1 gives 50 movies/month" in (failure.text or "")


def test_dots_of_names_make_no_packages() -> None:
    """Build servers part a class's name at its dots, so the only one stands between suite and test."""
    case = parsed(junit_xml(report(one_test("gold 1.2", PASSED), name="v1.0"))).find("testsuite/testcase")
    assert case is not None
    assert case.get("classname") == "v1_0.gold 1_2"


def test_characters_that_xml_has_not_are_replaced() -> None:
    """A control character in a name or a sentence does not make the document unreadable."""
    changed = type(FAILED)(FAILED.case, FAILED.status, FAILED.mismatches, ("a\x00b\ud800",), FAILED.actual)
    failure = parsed(junit_xml(report(one_test("\x1b[1m<&>", changed)))).find("testsuite/testcase/failure")
    assert failure is not None
    assert "a\ufffdb\ufffd" in (failure.text or "")


def test_broken_files_are_errors_too() -> None:
    """Where nothing could run, the report says of each file what is wrong with it."""
    problems = [
        Problem("a_test.yaml", 3, 7, "unknown-key", "no key `subjetcs`"),
        Problem("a_test.yaml", 9, 1, "missing-key", "`features` is missing"),
        Problem("b_test.yaml", 0, 0, "no-file", "cannot be read"),
    ]
    root = parsed(junit_of_problems(problems))
    assert [(suite.get("name"), suite.get("errors")) for suite in root] == [("a_test.yaml", "2"), ("b_test.yaml", "1")]
    assert root.get("errors") == "3"
    error = root.find("testsuite/testcase/error")
    assert error is not None
    assert (error.get("message"), error.get("type")) == ("no key `subjetcs`", "unknown-key")
