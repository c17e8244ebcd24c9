"""Reject an edit of the catalog that contradicts what uses it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tiergate.errors import ConflictError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tiergate.errors import BodyProblem


def reject_conflicts(problems: Sequence[BodyProblem]) -> None:
    """Reject an edit if it has problems.

    Raises:
        ConflictError: it has; with the code of the first one, and all of them.
    """
    if problems:
        located = [problem for problem in problems if problem.pointer]
        raise ConflictError(problems[0].code, "; ".join(problem.sentence for problem in problems), located)
