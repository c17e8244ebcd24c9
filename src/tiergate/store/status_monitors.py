"""Monitors, which should be heard now and then, and the times in which they were silent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec
from sqlalchemy import delete, func, insert, select, text, update

from tiergate.errors import NotFoundError
from tiergate.model import FOREVER, Interval
from tiergate.store.id_lists import is_among
from tiergate.store.subjects import Stamp
from tiergate.store.tables import STATUS_MONITORS, STATUS_SILENCES

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tiergate.model import Instant
    from tiergate.store.units import ReadUnit, WriteUnit

_M = STATUS_MONITORS.c
_S = STATUS_SILENCES.c
_BATCH: Final = 1_000

_OPEN: Final = text(
    "INSERT INTO status_silence (monitor, feature, start, until) VALUES (:monitor, :feature, :start, :until) "
    "ON CONFLICT (monitor, feature, start) DO UPDATE SET until = excluded.until"
)

_decode_features: Final = msgspec.json.Decoder(tuple[str, ...]).decode


class Monitor(NamedTuple):
    """A monitor. `key`: the only API key that may speak for it, if any.

    `every`: it should be heard this often, in milliseconds; `None`: nothing is expected. `heard_at`: when it was heard
    last; `silent_since`: it is told to be silent since then.
    """

    name: str
    features: tuple[str, ...]
    every: int | None = None
    key: str | None = None
    description: str = ""
    heard_at: Instant | None = None
    silent_since: Instant | None = None

    @property
    def due_at(self) -> Instant | None:
        """When it is silent unless it is heard; `None`: it is told to be already, or it cannot be."""
        if self.every is None or self.heard_at is None or self.silent_since is not None:
            return None
        return self.heard_at + self.every


class StoredMonitor(NamedTuple):
    """A monitor with its row's stamp, which heartbeats do not change."""

    monitor: Monitor
    stamp: Stamp


def find_monitor(unit: ReadUnit, name: str) -> StoredMonitor | None:
    """Read a monitor, if it exists."""
    row = unit.session.connection().execute(select(STATUS_MONITORS).where(_M.name == name)).one_or_none()
    return None if row is None else _stored(row)


def read_monitor(unit: ReadUnit, name: str) -> StoredMonitor:
    """Read a monitor.

    Raises:
        NotFoundError: there is none.
    """
    stored = find_monitor(unit, name)
    if stored is None:
        raise NotFoundError("status monitor", name)
    return stored


def lock_monitor(unit: WriteUnit, name: str) -> StoredMonitor | None:
    """Lock a monitor before its features, and read it, if it exists."""
    query = select(STATUS_MONITORS).where(_M.name == name).with_for_update()
    row = unit.session.connection().execute(query).one_or_none()
    return None if row is None else _stored(row)


def list_monitors(unit: ReadUnit, after: str | None, limit: int) -> list[StoredMonitor]:
    """Read up to `limit` monitors by name, those after a name."""
    query = select(STATUS_MONITORS).where(_M.name > (after or "")).order_by(_M.name).limit(limit)
    return [_stored(row) for row in unit.session.connection().execute(query)]


def count_monitors(unit: ReadUnit) -> tuple[int, int]:
    """Return how many monitors there are, and how many of them are silent."""
    query = select(func.count(), func.count(_M.silent_since))
    total, silent = unit.session.connection().execute(query.select_from(STATUS_MONITORS)).one()
    return total, silent


def write_monitor(unit: WriteUnit, before: StoredMonitor | None, monitor: Monitor) -> StoredMonitor:
    """Write a monitor that was read with its lock."""
    connection = unit.session.connection()
    values = monitor._asdict() | {"features": msgspec.json.encode(monitor.features).decode()}
    if before is None:
        stamp = Stamp(1, unit.now, unit.now)
        row = values | {"etag": 1, "created_at": unit.now, "updated_at": unit.now}
        connection.execute(insert(STATUS_MONITORS), [row])
    else:
        stamp = Stamp(before.stamp.etag + 1, before.stamp.created_at, unit.now)
        values |= {"etag": stamp.etag, "updated_at": unit.now}
        connection.execute(update(STATUS_MONITORS).where(_M.name == monitor.name).values(values))
    return StoredMonitor(monitor, stamp)


