"""Usage as Parquet files in an object store, as another library reads them: a folder, and a server that speaks S3."""

from __future__ import annotations

import sys
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import duckdb
import httpx
import msgspec
import pytest
from moto.server import ThreadedMotoServer
from obstore.store import from_url

from tests.unit.control.subjects import made
from tests.unit.control.usage_plane import DECEMBER, NOW, usage_plane
from tiergate.control.usage_export import exporter as exporters
from tiergate.control.usage_export.exporter import Progress, UsageExporter
from tiergate.errors import ParameterError, SettingsError
from tiergate.model import parse_instant
from tiergate.store.usage_series import DAY_MS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.unit.control.usage_plane import Plane

YEAR = 365 * DAY_MS


@pytest.fixture
def plane(sqlite_url: str, tmp_path: Path) -> Iterator[Plane]:
    """A ledger that exports to a folder; `acme` used calls and exports on 14 and 15 January."""
    yield from opened_plane(sqlite_url, tmp_path)


@pytest.fixture
def any_plane(store_url: str, tmp_path: Path) -> Iterator[Plane]:
    """The same on either database."""
    yield from opened_plane(store_url, tmp_path)


def opened_plane(url: str, folder: Path) -> Iterator[Plane]:
    """The ledger on a database."""
    with usage_plane(url, export_to=f"file://{folder}/usage") as opened:
        opened.report(amount=130, at="2027-01-14T23:30:00Z")
        opened.report(amount=5, at="2027-01-15T00:10:00Z")
        opened.report(feature="exports", amount=0.25)
        grant = {"feature": "calls", "amount": 50, "reason": "r", "id": "g", "until": "2027-01-20T12:00:00Z"}
        made(opened.admin.as_("admin").post("/v1/customers/acme/grants", json=grant))
        yield opened


def read(folder: Path, dataset: str, columns: str = "*") -> list[tuple[Any, ...]]:
    """The rows of a dataset, by day, as DuckDB reads them."""
    found = duckdb.sql(
        f"SELECT date, {columns} FROM read_parquet('{folder}/usage/{dataset}/*/*.parquet', hive_partitioning = true)"
        " ORDER BY ALL"
    )
    assert found is not None
    return found.fetchall()


