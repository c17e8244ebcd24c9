"""Watch error budgets: an event once for each promise, window and level, and the last figures for metrics.

A level is told when it is reached, also by a report that is edited afterwards. An edit that lowers what is spent takes
nothing back, and the level is not told again in this window. INVARIANT (told once): who tells a level locks the row of
the promise, computes its figures anew, and writes the highest level in the same transaction.

Everything is measured until the last minute of which all outcomes had time to come: a minute that is not over may look
worse than it is. So a window is looked at for some minutes after its end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tiergate.admin.outcome_status import settled_until
from tiergate.admin.service_level_figures import compute, wanted_promise
from tiergate.admin.service_levels import LevelFilter, percent_of, promises_at
from tiergate.model import MILLIONTHS, format_instant
from tiergate.store import SYSTEM
from tiergate.store.outbox import EventType
from tiergate.store.service_levels import ToldBudget, lock_told, read_promises, read_told, write_told

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tiergate.admin.service_level_figures import Standing
    from tiergate.status.promises import PromiseKey
    from tiergate.store import ReadUnit, Store, WriteUnit

LEVELS: Final = (50, 80, 100)
"""Percentages of the error budget of a window at which an event is sent."""

JUST_ENDED_MS: Final = 300_000
"""For how long a window is looked at after its end, in milliseconds: several looks, so that one may fail."""


class BudgetWatch:
    """Watches the budgets of one store."""

    def __init__(self, store: Store) -> None:
        """Nothing was looked at yet."""
        self._store = store
        self.standings: Sequence[Standing] = ()
        """How all promises are kept, as of the last tick."""

    def tick(self) -> int:
        """Look at all budgets, and send the events that are due; return how many.

        Raises:
            StoreError: the database cannot be used; what was not told yet is told later.
        """
        self.standings, ended, told = self._store.read(_look)
        due = [standing for standing in (*ended, *self.standings) if _due_levels(standing, told)]
        return self._store.change(lambda unit: _tell(unit, due), SYSTEM) if due else 0


def _look(unit: ReadUnit) -> tuple[list[Standing], list[Standing], dict[PromiseKey, ToldBudget]]:
    """Return how promises are kept in the windows of now and in those that have just ended, and what was told."""
    now = settled_until(unit.now)
    current = compute(unit, promises_at(unit, LevelFilter(), now), of_all=True, now=now)
    earlier = promises_at(unit, LevelFilter(), now - JUST_ENDED_MS)
    ended = compute(unit, [it for it in earlier if it.window.until <= now], now=now)
    return current, ended, read_told(unit)


def _tell(unit: WriteUnit, due: Sequence[Standing]) -> int:
    told = lock_told(unit, {standing.key for standing in due})
    promises = read_promises(unit.session.connection(), {standing.key.feature for standing in due})
    now_told: dict[PromiseKey, ToldBudget] = {}
    count = 0
    wanted = [wanted_promise(promises, it.key, it.window) for it in due]
    for standing in compute(unit, wanted, now=settled_until(unit.now)):  # of a promise, the window that ended is first
        levels = _due_levels(standing, told)
        for percent in levels:
            unit.emit(EventType.BUDGET_SPENT, _event_data(standing, percent))
        if levels:
            now_told[standing.key] = ToldBudget(standing.window.start, levels[-1])
            count += len(levels)
    write_told(unit, now_told)
    return count


def _due_levels(standing: Standing, told: Mapping[PromiseKey, ToldBudget]) -> list[int]:
    """Return the levels that are reached and were not told in this window, nor in a later one, the lowest first."""
    budget, last = standing.budget, told.get(standing.key)
    if budget is None or (last is not None and last.start > standing.window.start):
        return []
    highest = last.percent if last is not None and last.start == standing.window.start else 0
    return [percent for percent in LEVELS if percent > highest and budget.has_spent(percent)]


def _event_data(standing: Standing, percent: int) -> dict[str, object]:
    data: dict[str, object] = {"feature": standing.key.feature}
    if standing.key.item:
        data["item"] = standing.key.item
    data |= {
        "percent": percent,
        "window": {"from": format_instant(standing.window.start), "until": format_instant(standing.window.until)},
    }
    if standing.level is not None:
        data["availability"] = percent_of(standing.level.availability)
    if standing.budget is not None:
        data |= {
            "allowed_ms": standing.budget.allowed // MILLIONTHS,
            "spent_ms": standing.budget.spent,
            "left_ms": standing.budget.left,
        }
    return data
