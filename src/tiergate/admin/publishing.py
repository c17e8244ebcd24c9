"""Publish for an actor, or preview what publishing would change.

The use cases that publish (`pending_publication`, `roll_back`, `apply_files`, those of `immediate_changes`) return a
`PublicationRequest`. `publish` publishes it; `preview` and `stream_preview` only show what that would change.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from tiergate.admin.publication_views import Members, impact_data, preview_data, sees_store, visible_impact
from tiergate.errors import LossError
from tiergate.publish.publication_stages import PublishConditions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tiergate.admin.actor import Actor
    from tiergate.model import Instant
    from tiergate.publish.loss_estimate import ImpactLine
    from tiergate.publish.publication_plan import Planner
    from tiergate.publish.publication_stages import PublishPreview, PublishResult
    from tiergate.publish.publisher import Publisher, RunTransaction
    from tiergate.publish.review_tag import ReviewTags
    from tiergate.store import ReadUnit, WriteUnit

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class PublicationRequest:
    """What an actor wants to publish.

    `authorize`: requires the permissions to publish it; a preview does not need them. `check`: runs first in the
    transaction. `checks_loss`: reject it if customers would lose something that was not accepted.
    """

    planner: Planner
    authorize: Callable[[ReadUnit], None] = lambda _: None
    check: Callable[[WriteUnit], None] = lambda _: None
    checks_loss: bool = True


def publish(
    actor: Actor,
    publisher: Publisher,
    wanted: PublicationRequest,
    run: RunTransaction[T],
    *,
    accepted_loss: str = "",
    reviewed: ReviewTags | None = None,
    replay: Callable[[], T | None] = lambda: None,
) -> T:
    """Publish in the transaction of `run`, and return what it returns; nothing is published if nothing changes.

    `accepted_loss`: the token of the loss that the actor accepts. `reviewed`: what the actor reviewed. `replay`:
    returns the result of the same request if it was made before, because its review and loss are outdated now.

    Raises:
        ForbiddenError: the actor may not publish it.
        PublishError: the plan has problems.
        LossError: customers would lose something other than what is accepted; with the loss and its token.
        OutdatedReviewError: it is not what was reviewed.
    """
    publisher.store.read(wanted.authorize)
    before = replay()
    if before is not None:
        return before

    def run_checked(work: Callable[[WriteUnit], PublishResult]) -> T:
        def checked(unit: WriteUnit) -> PublishResult:
            wanted.check(unit)
            return work(unit)

        return run(checked)

    conditions = PublishConditions(wanted.checks_loss, accepted_loss, reviewed)
    try:
        return publisher.publish(wanted.planner, run_checked, conditions)
    except LossError as error:
        raise LossError(error.detail, visible_impact(actor, error.impact), error.token) from None


def preview(actor: Actor, publisher: Publisher, wanted: PublicationRequest) -> Members:
    """Return what publishing would change, also for customers, and the tags with which to publish exactly that."""
    result = publisher.preview(wanted.planner, estimates=True)
    data = preview_data(actor, result)
    if result.estimate is not None:
        impact = result.estimate.tally(publisher.store)
        data |= impact_data(actor, impact, impact["loss"])
    return data


def stream_preview(
    actor: Actor, publisher: Publisher, wanted: PublicationRequest, at: Instant | None = None
) -> Iterator[ImpactLine]:
    """Return what publishing would change as lines: `progress`, each `effect` if the actor sees customers, `outcome`.

    `at`: the only instant that counts; the loss cannot be accepted then. Default: all from now on.
    """
    return _preview_lines(actor, publisher, publisher.preview(wanted.planner, estimates=True, at=at), at)


def _preview_lines(
    actor: Actor, publisher: Publisher, result: PublishPreview, at: Instant | None
) -> Iterator[ImpactLine]:
    outcome = preview_data(actor, result)
    if result.estimate is not None:
        for line in result.estimate.lines(publisher.store, listing=sees_store(actor)):
            if "impact" in line:
                outcome |= impact_data(actor, line["impact"], line["loss"] if at is None else "")
            else:
                yield line
    yield {"outcome": outcome}
