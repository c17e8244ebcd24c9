"""Asks Cedar again for a sample of the answers that were kept, and counts what comes of it.

One `Rechecks` serves all engines of a process, one after the other, so that its counts only grow.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from tiergate.cedar import CedarResult
    from tiergate.engine.shapes.answer_table import Answer

DEFAULT_ONE_IN = 1_000
"""A recheck costs as much as a check without kept answers: one in 1,000 adds a few parts in a thousand."""


class Difference(NamedTuple):
    """A kept answer about a feature, and what Cedar answers now: only a defect in the reader makes the two differ."""

    feature: str
    kept: Answer
    result: CedarResult


class Rechecks:
    """Chooses one in `one_in` kept answers at random: 0 none, 1 every one.

    `report` is called with each difference.
    """

    def __init__(self, one_in: int = DEFAULT_ONE_IN, report: Callable[[Difference], None] | None = None) -> None:
        self.checked = 0
        self.differences = 0
        self._one_in = one_in
        self._report = report
        self._random = Random()  # noqa: S311 - a sample is no secret
        self._left = self._gap()

    def is_due(self) -> bool:
        """Count one use of a kept answer; return whether this one is to be checked."""
        if self._left > 1:
            self._left -= 1
            return False
        if not self._one_in:
            return False
        self._left = self._gap()
        return True

    def passes(self) -> bool:
        """Count one use of a kept answer, unless it is to be checked; return whether it was counted."""
        if self._left > 1:
            self._left -= 1
            return True
        return not self._one_in

    @property
    def is_next_due(self) -> bool:
        """Whether the next use of a kept answer is to be checked."""
        return self._left <= 1 and self._one_in > 0

    def count(self, difference: Difference | None) -> None:
        """Count a recheck, and report what differs."""
        self.checked += 1
        if difference is not None:
            self.differences += 1
            if self._report is not None:
                self._report(difference)

    def _gap(self) -> int:
        """Draw a gap whose mean is `one_in`, so that no rhythm of checks escapes."""
        return self._random.randrange(1, 2 * self._one_in) if self._one_in else 0
