"""The common parts of all tests: a heading, names, and a matrix with rows of expectations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tiergate.catalog import Fields
from tiergate.catalog.reading.document import shorten
from tiergate.catalog.reading.fields import find_suggestion, read_line, read_list
from tiergate.policytest.suites import Test

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from tiergate.catalog import TextReport
    from tiergate.catalog.reading.document import Node
    from tiergate.policytest.suites import Case

Cell = tuple[str, str, str]
"""A cell of a matrix: the names of subject, feature and request, or of caller, action and resource."""

TEST_KEYS: Final = frozenset({"name", "description", "skip", "expected"})
"""The keys of every test."""


def read_tests(
    suite: Fields, keys: frozenset[str], report: TextReport, read_cases: Callable[[Fields], Sequence[Case]]
) -> tuple[Test, ...]:
    """Read the tests of a suite; `keys`: those of its kind; `read_cases` returns the cases of one test."""
    if suite.is_empty_list("tests"):
        suite.problem("tests", "no-tests", "a suite needs at least one test")
    result: list[Test] = []
    lines: dict[str, int] = {}
    for node, place in suite.entries_of("tests"):
        test = Fields.of(node, place, report, TEST_KEYS | keys, ("name",))
        if test is None:
            continue
        name = test.line("name")
        if name in lines:
            test.problem("name", "duplicate-name", f"the test `{shorten(name)}` exists already, in line {lines[name]}")
        elif name:
            lines[name] = report.position(test.at("name"))[1]
        description, skip = test.prose("description"), test.prose("skip")
        before = report.count
        cases = tuple(read_cases(test))
        if not cases and report.count == before:
            report.add(place, "no-cases", f"the test `{shorten(name)}` has no cases")
        result.append(Test(name, report.position(place), cases, description, skip))
    return tuple(result)


def names_of(node: Node, place: int, known: Collection[str], what: str, report: TextReport) -> list[str]:
    """Read one name or a list of names, each `known` and unique; `what`: the kind of name, for problems."""
    entries = [(node, place)] if isinstance(node, str) else read_list(node, place, report)
    names: list[str] = []
    for entry, at in entries:
        name = read_line(entry, at, report)
        if name is None:
            continue
        if name not in known:
            near = find_suggestion(name, known, report)
            report.add(at, f"unknown-{what}", f"no {what} `{shorten(name)}` here", near)
        elif name in names:
            report.add(at, "duplicate-entry", f"`{shorten(name)}` is in this list twice")
        else:
            names.append(name)
    return names
