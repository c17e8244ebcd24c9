"""Reports on the status of features: read, listed, written. Leaves the feed and events to `feature_status`."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec
from sqlalchemy import bindparam, delete, func, insert, select, tuple_, update

from tiergate.errors import NotFoundError
from tiergate.model import FOREVER, Reporter, ReporterKind, Status, StatusAudience, StatusReport
from tiergate.store.id_lists import is_among
from tiergate.store.prepared_queries import Query, fetch_together
from tiergate.store.subjects import Stamp
from tiergate.store.tables import STATUS_REPORTS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tiergate.model import Instant
    from tiergate.store.units import ReadUnit, WriteUnit

_BATCH: Final = 1_000
_C = STATUS_REPORTS.c

_decode_audience: Final = msgspec.json.Decoder(StatusAudience).decode


class StoredReport(NamedTuple):
    """A report with its row's stamp, who wrote it, and the alert or the like that it stands for."""

    report: StatusReport
    stamp: Stamp
    created_by: str
    updated_by: str
    source_key: str = ""


class ReportFilter(NamedTuple):
    """Conditions on reports, all of which must hold; empty and none are no conditions.

    `is_open`: whether it is open at `now`. `start`, `until`: reports that are open at some instant of this interval.
    """

    feature: str | None = None
    statuses: tuple[Status, ...] = ()
    reporter: str | None = None
    is_open: bool | None = None
    start: Instant | None = None
    until: Instant | None = None


class ReportSpan(NamedTuple):
    """When a feature had a status, by one report."""

    feature: str
    status: str
    start: Instant
    until: Instant
    reporter_kind: str


def new_report_id() -> str:
    """Return a random id for a report."""
    return f"rep_{secrets.token_hex(10)}"


def add_report(unit: WriteUnit, report: StatusReport, source_key: str = "") -> StoredReport:
    """Add a report."""
    author = unit.actor.id
    stored = StoredReport(report, Stamp(1, unit.now, unit.now), author, author, source_key)
    row = _columns(report) | {
        "id": report.id,
        "etag": 1,
        "source_key": source_key,
        "created_at": unit.now,
        "created_by": author,
        "updated_at": unit.now,
        "updated_by": author,
    }
    unit.session.connection().execute(insert(STATUS_REPORTS), [row])
    return stored


def replace_report(unit: WriteUnit, before: StoredReport, report: StatusReport) -> StoredReport:
    """Write a report that was read with the lock of its feature; nothing if it is the same."""
    if report == before.report:
        return before
    stamp = Stamp(before.stamp.etag + 1, before.stamp.created_at, unit.now)
    changes = _columns(report) | {"etag": stamp.etag, "updated_at": unit.now, "updated_by": unit.actor.id}
    unit.session.connection().execute(update(STATUS_REPORTS).where(_C.id == report.id).values(changes))
    return before._replace(report=report, stamp=stamp, updated_by=unit.actor.id)


def delete_report(unit: WriteUnit, id_: str) -> None:
    """Delete a report."""
    unit.session.connection().execute(delete(STATUS_REPORTS).where(_C.id == id_))


def find_report(unit: ReadUnit, id_: str) -> StoredReport:
    """Read a report.

    Raises:
        NotFoundError: there is none.
    """
    row = unit.session.connection().execute(select(STATUS_REPORTS).where(_C.id == id_)).one_or_none()
    if row is None:
        raise NotFoundError("status report", id_)
    return _stored(row)


def list_reports(
    unit: ReadUnit, wanted: ReportFilter, before: tuple[Instant, str] | None, limit: int
) -> list[StoredReport]:
    """Read up to `limit` reports, the latest start first; `before`: those that follow this start and id."""
    query = select(STATUS_REPORTS)
    if wanted.feature is not None:
        query = query.where(_C.feature == wanted.feature)
    if wanted.statuses:
        query = query.where(_C.status.in_([status.value for status in wanted.statuses]))
    if wanted.reporter is not None:
        query = query.where(_C.reporter == wanted.reporter)
    if wanted.is_open is not None:
        is_open = (_C.start <= unit.now) & (_C.until > unit.now)
        query = query.where(is_open if wanted.is_open else ~is_open)
    if wanted.start is not None:
        query = query.where(_C.until > wanted.start)
    if wanted.until is not None:
        query = query.where(_C.start < wanted.until)
    if before is not None:
        query = query.where(tuple_(_C.start, _C.id) < before)
    query = query.order_by(_C.start.desc(), _C.id.desc()).limit(limit)
    return [_stored(row) for row in unit.session.connection().execute(query)]


def reports_after(unit: ReadUnit, after: Instant, features: Sequence[str] | None = None) -> list[StoredReport]:
    """Read the reports that end after an instant, by feature and start; of some features, or of all."""
    return [_stored(row) for row in _rows(unit, after, FOREVER, features)]


