"""Has something planned carried out for a request, and says what came of it: to the catalog, and to customers.

A request can demand that what it does is what was reviewed, by `If-Match`, and accepts a loss by its token.

Which customers, is told only to those who may see all of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from tiergate.control.api.request import Answer
from tiergate.errors import LossError
from tiergate.permissions import Action, Resource
from tiergate.publish.prepared_publication import PublishConditions
from tiergate.publish.review_tag import ReviewTags

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tiergate.control.api.request import AdminRequest
    from tiergate.model import Problem
    from tiergate.publish.item_conflicts import ItemConflict
    from tiergate.publish.loss_estimate import ImpactLine
    from tiergate.publish.publication_plan import Planner
    from tiergate.publish.publish_result import PublishPreview, PublishResult
    from tiergate.publish.publisher import Publisher
    from tiergate.store import WriteUnit


def carried_out(
    publisher: Publisher,
    request: AdminRequest,
    planner: Planner,
    check: Callable[[WriteUnit], None] | None = None,
    *,
    weigh: bool = False,
    accept_loss: str = "",
    reviewed: ReviewTags | None = None,
) -> Answer:
    """Publish what is planned, once for an idempotency key, and answer with what changed.

    `check` is asked first, in the same transaction. With `weigh`, or where a loss is accepted, it is refused where
    customers would lose something else than what `accept_loss` names. With `reviewed`, it must be what was reviewed.

    Raises:
        LossError: they would.
        OutdatedReviewError: it is not.
    """
    before = request.replayed()  # the review and the loss of the first time are no longer those of now
    if before is not None:
        return before

    def run(work: Callable[[WriteUnit], PublishResult]) -> Answer:
        def once(unit: WriteUnit) -> Answer:
            if check is not None:
                check(unit)
            return _outcome_answer(request, work(unit))

        return request.change(once)

    try:
        return publisher.publish(planner, run, PublishConditions(weigh, accept_loss, reviewed))
    except LossError as error:
        raise LossError(error.detail, visible(request, error.impact), error.token) from None


def reviewed_by(request: AdminRequest) -> ReviewTags | None:
    """What a request says was reviewed (`If-Match`); none where it says nothing."""
    tags = request.entity_tags
    return None if tags is None else ReviewTags(tags)


def _outcome_answer(request: AdminRequest, outcome: PublishResult) -> Answer:
    said: dict[str, object] = {
        "publication": outcome.sequence,
        "revision": outcome.revision,
        "published": outcome.is_new,
        "changes": outcome.changes,
    }
    if outcome.impact is not None:
        said["impact"] = visible(request, outcome.impact)
    if outcome.discarded:
        said["discarded"] = outcome.discarded
    if outcome.conflicts:
        said["combinations"] = _visible_conflicts(request, outcome.conflicts)
    if outcome.is_new:
        return Answer.json(said, 201, location=f"/v1/publications/{outcome.sequence}")
    return Answer.json(said)


def visible(request: AdminRequest, impact: ImpactLine) -> ImpactLine:
    """A tally as the caller may see it: without examples, which name customers, unless it may see all of them."""
    impact = {key: value for key, value in impact.items() if key != "loss"}
    if request.may(Action.VIEW, Resource.store()):
        return impact
    bare = [{key: value for key, value in one.items() if key != "examples"} for one in impact["features"]]
    return {**impact, "features": bare}


def dry_run(publisher: Publisher, request: AdminRequest, planner: Planner) -> Answer:
    """What would come of a plan, with what it would do to customers, and the tags to go on with."""
    preview = publisher.preview(planner, estimates=True)
    said = preview_data(request, preview)
    if preview.estimate is not None:
        impact = preview.estimate.tally(publisher.store)
        said |= tally_data(request, impact, impact["loss"])
    return previewed(said)


def tally_data(request: AdminRequest, impact: ImpactLine, loss: str) -> dict[str, object]:
    """What a change does to customers, as members of an answer; `accept_loss` where something is lost."""
    said: dict[str, object] = {"impact": visible(request, impact)}
    return said | ({"accept_loss": loss} if loss else {})


def previewed(said: dict[str, object]) -> Answer:
    """Answer with a preview; its entity tag is that of what would be published."""
    answer = Answer.json(said)
    return Answer(200, answer.body, {**answer.headers, "etag": str(said["etag"])})


def preview_data(request: AdminRequest, preview: PublishPreview) -> dict[str, object]:
    """A preview, as it is answered."""
    said: dict[str, object] = {
        "publication": preview.sequence,
        "revision": preview.revision,
        "published": False,
        "changes": preview.changes,
        "problems": [problem_data(problem) for problem in preview.problems],
        "etag": f'"{preview.tag}"',
    }
    if preview.discarded:
        said["discarded"] = preview.discarded
    if preview.conflicts:
        said["combinations"] = _visible_conflicts(request, preview.conflicts)
    return said


def _visible_conflicts(request: AdminRequest, conflicts: Sequence[ItemConflict]) -> list[ItemConflict]:
    """As the caller may see them: with examples, which name customers, only if it may see all of them."""
    if request.may(Action.VIEW, Resource.store()):
        return list(conflicts)
    return [replace(it, examples=()) for it in conflicts]


def problem_data(problem: Problem) -> dict[str, object]:
    """A problem, as it is answered."""
    return {
        "file": problem.file,
        "line": problem.line,
        "column": problem.column,
        "code": problem.code,
        "detail": problem.sentence,
    }
