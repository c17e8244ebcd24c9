"""Collect files of entitlement tests in pytest: a file, its tests, and each of their cases as an item.

Leaves to others: which files (`plugin`), reading and deciding (`runner`).
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any, Final

import pytest

from tiergate.errors import AuthorError
from tiergate.policytest.reporters import failure_lines
from tiergate.policytest.results import Status
from tiergate.policytest.runner import Runner

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tiergate.policytest.results import CaseResult
    from tiergate.policytest.runner import LoadedSuites
    from tiergate.policytest.suites import Case, Suite, Test

_OURS: Final = re.compile(rb"""^["']?apiVersion["']?\s*:\s*["']?tiergate/""", re.MULTILINE)
_RUNNER: pytest.StashKey[Runner] = pytest.StashKey()


def is_ours(path: Path) -> bool:
    """Return whether a file names our `apiVersion`; an unreadable one is collected, to report it."""
    try:
        return _OURS.search(path.read_bytes()) is not None
    except OSError:
        return True


class SuiteFile(pytest.File):
    """A test file. Problems in it, or in the files it names, are collection errors."""

    def collect(self) -> Iterator[TestNode]:
        """Read and compile the file; files with the same content share the result."""
        runner = self.config.stash.setdefault(_RUNNER, Runner())
        try:
            loaded = runner.read_suites([_shown(self.path, self.config)])
        except AuthorError as error:
            raise self.CollectError("\n".join(map(str, error.problems))) from None
        for suite in loaded.suites:
            for test in suite.tests:
                node: TestNode = TestNode.from_parent(self, name=test.name, loaded=loaded, suite=suite, test=test)
                yield node


class TestNode(pytest.Collector):
    """A test of a file."""

    __test__ = False

    def __init__(self, *, loaded: LoadedSuites, suite: Suite, test: Test, **named: Any) -> None:  # noqa: ANN401 - pytest's
        super().__init__(**named)
        self.loaded = loaded
        self.suite = suite
        self._test = test

    def collect(self) -> Iterator[CaseItem]:
        """Yield each case of the test; those of a skipped test are skipped with its reason."""
        skip = self.suite.skip or self._test.skip
        for case in self._test.cases:
            item: CaseItem = CaseItem.from_parent(self, name=case.name, case=case)
            if skip:
                item.add_marker(pytest.mark.skip(reason=skip))
            yield item


class CaseItem(pytest.Item):
    """A test case."""

    def __init__(self, *, parent: TestNode, case: Case, **named: Any) -> None:  # noqa: ANN401 - pytest's
        super().__init__(parent=parent, **named)
        self._node = parent
        self._case = case

    def runtest(self) -> None:
        """Decide the case.

        Raises:
            _CaseFailedError: if the result differs from the expectation.
        """
        runner = self.config.stash[_RUNNER]
        result = runner.run_case(self._node.loaded, self._node.suite, self._case)
        if result.status is not Status.PASSED:
            raise _CaseFailedError(result)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:  # noqa: ANN401
        """Return the expectation, the result, the reason and the place, without a traceback."""
        if isinstance(excinfo.value, _CaseFailedError):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int, str]:
        """Return the place of the case: file, line from 0, and name."""
        return self.path, self._case.place[1] - 1, f"{self._node.name}: {self.name}"


class _CaseFailedError(Exception):
    """A case did not pass."""

    def __init__(self, result: CaseResult) -> None:
        super().__init__("\n".join(line.text for line in failure_lines(result)))


def _shown(path: Path, config: pytest.Config) -> Path:
    """Return the path relative to the folder where pytest was started, if it is still the current one."""
    started = config.invocation_params.dir
    if started == path.cwd():
        return type(path)(os.path.relpath(path, started))
    return path
