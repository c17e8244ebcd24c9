"""Has something planned carried out for a request, and says what came of it: to the catalog, and to customers.

Which customers, is told only to those who may see all of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tiergate.control.http import Answer
from tiergate.errors import LossError
from tiergate.permissions import Action, Resource

if TYPE_CHECKING:
    from collections.abc import Callable

    from tiergate.control.http import AdminRequest
    from tiergate.model import Problem
    from tiergate.publish.loss import Line
    from tiergate.publish.publisher import Outcome, Planner, Preview, Publisher
    from tiergate.store import WriteUnit

__all__ = ["carried_out", "preview_data", "problem_data", "visible", "weighed_data"]


def carried_out(
    publisher: Publisher,
    request: AdminRequest,
    planner: Planner,
    check: Callable[[WriteUnit], None] | None = None,
    *,
    weigh: bool = False,
    accept_loss: bool = False,
) -> Answer:
    """Publish what is planned, once for an idempotency key, and answer with what changed.

    `check` is asked first, in the same transaction. With `weigh`, it is refused where customers would lose something,
    unless `accept_loss`.

    Raises:
        LossError: they would.
    """

    def run(work: Callable[[WriteUnit], Outcome]) -> Answer:
        def once(unit: WriteUnit) -> Answer:
            if check is not None:
                check(unit)
            return _outcome_answer(request, work(unit))

        return request.change(once)

    try:
        return publisher.carry_out(planner, run, weigh=weigh, accept_loss=accept_loss)
    except LossError as error:
        raise LossError(error.detail, visible(request, error.impact)) from None


def _outcome_answer(request: AdminRequest, outcome: Outcome) -> Answer:
    said: dict[str, object] = {
        "publication": outcome.sequence,
        "revision": outcome.revision,
        "published": outcome.is_new,
        "changes": outcome.changes,
    }
    if outcome.impact is not None:
        said["impact"] = visible(request, outcome.impact)
    if outcome.is_new:
        return Answer.json(said, 201, location=f"/v1/publications/{outcome.sequence}")
    return Answer.json(said)


def visible(request: AdminRequest, impact: Line) -> Line:
    """A tally as the caller may see it: without examples, which name customers, unless it may see all of them."""
    if request.may(Action.VIEW, Resource.store()):
        return impact
    bare = [{key: value for key, value in one.items() if key != "examples"} for one in impact["features"]]
    return {**impact, "features": bare}


def weighed_data(publisher: Publisher, request: AdminRequest, planner: Planner) -> dict[str, object]:
    """What would come of a plan, as it is answered, with what it would do to customers."""
    preview = publisher.preview(planner, weigh=True)
    said = preview_data(preview)
    if preview.weighing is not None:
        said["impact"] = visible(request, preview.weighing.tally(publisher.store))
    return said


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
