"""Outcomes that services reported, by minute: added once for each batch of a sidecar, read and deleted.

A row has the minutes of an hour, in MessagePack: for each, its place in the hour, requests, failures, and pairs of
latency and slow requests.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final

import msgspec
from sqlalchemy import select

from tiergate.status.outcomes import MINUTE_MS, Outcomes
from tiergate.store.keyed_rows import delete_rows, read_rows, update_rows
from tiergate.store.outcome_judgements import judge_hours
from tiergate.store.row_inserts import insert_rows
from tiergate.store.tables import OUTCOME_HOURS, OUTCOME_SOURCES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from sqlalchemy import ColumnElement, Connection, Table

    from tiergate.model import Instant
    from tiergate.status.outcome_minutes import MinuteSum
    from tiergate.store.units import ReadUnit, WriteUnit

HOUR_MS: Final = 3_600_000
SOURCE_MS: Final = 90 * 24 * HOUR_MS
"""Milliseconds for which the last batch of a sidecar's start is known: longer than a sidecar keeps a batch."""

_HOUR: Final = ("feature", "hour")
_SOURCE: Final = ("source",)
_BATCH: Final = 5_000


class _Minute(msgspec.Struct, array_like=True, frozen=True, gc=False):
    place: int
    requests: int
    failed: int = 0
    slow: tuple[tuple[int, int], ...] = ()


_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(list[_Minute]).decode


def add_batch(unit: WriteUnit, source: str, number: int, sums: Iterable[MinuteSum]) -> bool:
    """Add a batch of outcomes; return whether it came for the first time. Those of a source come in order.

    The row of the source is locked, then those of hours in the order of their keys.
    """
    connection = unit.side_writing_session.connection()
    stored = read_rows(connection, OUTCOME_SOURCES, _SOURCE, [(source,)], lock=True)
    if stored and stored[0].number >= number:
        return False
    row = {"source": source, "number": number, "seen_at": unit.now}
    if stored:
        update_rows(connection, OUTCOME_SOURCES, _SOURCE, [row])
    else:
        insert_rows(connection, OUTCOME_SOURCES, [row])
    _add(connection, sums)
    return True


def _add(connection: Connection, sums: Iterable[MinuteSum]) -> None:
    added: defaultdict[tuple[str, Instant], list[MinuteSum]] = defaultdict(list)
    for one in sums:
        added[one.feature, one.minute - one.minute % HOUR_MS].append(one)
    keys = sorted(added)
    stored = read_rows(connection, OUTCOME_HOURS, _HOUR, keys, lock=True)
    hours = {(row.feature, row.hour): _read(row.hour, row.minutes) for row in stored}
    updated: list[dict[str, object]] = []
    inserted: list[dict[str, object]] = []
    for key in keys:
        rows = updated if key in hours else inserted
        minutes = hours.setdefault(key, {})
        for one in added[key]:
            minutes[one.minute] = minutes.get(one.minute, Outcomes()) + one.outcomes
        rows.append(_row(key, minutes))
    update_rows(connection, OUTCOME_HOURS, _HOUR, updated)
    insert_rows(connection, OUTCOME_HOURS, inserted)
    judge_hours(connection, hours)


def _row(key: tuple[str, Instant], minutes: Mapping[Instant, Outcomes]) -> dict[str, object]:
    feature, hour = key
    content = [
        _Minute((minute - hour) // MINUTE_MS, each.requests, each.failed, tuple(sorted(each.slow.items())))
        for minute, each in sorted(minutes.items())
    ]
    bad = sum(each.failed + max(each.slow.values(), default=0) for each in minutes.values())
    return {"feature": feature, "hour": hour, "bad": bad, "minutes": _encode(content)}


def _read(hour: Instant, content: bytes) -> dict[Instant, Outcomes]:
    return {
        hour + each.place * MINUTE_MS: Outcomes(each.requests, each.failed, dict(each.slow))
        for each in _decode(bytes(content))
    }


def minutes_of(unit: ReadUnit, feature: str, start: Instant, until: Instant) -> dict[Instant, Outcomes]:
    """Return what was reported of a feature in the minutes that begin from `start` until `until`, in their order."""
    found = minutes_of_all(unit, start, until, features=(feature,))
    return {minute: outcomes for _, minute, outcomes in found}


def minutes_of_all(
    unit: ReadUnit, start: Instant, until: Instant, *, features: Iterable[str] | None = None, only_bad: bool = False
) -> Iterator[tuple[str, Instant, Outcomes]]:
    """Yield feature, minute and outcomes of the minutes that begin from `start` until `until`, in this order.

    `features`: by default all. `only_bad`: leave out the hours of a feature in which no request failed or was slow.
    """
    columns = OUTCOME_HOURS.c
    query = select(columns.feature, columns.hour, columns.minutes)
    query = query.where(columns.hour >= start - start % HOUR_MS, columns.hour < until)
    if features is not None:
        query = query.where(columns.feature.in_(list(features)))
    if only_bad:
        query = query.where(columns.bad > 0)
    for feature, hour, content in unit.side_session.connection().execute(query.order_by(columns.feature, columns.hour)):
        for minute, outcomes in _read(hour, content).items():
            if start <= minute < until:
                yield feature, minute, outcomes


def drop_hours(unit: WriteUnit, before: Instant) -> int:
    """Delete some outcomes of hours that ended before an instant; return how many rows."""
    return _drop(unit, OUTCOME_HOURS, _HOUR, OUTCOME_HOURS.c.hour <= before - HOUR_MS)


def drop_sources(unit: WriteUnit, now: Instant) -> int:
    """Forget some starts of sidecars that have sent nothing for `SOURCE_MS`; return how many."""
    return _drop(unit, OUTCOME_SOURCES, _SOURCE, OUTCOME_SOURCES.c.seen_at < now - SOURCE_MS)


def _drop(unit: WriteUnit, table: Table, key: tuple[str, ...], condition: ColumnElement[bool]) -> int:
    connection = unit.session.connection()
    query = select(*(table.c[name] for name in key)).where(condition).limit(_BATCH).with_for_update(skip_locked=True)
    return delete_rows(connection, table, key, [tuple(row) for row in connection.execute(query)])
