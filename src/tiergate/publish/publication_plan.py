"""The plan of a publication: a changeset, and what goes with it. Planners make one from a state of the store."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tiergate.publish.catalog_change import SourcePositions
from tiergate.publish.published_state import PublishedState
from tiergate.publish.validation import validate_catalog
from tiergate.store import ReadUnit, WriteUnit

if TYPE_CHECKING:
    from tiergate.model import Problem
    from tiergate.publish.changeset import Changeset


def _write_nothing(unit: WriteUnit, sequence: int) -> None:
    """Write nothing else."""


@dataclass(frozen=True, slots=True)
class PublicationPlan:
    """What to publish, and how to record it.

    `action`: its name in the audit log. `also`: writes more in the same transaction, given the new sequence.
    `positions`, `rules_folder`: where problems are reported. `discarded`: the edits that it discards, as `items/gold`.
    """

    changeset: Changeset
    action: str = "publication.created"
    note: str = ""
    rolled_back_to: int | None = None
    also: Callable[[WriteUnit, int], None] = _write_nothing
    positions: SourcePositions = field(default_factory=SourcePositions)
    rules_folder: str = "rules"
    discarded: tuple[str, ...] = ()

    def find_problems(self, unit: ReadUnit, current: PublishedState) -> list[Problem]:
        """Return what prevents the publication: the changeset's own problems and those of validation, sorted."""
        own = self.changeset.problems
        known = {(it.file, it.line, it.column, it.code) for it in own}
        problems = validate_catalog(unit, current.catalog, self.changeset.catalog, self.positions)
        return sorted({*own, *(it for it in problems if (it.file, it.line, it.column, it.code) not in known)})


Planner = Callable[[ReadUnit, PublishedState], PublicationPlan]
"""Makes a plan from a state of the store and what is published there. Called again after a lost race."""


class StalePlanError(Exception):
    """The store changed after the plan was made; make it again."""
