"""Test files written on the spot: read, run, or refused at the places that are marked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.unit.catalog.marked import places, unmark
from tiergate.errors import SuiteError
from tiergate.policytest.runner import Runner

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tiergate.model import Problem
    from tiergate.policytest.results import CaseResult, RunReport
    from tiergate.policytest.suites import Case, Suite

HEAD = """\
apiVersion: tiergate/v1
now: 2026-11-21T12:00:00Z
features:
  - {id: reports, type: switch}
  - {id: seats, type: quantity, unit: seats}
  - {id: storage, type: quantity, scale: 2}
  - {id: calls, type: quantity, metered: {reset: month}, caps: {per_user: 5, total: 50}}
  - {id: rate, type: range, min: 1, max: 1000}
  - {id: support, type: custom, levels: [email, chat, phone]}
items:
  - {id: basic, kind: plan, entitlements: {reports: true, seats: 5, storage: 2.5, calls: 20, rate: 100, support: chat}}
  - {id: free, kind: plan, entitlements: {reports: false}}
  - {id: extra, kind: addon, entitlements: {seats: {add: 3}}}
  - {id: endless, kind: plan, entitlements: {seats: unlimited, calls: unlimited}}
holders:
  ada: [basic]
  bob: [basic, {item: extra, quantity: 2}]
  eve: [endless]
  fay: [free]
"""
"""A small catalog and who holds what of it; tests follow."""


def suite(tests: str, head: str = HEAD) -> str:
    """A suite of these tests, each indented by two, and with its dash."""
    return f"{head}tests:\n{tests}"


def write(folder: Path, text: str, name: str = "written_test.yaml") -> Path:
    """Write a test file."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def read(folder: Path, text: str) -> Suite:
    """Read a test file."""
    return Runner().read_suites([write(folder, text)]).suites[0]


def cases(folder: Path, text: str) -> tuple[Case, ...]:
    """The cases of a file's first test."""
    return read(folder, text).tests[0].cases


def run(folder: Path, text: str) -> RunReport:
    """Read and run a test file."""
    runner = Runner()
    return runner.run(runner.read_suites([write(folder, text)]))


def results(folder: Path, text: str) -> dict[str, CaseResult]:
    """What came of the cases of a test file, by their names."""
    return {result.case.name: result for result in run(folder, text).cases()}


def one(folder: Path, text: str) -> CaseResult:
    """What came of the one case of a test file."""
    (result,) = run(folder, text).cases()
    return result


def problems(folder: Path, text: str) -> Sequence[Problem]:
    """What is wrong with a test file; it is a failure if nothing is."""
    with pytest.raises(SuiteError) as caught:
        Runner().read_suites([write(folder, text)])
    return caught.value.problems


def expect_problems(folder: Path, marked: str, *codes: str) -> Sequence[Problem]:
    """Hold the reader to the marked places and these codes, in the order of the text."""
    text, marks = unmark(marked)
    found = problems(folder, text)
    assert places(found) == [(*mark, code) for mark, code in zip(marks, codes, strict=True)], found
    return found
