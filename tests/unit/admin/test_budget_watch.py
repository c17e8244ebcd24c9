"""Error budgets: events once for each level, and metrics."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import delete, select

from tests.unit.control.levels_plane import HOUR, JUNE, JUNE_MS, NOW, Plane, serve_levels
from tiergate.admin.budget_watch import BudgetWatch
from tiergate.control.budget_metrics import budget_metrics
from tiergate.model import Status
from tiergate.store import SYSTEM
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


def test_metrics_have_the_budgets_of_features(plane: Plane) -> None:
    """What is left of the window's budget, and how fast it burns; without those of items."""
    watch = BudgetWatch(plane.press.store)
    plane.report("api", Status.PARTIAL, NOW - HOUR // 4, NOW)
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
