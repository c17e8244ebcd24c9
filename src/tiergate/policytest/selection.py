"""Which cases of what was read are run: those whose suite, test, subject and feature fit the patterns given."""

from __future__ import annotations

from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from tiergate.policytest.suites import Case, Suite, Test

_MARKS: Final = frozenset("*?[")


@dataclass(frozen=True)
class Selection:
    """Patterns for each part of a case's name; a part fits where it fits any of them, or where there are none.

    A pattern with `*`, `?` or `[…]` is a glob for the whole name, any other one a part of it; upper and lower case are
    the same. In a suite about roles the subject is the caller and the feature the action.
    """

    suites: tuple[str, ...] = ()
    tests: tuple[str, ...] = ()
    subjects: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    _kept: dict[tuple[tuple[str, ...], str], bool] = field(default_factory=dict, init=False, repr=False, compare=False)

    def takes_suite(self, suite: Suite) -> bool:
        """Say whether a suite can have cases to run."""
        return self._fits(self.suites, suite.name)

    def cases(self, test: Test) -> tuple[Case, ...]:
        """The cases of a test to run, in their order."""
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
"""All cases."""


def _fits(pattern: str, name: str) -> bool:
    return fnmatchcase(name, pattern) if _MARKS & set(pattern) else pattern in name