def files(folder: Path) -> dict[str, bytes]:
    """The content of every Parquet file by its name."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.parquet")}


def progress(folder: Path) -> Progress:
    """How far the export is."""
    return msgspec.json.decode((folder / "usage" / "progress.json").read_bytes(), type=Progress)


def days(first: str, last: str) -> list[str]:
    """All days from one to another."""
    begin, end = parse_instant(first), parse_instant(last)
    return [datetime.fromtimestamp(at / 1000, UTC).date().isoformat() for at in range(begin, end + 1, DAY_MS)]


def test_each_day_has_what_ended_and_what_was_used_on_it(any_plane: Plane, tmp_path: Path) -> None:
    """With exact decimals and instants, by day in UTC; today is not over yet."""
    plane = any_plane
    plane.clock[0] = parse_instant("2026-12-02T12:00:00Z")
    plane.report(amount=70, at="2026-12-01T00:00:00Z")
    plane.clock[0] = NOW
    assert plane.exporter.run()
    day = datetime(2027, 1, 14, tzinfo=UTC).date()
    first = datetime(2026, 12, 1, tzinfo=UTC).date()
    columns = "customer, feature, epoch_ms(starts_at), used"
    assert read(tmp_path, "days", columns) == [
        (first, "acme", "calls", DECEMBER, Decimal(70)),
        (day, "acme", "calls", parse_instant("2027-01-14"), Decimal(130)),
    ]
    assert read(tmp_path, "hours", columns) == [  # those of 1 December are older than what is kept of hours
        (day, "acme", "calls", parse_instant("2027-01-14T23:00:00Z"), Decimal(130)),
    ]
    plane.clock[0] = parse_instant("2027-02-02T00:00:00Z")
    assert plane.exporter.run()
    columns = "customer, feature, scope, closed, used, allowance, usage_limit, overage, used_of_grants, unlimited"
    ended = [row for row in read(tmp_path, "windows", columns) if row[3] == "customer"]
    assert [row[:-1] for row in ended if row[2] == "calls"] == [
        (datetime(2027, 1, 1, tzinfo=UTC).date(), "acme", "calls", "customer", True, 70, 0, 0, 70, 0),
        (datetime(2027, 2, 1, tzinfo=UTC).date(), "acme", "calls", "customer", True, 135, 100, 150, 0, 35),
    ]
    assert [row[1:] for row in read(tmp_path, "grants", "customer, feature, grant_id, amount, spent, priority")] == [
        ("acme", "calls", "g", Decimal(50), Decimal(35), 50)
    ]
    assert [row for row in read(tmp_path, "days", "feature, used") if row[1] == "exports"] == [
        (datetime(2027, 1, 15, tzinfo=UTC).date(), "exports", Decimal("0.25"))
    ]


def test_a_day_is_written_when_it_is_over_and_once_more_when_it_is_final(plane: Plane, tmp_path: Path) -> None:
    """Late usage is in the second one; then nothing is written again."""
    assert plane.exporter.run()
    assert progress(tmp_path) == Progress("2027-01-11", tuple(days("2027-01-12", "2027-01-14")))
    assert plane.exporter.written_until == parse_instant("2027-01-15")
    before = files(tmp_path)
    plane.report(amount=7, at="2027-01-14T12:00:00Z")
    assert plane.exporter.run()
    assert files(tmp_path) == before
    plane.clock[0] = parse_instant("2027-01-18T01:00:00Z")
    assert plane.exporter.run()
    assert progress(tmp_path) == Progress("2027-01-14", tuple(days("2027-01-15", "2027-01-17")))
    changed = {name for name, content in files(tmp_path).items() if name in before and content != before[name]}
    assert changed == {f"usage/{name}/date=2027-01-14/part-00000.parquet" for name in ("days", "hours")}
    final = files(tmp_path)
    assert plane.exporter.run()
    assert files(tmp_path) == final


def test_writing_a_day_again_is_the_same_object(plane: Plane, tmp_path: Path) -> None:
    """Byte by byte; and what a longer version left behind is deleted."""
    assert plane.exporter.run()
    before = files(tmp_path)
    longer = tmp_path / "usage" / "days" / "date=2027-01-14" / "part-00001.parquet"
    longer.write_bytes(b"of a version with more rows")
    answer = plane.admin.as_("analyst").post("/v1/usage/exports", json={"first": "2027-01-13", "last": "2027-01-14"})
    assert (answer.status_code, answer.json()["requested"]) == (202, ["2027-01-13", "2027-01-14"])
    assert plane.exporter.has_requests
    assert plane.exporter.run()
    assert files(tmp_path) == before
    shown = plane.admin.as_("analyst").get("/v1/usage/exports").json()
    assert shown == {
        "final": "2027-01-11",
        "written": days("2027-01-12", "2027-01-14"),
        "requested": [],
        "writing": None,
        "failing": False,
    }


def test_a_large_day_is_in_several_files(plane: Plane, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each with as many rows as fit into memory."""
    for hour in range(5):
        plane.report(amount=1, at=f"2027-01-13T0{hour}:00:00Z")
    monkeypatch.setattr(exporters, "MAX_ROWS", 2)
    assert plane.exporter.run()
    names = sorted(path.name for path in (tmp_path / "usage" / "hours" / "date=2027-01-13").iterdir())
    assert names == [f"part-0000{number}.parquet" for number in range(3)]
    assert sum(row[1] for row in read(tmp_path, "hours", "used") if str(row[0]) == "2027-01-13") == 5


