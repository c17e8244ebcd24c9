"""Rows about service levels at the control plane: 1,000 features with a year of reports and judged outcomes.

Reports are written into the table directly, two a week of each feature. A plan promises something else of every fifth.
It is the last day of a month, so that its whole month is read. By processor time; on PostgreSQL, that of the control
plane alone.
"""

from __future__ import annotations

import random
import time
from functools import partial
from statistics import median
from typing import TYPE_CHECKING, Final

import msgspec

from benchmarks.change_rows import postgresql
from benchmarks.table import Row
from tests.stores import put_in_force
from tiergate.admin.service_levels import (
    LevelFilter,
    feature_service_level,
    list_service_levels,
    sorted_by_budget,
    standing_data,
)
from tiergate.model import Catalog, parse_instant
from tiergate.status.promises import changed_promises
from tiergate.store import SYSTEM, Store
from tiergate.store.row_inserts import insert_rows
from tiergate.store.service_levels import write_promises
from tiergate.store.tables import OUTCOME_JUDGEMENTS, STATUS_REPORTS
from tiergate.wire.json import encode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tiergate.model import Instant
    from tiergate.store import ReadUnit, WriteUnit

_FEATURES: Final = 1_000
_REPORTS: Final = 100
_HOUR_MS: Final = 3_600_000
_DAY_MS: Final = 24 * _HOUR_MS
_NOW: Final = parse_instant("2027-06-30T23:00:00Z")
_YEAR_AGO: Final = _NOW - 365 * _DAY_MS
_STATUSES: Final = ("degraded", "partial", "down", "maintenance")
_PAGE: Final = 100


def level_rows(directory: Path, rounds: int) -> Iterator[Row]:
    """Measure the list of service levels by what is left of budgets, a past month, and a month of one feature."""
    path = directory / "levels.sqlite"
    for old in directory.glob("levels.sqlite*"):
        old.unlink()
    yield from _rows("SQLite", f"sqlite:///{path}", rounds)
    with postgresql() as url:
        yield from _rows("PostgreSQL", url, rounds)


def _rows(name: str, url: str, rounds: int) -> Iterator[Row]:
    clock = [_YEAR_AGO]
    store = Store.open(url, clock=lambda: clock[0], migrating=True)
    try:
        put_in_force(store, _catalog())
        store.change(_fill, SYSTEM)
        if not store.database.is_sqlite:
            with store.database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                connection.exec_driver_sql("VACUUM ANALYZE")
        clock[0] = _NOW
        count = len(store.read(lambda unit: list_service_levels(unit, LevelFilter())))
        page = _milliseconds(store, partial(_first_page, None), rounds)
        what = f"service levels of {_FEATURES:,} features with a year of reports: the first {_PAGE} of {count:,}"
        yield Row(f"{what} by budget left, {name}", page, 100.0, "", "ms", most=True)
        past = _milliseconds(store, partial(_first_page, _NOW - 150 * _DAY_MS), rounds)
        yield Row(f"… of a month in winter, {name}", past, 100.0, "", "ms", most=True)
        one = _milliseconds(store, _month, rounds)
        yield Row(f"… a month of one feature, {name}", one, 100.0, "", "ms", most=True)
    finally:
        store.close()


def _catalog() -> str:
    features = "".join(
        f"  - {{id: f{number}, type: switch, service_level: {{availability: 99.9, latency_ms: 300}}}}\n"
        for number in range(_FEATURES)
    )
    ids = range(0, _FEATURES, 5)
    given = ", ".join(f"f{number}: true" for number in ids)
    levels = ", ".join(f"f{number}: {{availability: 99.99, latency_ms: 100}}" for number in ids)
    item = f"  - {{id: pro, kind: plan, entitlements: {{{given}}}, service_levels: {{{levels}}}}}\n"
    return f"apiVersion: tiergate/v1\nfeatures:\n{features}items:\n{item}"


def _fill(unit: WriteUnit) -> None:
    write_promises(unit, changed_promises(Catalog({}, {}), unit.published.catalog), 1)
    choose = random.Random(1)
    reports: list[dict[str, object]] = []
    judged: list[dict[str, object]] = []
    for feature in (f"f{number}" for number in range(_FEATURES)):
        for place in range(_REPORTS):
            start = choose.randrange(_YEAR_AGO, _NOW)
            until = start + choose.randrange(60_000, 2 * _HOUR_MS)
            reports.append(_report(f"{feature}-{place}", feature, choose.choice(_STATUSES), start, until))
        for hour in sorted({choose.randrange(_YEAR_AGO, _NOW) // _HOUR_MS * _HOUR_MS for _ in range(_REPORTS // 4)}):
            bad = msgspec.json.encode([(hour, hour + 60_000 * choose.randrange(1, 60), "degraded")]).decode()
            judged.append({"feature": feature, "item": "", "hour": hour, "bad": bad})
    choose.shuffle(reports)  # rows are stored in the order in which they happen to come
    insert_rows(unit.session.connection(), STATUS_REPORTS, reports)
    insert_rows(unit.session.connection(), OUTCOME_JUDGEMENTS, judged)


def _report(id_: str, feature: str, status: str, start: Instant, until: Instant) -> dict[str, object]:
    return {
        "id": id_,
        "etag": 1,
        "feature": feature,
        "status": status,
        "start": start,
        "until": until,
        "reporter_kind": "monitor",
        "reporter": "probe",
        "source_key": "",
        "note": "",
        "public_note": "",
        "audience": None,
        "created_at": start,
        "created_by": "probe",
        "updated_at": start,
        "updated_by": "probe",
    }


def _first_page(at: Instant | None, unit: ReadUnit) -> object:
    standings = sorted_by_budget(list_service_levels(unit, LevelFilter(at=at)))
    return encode([standing_data(standing) for standing in standings[:_PAGE]])


def _month(unit: ReadUnit) -> object:
    return encode(feature_service_level(unit, "f5", "pro", at=_NOW - 40 * _DAY_MS))


def _milliseconds(store: Store, ask: Callable[[ReadUnit], object], rounds: int) -> float:
    taken = []
    for _ in range(rounds):
        begun = time.process_time()
        store.read(ask)
        taken.append(time.process_time() - begun)
    return median(taken) * 1e3
