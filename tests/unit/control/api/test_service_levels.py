"""Service levels over the API: what was promised when, how it was kept, lists, and exports."""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import insert, update

from tests.unit.control.catalog_server import problem
from tests.unit.control.levels_plane import HOUR, JUNE, JUNE_MS, NOW, Plane, serve_levels
from tiergate.admin import service_level_exports
from tiergate.model import Status, parse_instant
from tiergate.status.outcome_minutes import MinuteSum
from tiergate.status.outcomes import MINUTE_MS, Outcomes
from tiergate.store import SYSTEM
from tiergate.store.outcome_judgements import judge_hours
from tiergate.store.outcomes import add_batch
from tiergate.store.tables import STATUS_REPORTS, STATUS_SILENCES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Iterator[Plane]:
    """The API on SQLite."""
    with serve_levels(sqlite_template, tmp_path_factory.mktemp("levels")) as plane:
        yield plane


@pytest.fixture
def plane(served: Plane) -> Plane:
    """On 15 June at noon, without any report."""
    served.forget()
    return served


def test_a_month_is_shown_to_the_millisecond(plane: Plane) -> None:
    """Durations, availability, the budget of the whole window, and how fast it burns."""
    plane.report("api", Status.DOWN, JUNE + HOUR, JUNE + HOUR + 600_001)
    plane.report("api", Status.DEGRADED, JUNE + 2 * HOUR, JUNE + 3 * HOUR)
    plane.report("api", Status.PARTIAL, NOW - HOUR // 2, NOW - HOUR // 4)
    plane.report("api", Status.MAINTENANCE, JUNE - HOUR, JUNE + HOUR)
    plane.report("api", Status.MAINTENANCE, NOW + HOUR, NOW + 3 * HOUR)
    shown = plane.get("/v1/features/api/service-level")
    spent, measured = 600_001 + HOUR // 4, NOW - JUNE - HOUR
    allowed = (JUNE_MS - 3 * HOUR) // 1000
    assert shown["durations_ms"] == {
        "operational": measured - spent - HOUR,
        "degraded": HOUR,
        "partial": HOUR // 4,
        "down": 600_001,
        "maintenance": HOUR,
        "unknown": 0,
    }
    assert (shown["from"], shown["until"]) == ("2027-06-01T00:00:00.000Z", "2027-07-01T00:00:00.000Z")
    assert shown["service_level"] == {"availability": 99.9, "latency_ms": 300}
    assert shown["availability"] == (measured - spent) * 1_000_000 // measured / 10_000
    assert shown["kept"] is False
    budget = {"allowed_ms": allowed, "spent_ms": spent, "left_ms": allowed - spent}
    assert shown["budget"] == budget | {"spent_share": round(spent / allowed, 6)}
    rates = {"window": spent * 1000 / measured, "5m": 0.0, "1h": 250.0, "6h": 250 / 6}
    assert shown["burn_rates"] == {name: round(rate, 6) for name, rate in rates.items()}


def test_an_edit_after_the_fact_counts_at_once(plane: Plane) -> None:
    """A shorter outage, and one in a window that is over."""
    id_ = plane.report("api", Status.DOWN, JUNE - 2 * HOUR, JUNE + HOUR)
    assert plane.get("/v1/features/api/service-level")["budget"]["spent_ms"] == HOUR
    edit = update(STATUS_REPORTS).where(STATUS_REPORTS.c.id == id_).values(until=JUNE - HOUR)
    plane.press.store.change(lambda unit: unit.session.connection().execute(edit), SYSTEM)
    assert plane.get("/v1/features/api/service-level")["budget"]["spent_ms"] == 0
    may = plane.get("/v1/features/api/service-level", at="2027-05-31T12:00:00Z")
    assert (may["from"], may["budget"]["spent_ms"], may["measured_until"]) == (
        "2027-05-01T00:00:00.000Z",
        HOUR,
        may["until"],
    )
    assert set(may["burn_rates"]) == {"window"}


def test_an_item_is_judged_by_what_it_promises(plane: Plane) -> None:
    """Reports for holders of other items do not concern it; what it does not promise is as for everybody."""
    plane.report("api", Status.PARTIAL, JUNE, JUNE + HOUR, '{"items":["basic"]}')
    plane.report("api", Status.PARTIAL, JUNE + HOUR, JUNE + 3 * HOUR, '{"items":["premium"]}')
    plane.report("api", Status.PARTIAL, JUNE + 3 * HOUR, JUNE + 7 * HOUR, '{"tags":["eu"],"items":["basic"]}')
    premium = plane.get("/v1/features/api/service-level", item="premium")
    assert (premium["item"], premium["budget"]["spent_ms"]) == ("premium", 6 * HOUR)
    assert premium["service_level"] == {"availability": 99.99, "latency_ms": 100}
    assert premium["budget"]["allowed_ms"] == JUNE_MS // 10_000
    basic = plane.get("/v1/features/api/service-level", item="basic")
    assert (basic["budget"]["spent_ms"], basic["service_level"]["availability"]) == (5 * HOUR, 99.9)
    assert plane.get("/v1/features/api/service-level")["budget"]["spent_ms"] == 7 * HOUR


def test_outcomes_count_by_the_promise_of_each(plane: Plane) -> None:
    """A minute of slow requests is degraded for those who are promised more; silence of a monitor is not measured."""
    minutes = {JUNE + MINUTE_MS * place: Outcomes(100, 0, {100: 60, 300: 0}) for place in range(3)}
    minutes[JUNE + 3 * MINUTE_MS] = Outcomes(100, 80, {100: 5, 300: 0})

    def judge(unit: Any) -> None:  # noqa: ANN401 - a unit
        connection = unit.session.connection()
        judge_hours(connection, {("api", JUNE): minutes | {JUNE + 9 * MINUTE_MS: Outcomes(9, 9)}})
        judge_hours(connection, {("api", JUNE): minutes})
        add_batch(unit, "sidecar", 1, [MinuteSum("plain", JUNE, 9, 9)])
        silence = {"monitor": "probe", "feature": "api", "start": JUNE + 2 * MINUTE_MS, "until": JUNE + HOUR}
        connection.execute(insert(STATUS_SILENCES), [silence])

    plane.press.store.change(judge, SYSTEM)
    general = plane.get("/v1/features/api/service-level")["durations_ms"]
    premium = plane.get("/v1/features/api/service-level", item="premium")["durations_ms"]
    assert (general["degraded"], general["down"], general["unknown"]) == (0, MINUTE_MS, HOUR - 3 * MINUTE_MS)
    assert (premium["degraded"], premium["down"], premium["unknown"]) == (
        3 * MINUTE_MS,
        MINUTE_MS,
        HOUR - 4 * MINUTE_MS,
    )
    assert plane.get("/v1/features/plain/service-level", item="premium")["durations_ms"]["down"] == MINUTE_MS
    plane.press.store.change(
        lambda unit: judge_hours(unit.session.connection(), {(it, JUNE): {} for it in ("api", "plain")}), SYSTEM
    )
    assert plane.get("/v1/features/api/service-level", item="premium")["durations_ms"]["degraded"] == 0


def test_each_instant_is_judged_by_what_was_promised_then(plane: Plane) -> None:
    """A publication changes the promise from then on; a bundle without latencies stays what it is."""
    plane.report("chat", Status.DEGRADED, JUNE - 2 * HOUR, JUNE + 2 * HOUR)
    before = plane.admin.get("/v1/publications").json()["items"][0]["revision"]
    plane.clock[0] = JUNE
    edit = {"service_level": {"availability": 90, "window": "week", "spent_by": None}}
    etag = plane.admin.patch("/v1/features/chat", json=edit).headers["etag"]
    answer = plane.admin.post("/v1/publish", json={"features": ["chat"]})
    (change,) = answer.json()["changes"]
    assert (change["kind"], change["id"], answer.json()["revision"]) == ("feature", "chat", before)
    assert {it["path"] for it in change["details"]} == {"service_level/availability", "service_level/spent_by"}
    plane.clock[0] = NOW
    week = plane.get("/v1/features/chat/service-level", at="2027-06-01T12:00:00Z")
    assert (week["from"], week["until"]) == ("2027-05-31T00:00:00.000Z", "2027-06-07T00:00:00.000Z")
    allowed = (JUNE - parse_instant(week["from"])) // 100 + (parse_instant(week["until"]) - JUNE) // 10
    assert week["budget"] == {
        "allowed_ms": allowed,
        "spent_ms": 2 * HOUR,
        "left_ms": allowed - 2 * HOUR,
        "spent_share": round(2 * HOUR / allowed, 6),
    }
    plane.clock[0] = NOW + 1
    cleared = plane.admin.patch("/v1/features/chat", json={"service_level": None}, headers={"if-match": etag})
    assert "service_level" not in cleared.json()
    assert plane.admin.post("/v1/publish", json={"features": ["chat"]}).status_code == 201
    plane.clock[0] = NOW + HOUR
    assert "budget" not in plane.get("/v1/features/chat/service-level", from_="2027-06-15T12:30:00Z")
    assert [it["feature"] for it in plane.get("/v1/service-levels")["items"]] == ["api", "api", "plain"]
    restore = {"service_level": {"availability": 99, "window": "week", "spent_by": "degraded"}}
    plane.admin.patch("/v1/features/chat", json=restore)
    plane.admin.post("/v1/publish", json={"features": ["chat"]})


def test_an_item_s_promise_is_edited_and_cleared(plane: Plane) -> None:
    """By a merge patch; of a feature that there is, with an availability; not while an item promises it."""
    path = "/v1/items/basic"
    shown = plane.admin.patch(path, json={"service_levels": {"plain": {"availability": 99.5}}}).json()
    assert shown["service_levels"] == {"plain": {"availability": 99.5}}
    wrong = plane.admin.patch(
        path, json={"service_levels": {"api": {"minute": {"down": 101}}, "nope": {"latency_ms": 1}}}
    )
    assert problem(wrong) == (
        422,
        "invalid-body",
        [("/service_levels/api/minute/down", "bad-number"), ("/service_levels/nope", "unknown-feature")],
    )
    bare = plane.admin.patch(path, json={"service_levels": {"plain": {"availability": None, "latency_ms": 5}}})
    assert problem(bare)[2] == [("/service_levels/plain", "missing-key")]
    assert "service_levels" not in plane.admin.patch(path, json={"service_levels": {"plain": None}}).json()
    plane.admin.post("/v1/features/plain/archive")
    assert problem(plane.admin.delete("/v1/features/plain"))[0] == 409
    plane.admin.post("/v1/features/plain/reactivate")


def test_the_list_is_filtered_sorted_and_paged(plane: Plane) -> None:
    """The smallest part of a budget that is left comes first."""
    plane.report("plain", Status.DOWN, JUNE, JUNE + HOUR)
    plane.report("api", Status.DOWN, JUNE, JUNE + MINUTE_MS)

    def ids(**query: str) -> list[tuple[str, str]]:
        return [(it["feature"], it.get("item", "")) for it in plane.get("/v1/service-levels", **query)["items"]]

    assert ids(order="budget_left") == [("api", "premium"), ("plain", "premium"), ("api", ""), ("chat", "")]
    assert ids(promised_by="item") == [("api", "premium"), ("plain", "premium")]
    assert ids(promised_by="feature", feature="api,plain") == ids(tag="core", promised_by="feature") == [("api", "")]
    assert ids(item="premium", kept="true") == [("api", "premium"), ("plain", "premium")]
    assert ids(at="2027-03-01T00:00:00Z") == []
    first = plane.get("/v1/service-levels", limit="2", order="budget_left")
    second = plane.get("/v1/service-levels", limit="2", order="budget_left", cursor=first["next"])
    assert [it["feature"] for it in (*first["items"], *second["items"])] == ["api", "plain", "api", "chat"]
    assert second["next"] is None


def test_windows_are_exported(plane: Plane, monkeypatch: pytest.MonkeyPatch) -> None:
    """As lines and as a table, from a cursor on too; pages are not seen."""
    plane.report("api", Status.DOWN, JUNE - HOUR, JUNE + 600_000)
    query = {"feature": "api", "promised_by": "feature", "from": "2027-05-02T00:00:00Z"}
    lines = [json.loads(line) for line in plane.viewer.get("/v1/export/service-levels", params=query).text.splitlines()]
    assert [(it["starts_at"][:7], it["down_ms"], it["closed"], it["kept"]) for it in lines] == [
        ("2027-05", HOUR, True, False),
        ("2027-06", 600_000, False, True),
    ]
    behind = query | {"cursor": lines[0]["cursor"]}
    text = plane.viewer.get("/v1/export/service-levels/csv", params=behind).text
    (row,) = csv.DictReader(io.StringIO(text))
    assert (row["feature"], row["item"], row["promised_availability"], row["spent_ms"], row["kept"]) == (
        "api",
        "",
        "99.9",
        "600000",
        "true",
    )
    assert row["cursor"] == lines[1]["cursor"]
    assert [it["feature"] for it in _lines(plane, kept="false")] == ["api"] * 3
    every = _lines(plane)
    monkeypatch.setattr(service_level_exports, "PAGE", 1)
    assert _lines(plane) == every


def _lines(plane: Plane, **query: str) -> list[dict[str, Any]]:
    text = plane.viewer.get("/v1/export/service-levels", params=query).text
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.parametrize(
    ("path", "query", "expected"),
    [
        ("/v1/features/apo/service-level", {}, 404),
        ("/v1/features/api/service-level", {"item": "premiun"}, 404),
        ("/v1/features/api/service-level", {"at": "2027-06-15T12:00:00.001Z"}, 400),
        ("/v1/features/api/service-level", {"from": "2027-06-16T00:00:00Z", "until": "2027-06-17T00:00:00Z"}, 400),
        ("/v1/features/api/service-level", {"from": "2027-06-02T00:00:00Z", "until": "2027-06-02T00:00:00Z"}, 400),
        ("/v1/features/api/service-level", {"at": "2027-06-01T00:00:00Z", "until": "2027-06-02T00:00:00Z"}, 400),
        ("/v1/service-levels", {"at": "2027-06-16T00:00:00Z"}, 400),
        ("/v1/service-levels", {"order": "best"}, 400),
        ("/v1/export/service-levels", {"cursor": "x"}, 400),
        ("/v1/export/service-levels", {"from": "2027-06-16T00:00:00Z"}, 400),
    ],
)
def test_what_cannot_be_answered_is_refused(plane: Plane, path: str, query: dict[str, str], expected: int) -> None:
    """Unknown ids, times to come, empty intervals."""
    assert plane.viewer.get(path, params=query).status_code == expected
