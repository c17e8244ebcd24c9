"""Reads suites and runs their cases.

Suites, tests and cases are returned in the order of the files. Nothing is printed, and the only clock measures how long
a case takes. How a case is decided is up to the `Environment` of its suite.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tiergate.catalog import ProblemLog
from tiergate.errors import SuiteError
from tiergate.policytest.compilation_cache import CompilationCache
from tiergate.policytest.results import CaseResult, RunReport, Status, SuiteResult, TestResult
from tiergate.policytest.selection import EVERYTHING
from tiergate.policytest.suite_reader import SuiteReader, suite_files

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from tiergate.policytest.environments import Environment, Observer
    from tiergate.policytest.selection import Selection
    from tiergate.policytest.suite_reader import PublishedFiles
    from tiergate.policytest.suites import Case, Suite, Test

_MAX_PROBLEMS = 10_000


@dataclass(frozen=True, slots=True)
class LoadedSuites:
    """Valid suites, and their environments by `Suite.environment`."""

    suites: tuple[Suite, ...]
    environments: Mapping[str, Environment]

    def environment(self, suite: Suite) -> Environment:
        """Return the environment of a suite."""
        return self.environments[suite.environment]


class Runner:
    """Reads and runs suites. Keeps compiled catalogs for the next reading, as long as their content is the same."""

    def __init__(self) -> None:
        self._cache = CompilationCache()
        self.inputs: frozenset[Path] = frozenset()
        """Every file and folder that the last reading read or looked for, even if it failed."""

    def read_suites(self, paths: Sequence[Path], published: PublishedFiles | None = None) -> LoadedSuites:
        """Read test files: `paths` are files, or folders with `*_test.yaml` files at any depth.

        `published`: suites with a catalog in files test this one instead.

        Raises:
            SuiteError: with all problems of the test files and of the files that they name, by position.
        """
        log = ProblemLog(_MAX_PROBLEMS)
        self._cache.start_reading()
        reader = SuiteReader(self._cache, log, published)
        try:
            suites = [reader.read(path) for path in suite_files(paths, log)]
        finally:
            self.inputs = frozenset(reader.inputs)
        log.raise_any(SuiteError)
        return LoadedSuites(tuple(suite for suite in suites if suite is not None), reader.environments)

    def run(
        self, loaded: LoadedSuites, selection: Selection = EVERYTHING, observers: Sequence[Observer] = ()
    ) -> RunReport:
        """Run the selected cases; suites and tests without any are left out. Observers see each decision."""
        results: list[SuiteResult] = []
        for suite in loaded.suites:
            if not selection.takes_suite(suite):
                continue
            selected = ((test, selection.cases(test)) for test in suite.tests)
            tests = tuple(_run_test(loaded, suite, test, cases, observers) for test, cases in selected if cases)
            if tests:
                results.append(SuiteResult(suite, tests))
        total = sum(case.nanoseconds for suite in results for test in suite.tests for case in test.cases)
        return RunReport(tuple(results), total)

    def run_case(self, loaded: LoadedSuites, suite: Suite, case: Case) -> CaseResult:
        """Run one case of a suite, even if it would be skipped."""
        return loaded.environment(suite).run(case)


def _run_test(
    loaded: LoadedSuites, suite: Suite, test: Test, cases: Sequence[Case], observers: Sequence[Observer]
) -> TestResult:
    skip = suite.skip or test.skip
    if skip:
        return TestResult(test, tuple(CaseResult(case, Status.SKIPPED) for case in cases), skip)
    environment = loaded.environment(suite)
    return TestResult(test, tuple(environment.run(case, observers) for case in cases))
