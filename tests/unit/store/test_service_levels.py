"""Promises, judged outcomes and told budgets, on either database."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import insert

from tiergate.model import FOREVER, Interval, ServiceLevel, StatusAudience, parse_instant
from tiergate.status.courses import COLUMN_OF
from tiergate.status.figures import Target
from tiergate.status.outcomes import MINUTE_MS, Outcomes
from tiergate.status.promises import PromiseKey
from tiergate.store import SYSTEM
from tiergate.store.outcome_judgements import HOUR_MS, drop_judgements, judge_hours
from tiergate.store.service_levels import ToldBudget, lock_told, read_promises, read_told, write_promises, write_told
from tiergate.store.status_courses import read_status_history
from tiergate.store.tables import STATUS_REPORTS, STATUS_SILENCES

if TYPE_CHECKING:
    from tiergate.store import Store, WriteUnit
    from tiergate.store.status_courses import StatusHistory

HOUR = parse_instant("2023-11-14T14:00:00Z")
DAY = Interval(HOUR - HOUR % 86_400_000, FOREVER)
API, OF_PRO = PromiseKey("api"), PromiseKey("api", "pro")


def history(store: Store, features: list[str] | None = None) -> StatusHistory:
    """What is known of features since the beginning of the day."""
    return store.read(lambda unit: read_status_history(unit.session.connection(), DAY, features))


def test_promises_are_what_was_written_last(store: Store) -> None:
    """Each from its instant on; twice in the same millisecond, the later one."""
    first, second = ServiceLevel(availability=1, latency_ms=5), ServiceLevel(availability=2)
    store.change(lambda unit: write_promises(unit, {API: first, OF_PRO: second}, 1), SYSTEM)

    def again(unit: WriteUnit) -> int:
        write_promises(unit, {API: first}, 2)
        write_promises(unit, {API: None, OF_PRO: first}, 3)
        return unit.now

    now = store.change(again, SYSTEM)
    found = store.read(lambda unit: read_promises(unit.session.connection()))
    assert list(found) == [API, OF_PRO]
    assert found[API][-1] == Target(Interval(now), None)
    assert found[OF_PRO][-1] == Target(Interval(now), first)
    assert store.read(lambda unit: read_promises(unit.session.connection(), ["other"])) == {}


def test_hours_are_judged_by_each_promise(store: Store) -> None:
    """Again when outcomes come late; without a row if nothing is bad."""
    strict = ServiceLevel(availability=1, latency_ms=5)

    def promise(unit: WriteUnit) -> int:
        write_promises(unit, {API: ServiceLevel(availability=1), OF_PRO: strict}, 1)
        return unit.now

    now = store.change(promise, SYSTEM)
    hour = now - now % HOUR_MS + HOUR_MS
    minutes = {hour: Outcomes(10, 0, {5: 10}), hour + MINUTE_MS: Outcomes(10, 10)}
    store.change(lambda unit: judge_hours(unit.session.connection(), {("api", hour): minutes}), SYSTEM)
    down, degraded = COLUMN_OF["down"], COLUMN_OF["degraded"]
    judged = {
        tuple(API): [(hour + MINUTE_MS, hour + 2 * MINUTE_MS, down)],
        tuple(OF_PRO): [(hour, hour + MINUTE_MS, degraded), (hour + MINUTE_MS, hour + 2 * MINUTE_MS, down)],
    }
    assert history(store).judged == history(store, ["api"]).judged == judged
    late = minutes | {hour + MINUTE_MS: Outcomes(1_000, 10)}
    store.change(lambda unit: judge_hours(unit.session.connection(), {("api", hour): late}), SYSTEM)
    assert history(store).judged == {tuple(OF_PRO): judged[tuple(OF_PRO)][:1]}
    assert store.change(lambda unit: drop_judgements(unit, hour + 1), SYSTEM) == 1
    assert history(store).judged == {}


def test_reports_of_services_are_left_out(store: Store) -> None:
    """And those with an audience are apart; silences are read with them."""
    columns = {"etag": 1, "reporter": "x", "created_at": 1, "created_by": "x", "updated_at": 1, "updated_by": "x"}
    rows = [
        ("a", "down", "person", None, HOUR),
        ("b", "partial", "monitor", '{"items":["pro"]}', HOUR),
        ("c", "partial", "person", None, FOREVER),
        ("d", "down", "services", None, FOREVER),
        ("e", "down", "person", None, DAY.start),
    ]
    reports = [
        {"id": id_, "feature": "api", "status": status, "start": DAY.start - 5, "until": until}
        | {"reporter_kind": kind, "audience": audience, **columns}
        for id_, status, kind, audience, until in rows
    ]
    silence = {"monitor": "x", "feature": "api", "start": DAY.start, "until": FOREVER}

    def write(unit: WriteUnit) -> None:
        unit.session.connection().execute(insert(STATUS_REPORTS), reports)
        unit.session.connection().execute(insert(STATUS_SILENCES), [silence])

    store.change(write, SYSTEM)
    found = history(store, ["api", "other"])
    start = DAY.start - 5
    assert found.reports == {"api": [(start, HOUR, COLUMN_OF["down"]), (start, FOREVER, COLUMN_OF["partial"])]}
    assert found.partial == {"api": [((start, HOUR, COLUMN_OF["partial"]), StatusAudience(items=("pro",)))]}
    assert found.silences == {"api": [Interval(DAY.start, FOREVER)]}
    assert history(store).reports == found.reports
    assert history(store, ["other"]).reports == {}


def test_told_budgets_are_locked_and_replaced(store: Store) -> None:
    """A promise that was never told has no level."""

    def tell(unit: WriteUnit) -> dict[PromiseKey, ToldBudget]:
        before = lock_told(unit, [OF_PRO, API])
        write_told(unit, {API: ToldBudget(7, 50 + len(before))})
        return before

    assert store.change(tell, SYSTEM) == {}
    assert store.change(tell, SYSTEM)[API] == ToldBudget(7, 50)
    assert store.read(read_told)[API] == ToldBudget(7, 52)
