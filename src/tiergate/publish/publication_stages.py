"""The stages of a publication: the conditions it must meet, the prepared publication, its result or its preview."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from tiergate.model import Problem
    from tiergate.publish.change_list import Change
    from tiergate.publish.incremental_compiler import Compilation
    from tiergate.publish.introduced_conflicts import ItemConflict
    from tiergate.publish.loss_check import LossCheck
    from tiergate.publish.loss_estimate import ImpactLine, LossEstimate
    from tiergate.publish.publication_plan import PublicationPlan
    from tiergate.publish.published_state import PublishedState
    from tiergate.publish.review_tag import ReviewTags


class PublishConditions(NamedTuple):
    """What a caller requires of a publication.

    `checks_loss`: reject it if customers would lose something other than `accepted_loss` (a loss token) names; an
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


class PublishResult(NamedTuple):
    """The active publication, and what changed with it: nothing if it was active before.

    `impact`: the tally of what changes for customers, if it was checked. `discarded`: the edits that were discarded.
    `conflicts`: items that customers have together and can no longer get together.
    """

    sequence: int
    revision: str
    changes: tuple[Change, ...]
    impact: ImpactLine | None = None
    discarded: tuple[str, ...] = ()
    conflicts: tuple[ItemConflict, ...] = ()

    @property
    def is_new(self) -> bool:
        """Return whether something was published."""
        return bool(self.changes)


class PublishPreview(NamedTuple):
    """The active publication, what a plan would change, and the problems that prevent it.

    `revision`: of the new bundle; empty if there are problems. `tag`: the review tag. `estimate`: finds what changes
    for customers; `None` if there are problems, nothing changes, or nothing is published yet. `discarded`, `conflicts`:
    as in `PublishResult`.
    """

    sequence: int
    revision: str
    changes: tuple[Change, ...]
    problems: tuple[Problem, ...]
    tag: str
    estimate: LossEstimate | None = None
    discarded: tuple[str, ...] = ()
    conflicts: tuple[ItemConflict, ...] = ()
