"""The results of publishing and of previewing a publication."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from tiergate.model import Problem
    from tiergate.publish.change_list import Change
    from tiergate.publish.introduced_conflicts import ItemConflict
    from tiergate.publish.loss_estimate import ImpactLine, LossEstimate


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
