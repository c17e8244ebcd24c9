"""Read the common parts of all tests: headings, names, and the rows of `expected`.

Rows: the cells that each selects, and what all rows together expect of a cell.

Rows add to each other, and must not contradict. INVARIANT (unstated is denied): a cell that no row selects is expected
to be denied.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tiergate.catalog import Fields
from tiergate.catalog.reading.document import shorten
from tiergate.catalog.reading.fields import find_suggestion, read_line, read_list
from tiergate.model import Reason
from tiergate.policytest.suites import UNSTATED, Case, Expectation, Test

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from tiergate.catalog import TextReport
    from tiergate.catalog.reading.document import Node
    from tiergate.policytest.suites import Query


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


OUTCOME_KEYS: Final = frozenset({"allowed", "reason"})
"""Every case that rows select needs one of these keys."""

MOST_ERRORS: Final = 1_000_000
"""The most errors that a row may expect."""

OVERRIDE_PREFIX: Final = "override/"
"""The prefix of override ids among sources."""

StatedFields = dict[str, Any]
"""The fields of `Expectation` that a row sets."""


class _Row(NamedTuple):
    fields: Fields
    stated: StatedFields
    line: int

    def at(self, key: str) -> int:
        """Return the place of a field: `allowed` may follow from the reason, `has_value` from the value."""
        return next(
            (self.fields.at(entry) for entry in (key, "reason", "value") if entry in self.fields), self.fields.place
        )


def read_expected(
    test: Fields,
    axes: tuple[str, str, str],
    cells: Sequence[Cell],
    keys: frozenset[str],
    read_row: Callable[[Fields, Sequence[Cell]], StatedFields],
    report: TextReport,
) -> dict[Cell, tuple[Expectation, int]]:
    """Read the rows of a test: the expectation of each selected cell, and the place of its first row.

    `axes`: the names of the matrix's axes; `read_row` reads the other `keys` of a row, for the cells it selects.
    """
    selection = _Selection(axes, cells, report)
    rows: list[_Row] = []
    spoken: dict[Cell, tuple[int, ...]] = {}
    for node, place in test.entries_of("expected"):
        fields = Fields.of(node, place, report, keys | frozenset(axes))
        if fields is None:
            continue
        selected = selection.cells_of(fields)
        stated = read_row(fields, selected)
        for cell in selected:
            spoken[cell] = (*spoken.get(cell, ()), len(rows))
        rows.append(_Row(fields, stated, report.position(place)[1]))
    merged: dict[tuple[int, ...], Expectation] = {}
    for cell, numbers in spoken.items():
        if numbers not in merged:
            merged[numbers] = _merge([rows[number] for number in numbers], cell, report)
    return {cell: (merged[numbers], rows[numbers[0]].fields.place) for cell, numbers in spoken.items()}


def make_cases(
    queries: Mapping[Cell, Query], expected: Mapping[Cell, tuple[Expectation, int]], test: Fields, report: TextReport
) -> list[Case]:
    """Return the cases of a test, in the order of its cells; those that no row selects are to be denied."""
    position = cache(report.position)
    cases = []
    for cell, query in queries.items():
        expectation, place = expected.get(cell, (UNSTATED, test.place))
        cases.append(Case(*cell, query, expectation, position(place), stated=cell in expected))
    return cases


def read_allowed(row: Fields) -> StatedFields:
    """Read `allowed` and `reason`, which must agree."""
    stated: StatedFields = {}
    allowed, reason = row.flag("allowed"), row.choice("reason", Reason)
    if allowed is not None:
        stated["allowed"] = allowed
    if reason is not None:
        stated["reason"] = reason
        if allowed is not None and allowed != (reason is Reason.GRANTED):
            row.problem("reason", "contradiction", f"`{reason}` is not the reason where `allowed` is {_word(allowed)}")
        stated["allowed"] = reason is Reason.GRANTED
    return stated


class _Selection:
    """Finds the cells that a row selects."""

    def __init__(self, axes: tuple[str, str, str], cells: Sequence[Cell], report: TextReport) -> None:
        self._axes = axes
        self._cells = cells
        self._report = report
        self._by_name: tuple[dict[str, list[Cell]], ...] = ({}, {}, {})
        for cell in cells:
            for named, name in zip(self._by_name, cell, strict=True):
                if name:
                    named.setdefault(name, []).append(cell)

    def cells_of(self, row: Fields) -> Sequence[Cell]:
        """Return the cells that a row selects; none is a problem."""
        before = self._report.count
        wanted: list[frozenset[str] | None] = []
        narrowest: Iterable[Cell] = self._cells
        fewest = len(self._cells)
        for axis, named in zip(self._axes, self._by_name, strict=True):
            if axis not in row:
                wanted.append(None)
                continue
            names = names_of(row.entries[axis], row.at(axis), named, axis, self._report)
            wanted.append(frozenset(names))
            count = sum(len(named[name]) for name in names)
            if count <= fewest:
                fewest = count
                narrowest = [cell for name in names for cell in named[name]]
        first, second, third = wanted
        result = [
            cell
            for cell in narrowest
            if (first is None or cell[0] in first)
            and (second is None or cell[1] in second)
            and (third is None or cell[2] in third)
        ]
        if not result and self._report.count == before and self._cells:
            self._report.add(row.place, "selects-nothing", "this row selects no case of the test")
        return result


def _merge(rows: Sequence[_Row], cell: Cell, report: TextReport) -> Expectation:
    """Merge rows; `cell` is one that all of them select."""
    stated: StatedFields = {}
    said_by: dict[str, _Row] = {}
    for row in rows:
        for key, value in row.stated.items():
            if key not in stated:
                stated[key] = value
                said_by[key] = row
            elif stated[key] != value or isinstance(stated[key], bool) is not isinstance(value, bool):
                message = f"the row in line {said_by[key].line} states another `{key}` for `{_shown(cell)}`"
                report.add(row.at(key), "contradiction", message)
                break  # what follows from it, such as another reason, is no second problem
    if "allowed" not in stated and not any(OUTCOME_KEYS & row.fields.entries.keys() for row in rows):
        message = f"no row states `allowed` or `reason` for `{_shown(cell)}`"
        report.add(rows[0].fields.place, "missing-key", message)
    return Expectation(**stated)


def _shown(cell: Cell) -> str:
    return shorten(" · ".join(name for name in cell if name))


def _word(allowed: bool) -> str:  # noqa: FBT001 - it is the value
    return f"`{str(allowed).lower()}`"
