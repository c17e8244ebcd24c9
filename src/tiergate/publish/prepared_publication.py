"""A publication between `prepare` and `commit`, and the conditions it must meet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from tiergate.publish.change_list import Change
    from tiergate.publish.incremental_compiler import Compilation
    from tiergate.publish.loss_check import LossCheck
    from tiergate.publish.publication_plan import PublicationPlan
    from tiergate.publish.published_state import PublishedState
    from tiergate.publish.review_tag import ReviewTags


class PublishConditions(NamedTuple):
    """What a caller requires of a publication.

    `checks_loss`: reject it if customers would lose something else than `accepted_loss` (a loss token) names; an
    accepted loss is always checked. `reviewed`: reject it unless it is what was reviewed.
    """

    checks_loss: bool = False
    accepted_loss: str = ""
    reviewed: ReviewTags | None = None


@dataclass(slots=True)
class PreparedPublication:
    """A compiled plan, and the publication and feed position it is based on.

    `compilation`: `None` if nothing changes. `committed`: the state that `commit` wrote, valid once its transaction has
    ended.
    """

    current: PublishedState
    position: int
    plan: PublicationPlan
    changes: tuple[Change, ...] = ()
    compilation: Compilation | None = None
    loss: LossCheck | None = None
    committed: PublishedState | None = None
