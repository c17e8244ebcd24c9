"""Error budgets: events once for each level, and metrics."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import delete, select

from tests.unit.control.levels_plane import HOUR, JUNE, JUNE_MS, NOW, Plane, serve_levels
from tiergate.admin.budget_watch import JUST_ENDED_MS, BudgetWatch
from tiergate.admin.outcome_status import SETTLED_MS
from tiergate.control.budget_metrics import budget_metrics
from tiergate.model import Status
from tiergate.status.outcome_minutes import MinuteSum
from tiergate.status.outcomes import MINUTE_MS
from tiergate.store import SYSTEM
from tiergate.store.outcomes import add_batch
from tiergate.store.tables import EVENTS, STATUS_REPORTS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

API = JUNE_MS // 1000
"""What 99.9 % of June leaves, in milliseconds; 99.99 % leaves a tenth."""


@pytest.fixture
def plane(tmp_path: Path, sqlite_template: Path) -> Iterator[Plane]:
    """A store on 15 June at noon."""
    with serve_levels(sqlite_template, tmp_path) as served:
        served.forget()
        yield served


def told(plane: Plane) -> list[Any]:
    """The data of all events of budgets, in order."""
    query = select(EVENTS.c.payload).where(EVENTS.c.type == "service_level.budget_spent").order_by(EVENTS.c.position)
    rows = plane.press.store.read(lambda unit: unit.session.connection().execute(query).scalars().all())
    return [json.loads(row)["data"] for row in rows]


def seen(plane: Plane) -> list[tuple[str, str, int]]:
    """The features, items and levels of these events."""
    return [(it["feature"], it.get("item", ""), it["percent"]) for it in told(plane)]


def test_each_level_is_told_once_in_a_window(plane: Plane) -> None:
    """Also if an edit lowers what is spent and it rises again; the next window begins anew."""
    watch = BudgetWatch(plane.press.store)
    assert watch.tick() == 0
    plane.report("api", Status.DOWN, JUNE, JUNE + API * 6 // 100)
    assert watch.tick() == 1
    assert told(plane) == [
        {
            "feature": "api",
            "item": "premium",
            "percent": 50,
            "window": {"from": "2027-06-01T00:00:00.000Z", "until": "2027-07-01T00:00:00.000Z"},
            "availability": 99.99,
            "allowed_ms": API // 10,
            "spent_ms": API * 6 // 100,
            "left_ms": API // 10 - API * 6 // 100,
        }
    ]
    plane.report("api", Status.DOWN, JUNE + HOUR, JUNE + HOUR + API * 44 // 100)
    assert watch.tick() == 3
    assert seen(plane)[1:] == [("api", "", 50), ("api", "premium", 80), ("api", "premium", 100)]
    plane.press.store.change(lambda unit: unit.session.connection().execute(delete(STATUS_REPORTS)), SYSTEM)
    assert watch.tick() == 0
    plane.report("api", Status.DOWN, JUNE, JUNE + API * 82 // 100)
    assert BudgetWatch(plane.press.store).tick() == 1
    assert seen(plane)[4:] == [("api", "", 80)]
    plane.clock[0] = JUNE + JUNE_MS + HOUR
    plane.report("api", Status.DOWN, JUNE + JUNE_MS, JUNE + JUNE_MS + API * 6 // 100)
    assert watch.tick() == 1
    assert (told(plane)[-1]["percent"], told(plane)[-1]["window"]["from"]) == (50, "2027-07-01T00:00:00.000Z")


def test_a_minute_counts_when_its_outcomes_had_time_to_come(plane: Plane) -> None:
    """The first ones of a minute may be the only bad ones of many."""
    watch, last = BudgetWatch(plane.press.store), NOW + 2 * MINUTE_MS
    bad = [MinuteSum("api", minute, 100, 100) for minute in (NOW, NOW + MINUTE_MS, last)]
    plane.press.store.change(lambda unit: add_batch(unit, "one", 1, bad), SYSTEM)
    plane.clock[0] = last + MINUTE_MS
    assert watch.tick() == 0
    plane.press.store.change(lambda unit: add_batch(unit, "two", 1, [MinuteSum("api", last, 10**6)]), SYSTEM)
    plane.clock[0] = last + MINUTE_MS + SETTLED_MS
    assert watch.tick() == 0
    plane.press.store.change(lambda unit: add_batch(unit, "two", 2, [MinuteSum("api", last, 10**9, 10**9)]), SYSTEM)
    assert watch.tick() == 1
    assert seen(plane) == [("api", "premium", 50)]


def test_what_is_spent_at_the_end_of_a_window_is_told_after_it(plane: Plane) -> None:
    """Once, also if the next window has told something meanwhile, or nobody looked in the first minutes."""
    end = JUNE + JUNE_MS
    plane.report("api", Status.DOWN, end - 150_000, end)
    plane.clock[0] = end + SETTLED_MS - 1
    assert BudgetWatch(plane.press.store).tick() == 0
    plane.clock[0] = end + JUST_ENDED_MS
    assert BudgetWatch(plane.press.store).tick() == 1
    assert (told(plane)[0]["window"]["from"], told(plane)[0]["spent_ms"]) == ("2027-06-01T00:00:00.000Z", 150_000)
    plane.report("api", Status.DOWN, end, end + 140_000)
    assert BudgetWatch(plane.press.store).tick() == 1
    assert told(plane)[1]["window"]["from"] == "2027-07-01T00:00:00.000Z"
    plane.report("api", Status.DOWN, end - 150_001, end)
    assert BudgetWatch(plane.press.store).tick() == 0


def test_metrics_have_the_budgets_of_features(plane: Plane) -> None:
    """What is left of the window's budget, and how fast it burns; without those of items."""
    watch = BudgetWatch(plane.press.store)
    plane.report("api", Status.PARTIAL, NOW - HOUR // 4, NOW)
    plane.clock[0] = NOW + SETTLED_MS
    watch.tick()
    left, rates = budget_metrics(watch.standings)
    assert {sample.labels["feature"]: sample.value for sample in left.samples} == {
        "api": pytest.approx(1 - HOUR / 4 / API),
        "chat": 1.0,
    }
    api = {it.labels["over"]: it.value for it in rates.samples if it.labels["feature"] == "api"}
    assert api == {
        "window": pytest.approx(HOUR / 4 * 1000 / (NOW - JUNE), rel=1e-4),
        "5m": 1000.0,
        "1h": 250.0,
        "6h": 41.666667,
    }
