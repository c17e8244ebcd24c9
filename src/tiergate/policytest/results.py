"""The results of cases, tests and suites, as values."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tiergate.cedar import CedarResult
    from tiergate.model import Decision
    from tiergate.permissions import Permission
    from tiergate.policytest.suites import Case, Suite, Test


class Status(StrEnum):
    """The status of a case. `error`: it could not be decided, for example because of an invalid field."""

    PASSED = "passed"
    FAILED = "failed"
    ERROR = "error"
    SKIPPED = "skipped"


class Mismatch(NamedTuple):
    """A field that differs from the expectation; both sides as in a test file."""

    field: str
    expected: str
    actual: str


@dataclass(frozen=True, slots=True)
class CaseResult:
    """The result of a case.

    `why`: sentences that explain a failed case (policies, numbers), or the error of a case that could not be decided.
    `nanoseconds`: the time to decide and compare.
    """

    case: Case
    status: Status
    mismatches: tuple[Mismatch, ...] = ()
    why: tuple[str, ...] = ()
    actual: Decision | Permission | CedarResult | None = None
    nanoseconds: int = 0


@dataclass(frozen=True, slots=True)
class TestResult:
    """The results of a test's selected cases, in order."""

    __test__ = False  # no class for pytest to collect

    test: Test
    cases: tuple[CaseResult, ...]
    skip: str = ""

    @property
    def status(self) -> Status:
        """The worst status of its cases."""
        if self.skip:
            return Status.SKIPPED
        statuses = {result.status for result in self.cases}
        return next((entry for entry in (Status.ERROR, Status.FAILED) if entry in statuses), Status.PASSED)


@dataclass(frozen=True, slots=True)
class SuiteResult:
    """The results of a suite."""

    suite: Suite
    tests: tuple[TestResult, ...]


@dataclass(frozen=True, slots=True)
class RunReport:
    """The results of a run. `nanoseconds`: to decide and compare all cases, without reading and compiling."""

    suites: tuple[SuiteResult, ...]
    nanoseconds: int = 0

    def cases(self) -> Iterator[CaseResult]:
        """Iterate over all selected cases."""
        return (case for suite in self.suites for test in suite.tests for case in test.cases)

    def count(self, status: Status) -> int:
        """Return how many cases have a status; a skipped test counts each of its cases."""
        return sum(case.status is status for case in self.cases())

    @property
    def has_passed(self) -> bool:
        """Whether no case failed or could not be decided."""
        return not any(case.status in (Status.FAILED, Status.ERROR) for case in self.cases())
