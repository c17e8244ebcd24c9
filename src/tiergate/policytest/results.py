"""What came of running suites: results of cases, tests and suites, and what an observer is told of each decision."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tiergate.cedar import CedarResult
    from tiergate.engine import Evaluation
    from tiergate.model import Decision
    from tiergate.permissions import Permission
    from tiergate.policytest.environments import EntitlementEnvironment, RoleEnvironment
    from tiergate.policytest.suites import Case, Suite, Test


class Status(StrEnum):
    """How a case ended. An error is a case that could not be decided at all, such as one with a wrong field."""

    PASSED = "passed"
    FAILED = "failed"
    ERROR = "error"
    SKIPPED = "skipped"


class Mismatch(NamedTuple):
    """A field of the expectation that is not met; both sides as the file would write them."""

    field: str
    expected: str
    actual: str


@dataclass(frozen=True, slots=True)
class CaseResult:
    """What came of a case.

    `why`: sentences on what decided, for a case that failed (which policy, which number); for one that could not be
    decided, what is wrong with it. `nanoseconds`: how long deciding and comparing took.
    """

    case: Case
    status: Status
    mismatches: tuple[Mismatch, ...] = ()
    why: tuple[str, ...] = ()
    actual: Decision | Permission | CedarResult | None = None
    nanoseconds: int = 0


@dataclass(frozen=True, slots=True)
class TestResult:
    """What came of a test: its cases that were selected, in their order."""

    __test__ = False  # no class for pytest to collect

    test: Test
    cases: tuple[CaseResult, ...]
    skip: str = ""

    @property
    def status(self) -> Status:
        """The worst of its cases."""
        if self.skip:
            return Status.SKIPPED
        found = {result.status for result in self.cases}
        return next((entry for entry in (Status.ERROR, Status.FAILED) if entry in found), Status.PASSED)


@dataclass(frozen=True, slots=True)
class SuiteResult:
    """What came of a suite."""

    suite: Suite
    tests: tuple[TestResult, ...]


@dataclass(frozen=True, slots=True)
class RunReport:
    """What came of a run. `nanoseconds`: of deciding and comparing all cases, without reading and compiling."""

    suites: tuple[SuiteResult, ...]
    nanoseconds: int = 0

    def cases(self) -> Iterator[CaseResult]:
        """Every case that was selected."""
        return (case for suite in self.suites for test in suite.tests for case in test.cases)

    def count(self, status: Status) -> int:
        """How many cases ended so; a skipped test counts each of its cases."""
        return sum(case.status is status for case in self.cases())

    @property
    def has_passed(self) -> bool:
        """Say whether nothing failed and nothing could not be decided."""
        return not any(case.status in (Status.FAILED, Status.ERROR) for case in self.cases())


class Observer(Protocol):
    """Is told of every case that was decided, as it was decided: coverage is one."""

    def entitlement(self, environment: EntitlementEnvironment, case: Case, evaluation: Evaluation) -> None:
        """A check was decided."""
        ...

    def permission(self, environment: RoleEnvironment, case: Case, permission: Permission) -> None:
        """The table of roles was asked."""
        ...
