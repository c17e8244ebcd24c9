from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.unit.policytest.written import HEAD, suite, write
from tiergate.policytest.runner import Runner
from tiergate.policytest.selection import EVERYTHING, Selection

if TYPE_CHECKING:
    from pathlib import Path

TESTS = """\
  - {name: Seats of Gold, subjects: [ada, bob], features: [seats]}
  - {name: Reports, subjects: [ada, fay], features: [reports, seats]}
"""

ALL = "ada · seats, bob · seats, ada · reports, ada · seats, fay · reports, fay · seats"


@pytest.mark.parametrize(
    ("selection", "names"),
    [
        (EVERYTHING, ALL),
        (Selection(tests=("gold",)), "ada · seats, bob · seats"),
        (Selection(tests=("gold*",)), ""),
        (Selection(tests=("*gold", "rep*")), ALL),
        (Selection(subjects=("a",)), "ada · seats, ada · reports, ada · seats, fay · reports, fay · seats"),
        (Selection(subjects=("?da", "BOB")), "ada · seats, bob · seats, ada · reports, ada · seats"),
        (Selection(subjects=("[b-f]*",)), "bob · seats, fay · reports, fay · seats"),
        (Selection(tests=("Reports",), subjects=("ada",), features=("seats",)), "ada · seats"),
        (Selection(suites=("catalog",)), ""),
        (Selection(suites=("writ",)), ALL),
    ],
)  # fmt: skip
def test_cases_are_selected_by_each_part_of_their_names(tmp_path: Path, selection: Selection, names: str) -> None:
    """A pattern is a part of the name or a glob of it whole, in any case; several of a kind are alternatives."""
    runner = Runner()
    report = runner.run(runner.read_suites([write(tmp_path, suite(TESTS, HEAD))]), selection)
    assert ", ".join(result.case.name for result in report.cases()) == names


def test_what_has_no_case_is_left_out(tmp_path: Path) -> None:
    """A test, and a suite, of which nothing is selected is not told of."""
    runner = Runner()
    loaded = runner.read_suites([write(tmp_path, suite(TESTS, HEAD))])
    assert [len(it.tests) for it in runner.run(loaded, Selection(features=("reports",))).suites] == [1]
    assert runner.run(loaded, Selection(features=("calls",))).suites == ()
