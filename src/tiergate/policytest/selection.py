"""Select the cases to run: those whose suite, test, subject and feature match patterns."""

from __future__ import annotations

from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from tiergate.policytest.suites import Case, Suite, Test

_MARKS: Final = frozenset("*?[")


@dataclass(frozen=True)
class Selection:
    """Patterns for each part of a case's name; a part matches any of them, or everything if there are none.

    A pattern with `*`, `?` or `[…]` is a glob for the whole name, any other a part of it; case is ignored. In a suite
    about roles the subject is the caller and the feature the action.
    """

    suites: tuple[str, ...] = ()
    tests: tuple[str, ...] = ()
    subjects: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    _kept: dict[tuple[tuple[str, ...], str], bool] = field(default_factory=dict, init=False, repr=False, compare=False)

    def takes_suite(self, suite: Suite) -> bool:
        """Return whether a suite can have cases to run."""
        return self._fits(self.suites, suite.name)

    def cases(self, test: Test) -> tuple[Case, ...]:
        """Return the cases of a test to run, in order."""
        if not self._fits(self.tests, test.name):
            return ()
        if not self.subjects and not self.features:
            return test.cases
        return tuple(
            case
            for case in test.cases
            if self._fits(self.subjects, case.subject) and self._fits(self.features, case.feature)
        )

    def _fits(self, patterns: tuple[str, ...], name: str) -> bool:
        if not patterns:
            return True
        key = (patterns, name)
        if key not in self._kept:
            self._kept[key] = any(_fits(pattern.casefold(), name.casefold()) for pattern in patterns)
        return self._kept[key]


EVERYTHING: Final = Selection()
"""Selects all cases."""


def _fits(pattern: str, name: str) -> bool:
    return fnmatchcase(name, pattern) if _MARKS & set(pattern) else pattern in name
