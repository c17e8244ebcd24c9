"""Reads suites, decides their cases and compares what comes out with what is expected.

No clock but the one that measures how long a case takes, no output, and no order of its own: suites, tests and cases
come back as they stand in the files.
"""

from __future__ import annotations

from dataclasses import dataclass
from time import perf_counter_ns
from typing import TYPE_CHECKING

from tiergate.catalog import ProblemLog
from tiergate.errors import CallerError, SuiteError
from tiergate.policytest.environments import CedarEnvironment, CompilationCache, EntitlementEnvironment, RoleEnvironment
from tiergate.policytest.expectation_comparison import compare_decision, compare_outcome, compare_permission
from tiergate.policytest.failure_reasons import why_decided, why_evaluated, why_permitted
from tiergate.policytest.results import CaseResult, RunReport, Status, SuiteResult, TestResult
from tiergate.policytest.selection import EVERYTHING
from tiergate.policytest.suite_reader import SuiteReader, suite_files
from tiergate.policytest.suites import CedarQuery, EntitlementQuery, PermissionQuery

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from tiergate.policytest.environments import Environment
    from tiergate.policytest.results import Observer
    from tiergate.policytest.selection import Selection
    from tiergate.policytest.suites import Case, Suite, Test

_MOST_PROBLEMS = 10_000


@dataclass(frozen=True, slots=True)
class LoadedSuites:
    """Suites that are in order, and by `Suite.world` what their cases are decided against."""

    suites: tuple[Suite, ...]
    worlds: Mapping[str, Environment]

    def world(self, suite: Suite) -> Environment:
        """What the cases of a suite are decided against."""
        return self.worlds[suite.world]


class Runner:
    """Reads and runs suites. Keeps what it compiled for the next reading, as long as its content stays the same."""

    def __init__(self) -> None:
        self._library = CompilationCache()
        self.named: frozenset[Path] = frozenset()
        """Every file and folder that the last reading rested on, be it that it failed."""

    def read_suites(self, paths: Sequence[Path]) -> LoadedSuites:
        """Read the test files that `paths` mean: files, and folders with all `*_test.yaml` below them.

        Raises:
            SuiteError: with all problems of all files, those of the files that suites name included, by position.
        """
        log = ProblemLog(_MOST_PROBLEMS)
        self._library.turn()
        reader = SuiteReader(self._library, log)
        try:
            suites = [reader.read(path) for path in suite_files(paths, log)]
        finally:
            self.named = frozenset(reader.named)
        log.raise_any(SuiteError)
        return LoadedSuites(tuple(suite for suite in suites if suite is not None), reader.worlds)

    def run(
        self, loaded: LoadedSuites, selection: Selection = EVERYTHING, observers: Sequence[Observer] = ()
    ) -> RunReport:
        """Run the selected cases; suites and tests without any are left out. Observers are told of each decision."""
        result: list[SuiteResult] = []
        for suite in loaded.suites:
            if not selection.takes_suite(suite):
                continue
            selected = ((test, selection.cases(test)) for test in suite.tests)
            tests = tuple(self._test(loaded, suite, test, cases, observers) for test, cases in selected if cases)
            if tests:
                result.append(SuiteResult(suite, tests))
        total = sum(case.nanoseconds for suite in result for test in suite.tests for case in test.cases)
        return RunReport(tuple(result), total)

    def run_test(
        self, loaded: LoadedSuites, suite: Suite, test: Test, observers: Sequence[Observer] = ()
    ) -> TestResult:
        """Run all cases of one test."""
        return self._test(loaded, suite, test, test.cases, observers)

    def run_case(
        self, loaded: LoadedSuites, suite: Suite, case: Case, observers: Sequence[Observer] = ()
    ) -> CaseResult:
        """Run one case of a suite, whatever is to be skipped."""
        return _run(loaded.world(suite), case, observers)

    @staticmethod
    def _test(
        loaded: LoadedSuites, suite: Suite, test: Test, cases: Sequence[Case], observers: Sequence[Observer]
    ) -> TestResult:
        skip = suite.skip or test.skip
        if skip:
            return TestResult(test, tuple(CaseResult(case, Status.SKIPPED) for case in cases), skip)
        world = loaded.world(suite)
        return TestResult(test, tuple(_run(world, case, observers) for case in cases))


def _run(world: Environment, case: Case, observers: Sequence[Observer]) -> CaseResult:
    question = case.question
    if isinstance(world, EntitlementEnvironment) and isinstance(question, EntitlementQuery):
        return _check(world, case, question, observers)
    if isinstance(world, RoleEnvironment) and isinstance(question, PermissionQuery):
        return _permission(world, case, question, observers)
    if isinstance(world, CedarEnvironment) and isinstance(question, CedarQuery):
        return _cedar(world, case, question)
    msg = f"the case `{case.name}` is of another kind than its suite"
    raise TypeError(msg)


def _check(
    world: EntitlementEnvironment, case: Case, asked: EntitlementQuery, observers: Sequence[Observer]
) -> CaseResult:
    begin = perf_counter_ns()
    try:
        evaluation = world.evaluate(asked)
    except CallerError as error:
        return CaseResult(case, Status.ERROR, why=(str(error),), nanoseconds=perf_counter_ns() - begin)
    mismatches = compare_decision(case.expected, evaluation.decision)
    taken = perf_counter_ns() - begin
    for observer in observers:
        observer.entitlement(world, case, evaluation)
    if not mismatches:
        return CaseResult(case, Status.PASSED, (), (), evaluation.decision, taken)
    return CaseResult(case, Status.FAILED, mismatches, why_decided(world, asked), evaluation.decision, taken)


def _permission(
    world: RoleEnvironment, case: Case, asked: PermissionQuery, observers: Sequence[Observer]
) -> CaseResult:
    begin = perf_counter_ns()
    permission = world.allows(asked)
    mismatches = compare_permission(case.expected, permission)
    taken = perf_counter_ns() - begin
    for observer in observers:
        observer.permission(world, case, permission)
    if not mismatches:
        return CaseResult(case, Status.PASSED, (), (), permission, taken)
    return CaseResult(case, Status.FAILED, mismatches, why_permitted(asked, permission), permission, taken)


def _cedar(world: CedarEnvironment, case: Case, asked: CedarQuery) -> CaseResult:
    begin = perf_counter_ns()
    try:
        outcome = world.authorize(asked)
    except ValueError as error:
        return CaseResult(case, Status.ERROR, why=(str(error),), nanoseconds=perf_counter_ns() - begin)
    mismatches = compare_outcome(case.expected, outcome)
    taken = perf_counter_ns() - begin
    if not mismatches:
        return CaseResult(case, Status.PASSED, (), (), outcome, taken)
    return CaseResult(case, Status.FAILED, mismatches, why_evaluated(outcome), outcome, taken)