def reports_between(
    unit: ReadUnit, start: Instant, until: Instant, features: Sequence[str] | None = None
) -> dict[str, list[StatusReport]]:
    """Read the reports that are open at some instant of an interval, by feature; of some features, or of all."""
    found: dict[str, list[StatusReport]] = {}
    for row in _rows(unit, start, until, features):
        found.setdefault(row.feature, []).append(_report(row))
    return found


def spans_between(unit: ReadUnit, start: Instant, until: Instant) -> list[ReportSpan]:
    """Read when features had which status in an interval, in no order: what `reports_between` has, at less cost."""
    return fetch_together(unit.session.connection(), [(_SPANS, {"start_": start, "until_": until})])[0]


def reports_of_source(unit: ReadUnit, reporter: str, keys: Iterable[str]) -> list[StoredReport]:
    """Read the reports of a monitor for alerts or the like, by feature and start."""
    query = select(STATUS_REPORTS).where(
        _C.reporter == reporter, _C.reporter_kind == ReporterKind.MONITOR.value, is_among(_C.source_key)
    )
    rows = unit.session.connection().execute(query.order_by(_C.feature, _C.start, _C.id), {"ids": sorted(set(keys))})
    return [_stored(row) for row in rows]


def open_reports_of(
    unit: ReadUnit, kind: ReporterKind, reporter: str, feature: str | None = None
) -> list[StoredReport]:
    """Read the reports of a source that have no end, by feature and start; on one feature, or on all."""
    query = select(STATUS_REPORTS).where(_C.reporter == reporter, _C.reporter_kind == kind.value, _C.until == FOREVER)
    if feature is not None:
        query = query.where(_C.feature == feature)
    rows = unit.session.connection().execute(query.order_by(_C.feature, _C.start, _C.id))
    return [_stored(row) for row in rows]


def list_public_reports(
    unit: ReadUnit, start: Instant, until: Instant, features: Iterable[str], limit: int
) -> list[StoredReport]:
    """Read the latest reports on some features that ended in an interval and have a note for everybody."""
    ended = (_C.until > start) & (_C.until <= until)
    query = select(STATUS_REPORTS).where(ended, _C.public_note != "", is_among(_C.feature))
    query = query.order_by(_C.start.desc(), _C.id).limit(limit)
    rows = unit.session.connection().execute(query, {"ids": list(features)})
    return [_stored(row) for row in rows]


def count_open_reports(unit: ReadUnit) -> dict[str, int]:
    """Return how many reports are open now, by status."""
    query = select(_C.status, func.count()).where(_C.start <= unit.now, _C.until > unit.now).group_by(_C.status)
    return {row[0]: row[1] for row in unit.session.connection().execute(query)}


def drop_reports(unit: WriteUnit, before: Instant) -> int:
    """Delete some reports that ended before an instant; return how many."""
    connection = unit.session.connection()
    old = connection.execute(select(_C.id).where(_C.until < before).limit(_BATCH)).scalars().all()
    if old:
        connection.execute(delete(STATUS_REPORTS).where(is_among(_C.id)), {"ids": old})
    return len(old)


_ORDERED: Final = select(STATUS_REPORTS).order_by(_C.feature, _C.start, _C.id)
_DURING: Final = (_C.until > bindparam("start_")) & (_C.start < bindparam("until_"))
_ALL: Final = Query(_ORDERED.where(_DURING))
_OF: Final = Query(_ORDERED.where(_DURING, is_among(_C.feature)))
_SPANS: Final = Query(select(_C.feature, _C.status, _C.start, _C.until, _C.reporter_kind).where(_DURING))
_SPANS.make_row = ReportSpan._make


def _rows(unit: ReadUnit, start: Instant, until: Instant, features: Sequence[str] | None) -> Sequence[Any]:
    parameters: dict[str, object] = {"start_": start, "until_": until}
    query = _ALL
    if features is not None:
        query, parameters = _OF, parameters | {"ids": list(features)}
    return fetch_together(unit.session.connection(), [(query, parameters)])[0]


def _columns(report: StatusReport) -> dict[str, object]:
    return {
        "feature": report.feature,
        "status": report.status.value,
        "start": report.start,
        "until": report.until,
        "reporter_kind": report.reporter.kind.value,
        "reporter": report.reporter.name,
        "note": report.note,
        "public_note": report.public_note,
        "audience": None if report.audience is None else msgspec.json.encode(report.audience).decode(),
    }


def _stored(row: Any) -> StoredReport:  # noqa: ANN401 - a row of the table
    stamp = Stamp(row.etag, row.created_at, row.updated_at)
    return StoredReport(_report(row), stamp, row.created_by, row.updated_by, row.source_key)


def _report(row: Any) -> StatusReport:  # noqa: ANN401 - a row of the table
    return StatusReport(
        id=row.id,
        feature=row.feature,
        status=Status(row.status),
        start=row.start,
        until=FOREVER if row.until == FOREVER else row.until,
        reporter=Reporter(ReporterKind(row.reporter_kind), row.reporter),
        note=row.note,
        public_note=row.public_note,
        audience=None if row.audience is None else _decode_audience(row.audience),
    )
