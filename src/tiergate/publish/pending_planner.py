"""Plan to publish pending edits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tiergate.publish.changeset import ALL_EDITS, EditSelection, build_changeset
from tiergate.publish.publication_plan import PublicationPlan
from tiergate.publish.published_state import PendingEdits, PublishedState, find_pending_edits
from tiergate.publish.rollouts import read_item_history
from tiergate.store import WriteUnit
from tiergate.store.policy_files import policy_files
from tiergate.store.working_catalog import read_working

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tiergate.publish.publication_plan import Planner
    from tiergate.publish.rollouts import RolloutTarget
    from tiergate.store import ReadUnit


def read_pending_edits(unit: ReadUnit, current: PublishedState) -> PendingEdits:
    """Return all that is not published yet. A unit that writes reads what it has written itself."""
    session = unit.session
    working = read_working(session) if isinstance(unit, WriteUnit) else unit.store.working.read(session)
    return find_pending_edits(current, working, policy_files(session), unit.now)


def plan_pending_edits(
    selection: EditSelection = ALL_EDITS,
    *,
    target: RolloutTarget | None = None,
    targets: Mapping[str, RolloutTarget] | None = None,
    note: str = "",
) -> Planner:
    """Plan to publish selected edits. `target`: who gets new versions; `targets`: the same for single items, by id."""

    def plan(unit: ReadUnit, current: PublishedState) -> PublicationPlan:
        pending = read_pending_edits(unit, current)
        selected = pending.items.keys() if selection.items is None else selection.items
        ids = [id_ for id_ in selected if id_ in pending.items or id_ in pending.idle]
        by_item = {} if target is None else dict.fromkeys(ids, target)
        histories = read_item_history(unit, ids)
        changeset = build_changeset(current, pending, selection, histories, by_item | dict(targets or {}), unit.now)
        return PublicationPlan(changeset, note=note)

    return plan
