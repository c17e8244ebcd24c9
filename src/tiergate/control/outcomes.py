"""Has something planned carried out for a request, and says what came of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tiergate.control.http import Answer

if TYPE_CHECKING:
    from collections.abc import Callable

    from tiergate.control.http import AdminRequest
    from tiergate.model import Problem
    from tiergate.publish.publisher import Outcome, Planner, Preview, Publisher
    from tiergate.store import WriteUnit

__all__ = ["carried_out", "preview_data", "problem_data"]


def carried_out(
    publisher: Publisher,
    request: AdminRequest,
    planner: Planner,
    check: Callable[[WriteUnit], None] | None = None,
) -> Answer:
    """Publish what is planned, once for an idempotency key, and answer with what changed.

    `check` is asked first, in the same transaction.
    """

    def run(work: Callable[[WriteUnit], Outcome]) -> Answer:
        def once(unit: WriteUnit) -> Answer:
            if check is not None:
                check(unit)
            return _outcome_answer(work(unit))

        return request.change(once)

    return publisher.carry_out(planner, run)


def _outcome_answer(outcome: Outcome) -> Answer:
    said = {
        "publication": outcome.sequence,
        "revision": outcome.revision,
        "published": outcome.is_new,
        "changes": outcome.changes,
    }
    if outcome.is_new:
        return Answer.json(said, 201, location=f"/v1/publications/{outcome.sequence}")
    return Answer.json(said)


def preview_data(preview: Preview) -> dict[str, object]:
    """A preview, as it is answered."""
    return {
        "publication": preview.sequence,
        "revision": preview.revision,
        "published": False,
        "changes": preview.changes,
        "problems": [problem_data(problem) for problem in preview.problems],
    }


def problem_data(problem: Problem) -> dict[str, object]:
    """A problem, as it is answered."""
    return {
        "file": problem.file,
        "line": problem.line,
        "column": problem.column,
        "code": problem.code,
        "detail": problem.message,
    }