def remove_monitor(unit: WriteUnit, name: str) -> None:
    """Delete a monitor; its silences stay, as what was unknown then."""
    unit.session.connection().execute(delete(STATUS_MONITORS).where(_M.name == name))


def note_heard(unit: WriteUnit, name: str) -> None:
    """Note that a monitor is heard now."""
    values = {"heard_at": unit.now, "silent_since": None}
    unit.session.connection().execute(update(STATUS_MONITORS).where(_M.name == name).values(values))


def note_silent(unit: WriteUnit, name: str, since: Instant) -> None:
    """Note that a monitor is silent since an instant."""
    edit = update(STATUS_MONITORS).where(_M.name == name).values(silent_since=since)
    unit.session.connection().execute(edit)


def due_monitors(unit: ReadUnit) -> list[Monitor]:
    """Read the monitors that are silent by now, and were not told to be. There are few monitors: all are looked at."""
    query = select(STATUS_MONITORS).where(
        _M.silent_since.is_(None), _M.every.is_not(None), _M.heard_at + _M.every <= unit.now
    )
    return [_stored(row).monitor for row in unit.session.connection().execute(query.order_by(_M.name))]


# ── silences ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def open_silences(unit: WriteUnit, monitor: str, features: Iterable[str], start: Instant) -> None:
    """Note that nothing is known of some features from an instant on; one that began there goes on."""
    rows = [{"monitor": monitor, "feature": id_, "start": start, "until": FOREVER} for id_ in features]
    if rows:
        unit.session.connection().execute(_OPEN, rows)


def close_silences(unit: WriteUnit, monitor: str) -> None:
    """End the silences of a monitor now."""
    mine = (_S.monitor == monitor) & (_S.until == FOREVER)
    unit.session.connection().execute(update(STATUS_SILENCES).where(mine).values(until=unit.now))


def silent_features(unit: ReadUnit, monitor: str) -> list[str]:
    """Return the features of which nothing is known because a monitor is silent."""
    query = select(_S.feature).where(_S.monitor == monitor, _S.until == FOREVER).order_by(_S.feature)
    return list(unit.session.connection().execute(query).scalars())


def silences_between(
    unit: ReadUnit, start: Instant, until: Instant, features: Sequence[str] | None = None
) -> dict[str, list[Interval]]:
    """Read the silences in an interval, by feature; of some features, or of all. They may overlap."""
    query = select(_S.feature, _S.start, _S.until).where(_S.until > start, _S.start < until)
    parameters: dict[str, object] = {}
    if features is not None:
        query, parameters = query.where(is_among(_S.feature)), {"ids": list(features)}
    found: dict[str, list[Interval]] = {}
    for feature, begun, ended in unit.session.connection().execute(query.order_by(_S.feature, _S.start), parameters):
        found.setdefault(feature, []).append(Interval(begun, ended))
    return found


def drop_silences(unit: WriteUnit, before: Instant) -> int:
    """Delete some silences that ended before an instant; return how many."""
    connection = unit.session.connection()
    query = select(_S.monitor, _S.feature, _S.start).where(_S.until < before).limit(_BATCH)
    rows = connection.execute(query).all()
    for row in rows:
        mine = (_S.monitor == row.monitor) & (_S.feature == row.feature) & (_S.start == row.start)
        connection.execute(delete(STATUS_SILENCES).where(mine))
    return len(rows)


def _stored(row: Any) -> StoredMonitor:  # noqa: ANN401 - a row of the table
    monitor = Monitor(
        row.name,
        _decode_features(row.features),
        row.every,
        row.key,
        row.description,
        row.heard_at,
        row.silent_since,
    )
    return StoredMonitor(monitor, Stamp(row.etag, row.created_at, row.updated_at))