def test_an_export_that_broke_off_goes_on(plane: Plane, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the day that failed; what is written stays, and the failure shows."""
    write_day = UsageExporter._write_day
    written: list[str] = []

    def failing(self: UsageExporter, day: date, today: date) -> None:
        if str(day) == "2027-01-05" and not plane.exporter.failures:
            raise OSError
        written.append(str(day))
        write_day(self, day, today)

    monkeypatch.setattr(UsageExporter, "_write_day", failing)
    assert not plane.exporter.run()
    assert (plane.exporter.failing, plane.exporter.failures) == (True, 1)
    assert plane.exporter.written_until == parse_instant("2027-01-05")
    assert progress(tmp_path).final == "2027-01-04"
    assert plane.exporter.run()
    assert not plane.exporter.failing
    assert written == days("2027-01-01", "2027-01-14")


def test_what_is_not_kept_any_more_is_not_replaced(plane: Plane, tmp_path: Path) -> None:
    """A day that is asked for again after its hours are gone keeps the file of these."""
    assert plane.exporter.run()
    before = files(tmp_path)
    plane.clock[0] += 60 * DAY_MS
    plane.exporter.request_days("2027-01-14", "2027-01-14")
    assert plane.exporter.run()
    hours = "usage/hours/date=2027-01-14/part-00000.parquet"
    assert files(tmp_path)[hours] == before[hours]
    with pytest.raises(ParameterError):
        plane.exporter.request_days("2023-01-01", "2023-01-02")


@pytest.mark.parametrize(
    ("first", "last"),
    [("2027-01-15", "2027-01-15"), ("2027-01-14", "2027-01-13"), ("x", "x"), ("2025-12-01", "2027-01-14")],
)
def test_days_that_cannot_be_written_are_refused(plane: Plane, first: str, last: str) -> None:
    """Today is not over; the rest are too many, or no days."""
    answer = plane.admin.as_("analyst").post("/v1/usage/exports", json={"first": first, "last": last})
    assert answer.status_code == 400


def test_without_usage_there_is_nothing_to_write(store_url: str, tmp_path: Path) -> None:
    """And nothing is behind."""
    with usage_plane(store_url, export_to=f"file://{tmp_path}/usage") as plane:
        assert plane.exporter.run()
        assert files(tmp_path) == {}
        assert plane.exporter.written_until == parse_instant("2027-01-15")


def test_a_bucket_of_s3_holds_the_same(sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A local server that speaks S3: credentials come from the environment; a bucket that is missing fails."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    for name, value in {
        "AWS_ENDPOINT": endpoint,
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "b",
        "AWS_REGION": "us-east-1",
        "AWS_ALLOW_HTTP": "true",
    }.items():
        monkeypatch.setenv(name, value)
    try:
        with usage_plane(sqlite_url, export_to="s3://warehouse/tiergate") as plane:
            plane.report(amount=130, at="2027-01-14T23:30:00Z")
            assert not plane.exporter.run()
            httpx.put(f"{endpoint}/warehouse").raise_for_status()
            assert plane.exporter.run()
            assert not plane.exporter.failing
            bucket = from_url("s3://warehouse/tiergate")
            name = "days/date=2027-01-14/part-00000.parquet"
            (tmp_path / "part.parquet").write_bytes(bytes(bucket.get(name).bytes()))
            found = duckdb.sql(f"SELECT customer, used FROM '{tmp_path}/part.parquet'")
            assert found is not None
            assert found.fetchall() == [("acme", Decimal(130))]
            assert bucket.head(name)["size"] > 0
    finally:
        server.stop()


@pytest.mark.parametrize(
    ("url", "missing"), [("ftp://x", ""), ("file:///tmp/x", "arro3.core"), ("file:///tmp/x", "obstore")]
)
def test_what_cannot_be_used_is_said_at_the_start(
    sqlite_url: str, url: str, missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another kind of URL, and libraries that are not installed."""
    if missing:
        monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(SettingsError) as caught, usage_plane(sqlite_url, export_to=url):
        pass
    assert caught.value.setting == "usage-export"
