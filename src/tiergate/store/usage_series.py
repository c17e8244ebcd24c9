"""Series of usage: what each customer used of each feature, by hours and by days in UTC.

One row has a month, because a row costs more than the numbers in it. Corrections count at the instant of the usage that
they correct, so a number can become smaller later, and even negative.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec
from sqlalchemy import func, select

from tiergate.store.keyed_rows import RowWrites, delete_rows, read_rows
from tiergate.store.tables import USAGE_DAYS, USAGE_HOURS
from tiergate.usage.accounts import Scope

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from sqlalchemy import Connection, Table

    from tiergate.model import Instant
    from tiergate.store.units import ReadUnit, WriteUnit
    from tiergate.usage.ledger_records import Booking

HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS
_HOURS: Final = 24
_DAYS: Final = 31
_BATCH: Final = 1_000
_SERIES_KEY: Final = ("feature", "month", "customer")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

SeriesKey = tuple[str, int, str]
"""Feature, month and customer."""

Hours = dict[int, int]
"""Units by hours of a month, from 0."""

_encode: Final = msgspec.msgpack.Encoder().encode
_days_decoder: Final = msgspec.msgpack.Decoder(list[int])
_hours_decoder: Final = msgspec.msgpack.Decoder(dict[int, list[int]])


class SeriesPoint(NamedTuple):
    """Units used from an instant on, for one hour or one day."""

    start: Instant
    units: int


def add_bookings(connection: Connection, writes: RowWrites, bookings: Iterable[Booking]) -> None:
    """Add what was booked on customers to their series. The caller has locked their accounts, and runs the writes."""
    added: defaultdict[SeriesKey, Hours] = defaultdict(dict)
    for booking in bookings:
        account = booking.account
        if account.scope is Scope.CUSTOMER:
            month, hour = _month_and_hour(booking.at)
            hours = added[account.feature, month, account.customer]
            hours[hour] = hours.get(hour, 0) + booking.units
    _add(connection, writes, USAGE_DAYS, added, _days_with)
    _add(connection, writes, USAGE_HOURS, added, _hours_with)


def _add(
    connection: Connection,
    writes: RowWrites,
    table: Table,
    added: Mapping[SeriesKey, Hours],
    with_hours: Callable[[bytes | None, Hours], bytes],
) -> None:
    keys = sorted(added)
    stored = {
        (row.feature, row.month, row.customer): bytes(row.units)
        for row in read_rows(connection, table, _SERIES_KEY, keys)
    }
    rows = [
        {"feature": key[0], "month": key[1], "customer": key[2], "units": with_hours(stored.get(key), added[key])}
        for key in keys
    ]
    writes.update(table, _SERIES_KEY, [row for key, row in zip(keys, rows, strict=True) if key in stored])
    writes.insert(table, [row for key, row in zip(keys, rows, strict=True) if key not in stored])


def _days_with(stored: bytes | None, hours: Hours) -> bytes:
    days = [0] * _DAYS if stored is None else _padded(_days_decoder.decode(stored), _DAYS)
    for hour, units in hours.items():
        days[hour // _HOURS] += units
    return _encode(_trimmed(days))


def _hours_with(stored: bytes | None, hours: Hours) -> bytes:
    days = {} if stored is None else _hours_decoder.decode(stored)
    for hour, units in hours.items():
        day = _padded(days.get(hour // _HOURS, []), _HOURS)
        day[hour % _HOURS] += units
        days[hour // _HOURS] = _trimmed(day)
    return _encode(days)


def _padded(values: list[int], length: int) -> list[int]:
    return values + [0] * (length - len(values))


def _trimmed(values: list[int]) -> list[int]:
    length = len(values)
    while length and not values[length - 1]:
        length -= 1
    return values[:length]


def daily_use(
    unit: ReadUnit, customer: str, features: Sequence[str], start: Instant, until: Instant
) -> dict[str, list[SeriesPoint]]:
    """Return what a customer used on each day that begins from `start` until `until`, without days of no usage."""
    series: dict[str, list[SeriesPoint]] = {feature: [] for feature in features}
    for feature, first, content in _months(unit, USAGE_DAYS, customer, features, start, until):
        points = (
            SeriesPoint(first + day * DAY_MS, units) for day, units in enumerate(_days_decoder.decode(content)) if units
        )
        series[feature] += [point for point in points if start <= point.start < until]
    return series


def hourly_use(
    unit: ReadUnit, customer: str, features: Sequence[str], start: Instant, until: Instant
) -> dict[str, list[SeriesPoint]]:
    """Return what a customer used in each hour that begins from `start` until `until`, without hours of no usage."""
    series: dict[str, list[SeriesPoint]] = {feature: [] for feature in features}
    for feature, first, content in _months(unit, USAGE_HOURS, customer, features, start, until):
        points = (
            SeriesPoint(first + day * DAY_MS + hour * HOUR_MS, units)
            for day, hours in sorted(_hours_decoder.decode(content).items())
            for hour, units in enumerate(hours)
            if units
        )
        series[feature] += [point for point in points if start <= point.start < until]
    return series


def _months(
    unit: ReadUnit, table: Table, customer: str, features: Sequence[str], start: Instant, until: Instant
) -> list[tuple[str, Instant, bytes]]:
    """Return the stored months of an interval, in their order: feature, first instant, and content."""
    if start >= until:
        return []
    months = range(_month_and_hour(start)[0], _month_and_hour(until - 1)[0] + 1)
    keys = [(feature, month, customer) for feature in sorted(set(features)) for month in months]
    rows = read_rows(unit.side_session.connection(), table, _SERIES_KEY, keys)
    rows.sort(key=lambda row: row.month)
    return [(row.feature, first_of_month(row.month), bytes(row.units)) for row in rows]


def drop_series(unit: WriteUnit, table: Table, before: Instant) -> int:
    """Delete some months of `USAGE_DAYS` or `USAGE_HOURS` that ended before an instant; return how many rows."""
    connection = unit.session.connection()
    month = month_of(before)
    columns = table.c
    feature = ""
    while True:
        # Each of these reads one entry of the index.
        next_feature = select(func.min(columns.feature)).where(columns.feature > feature)
        feature = connection.execute(next_feature).scalar_one()
        if feature is None:
            return 0
        oldest = connection.execute(select(func.min(columns.month)).where(columns.feature == feature)).scalar_one()
        if oldest < month:
            is_old = (columns.feature == feature) & (columns.month < month)
            rows = connection.execute(select(*(columns[name] for name in _SERIES_KEY)).where(is_old).limit(_BATCH))
            return delete_rows(connection, table, _SERIES_KEY, [tuple(row) for row in rows])


def month_of(instant: Instant) -> int:
    """Return the month of an instant, as series number them."""
    return _month_and_hour(instant)[0]


def first_of_month(month: int) -> Instant:
    """Return the first instant of a month."""
    return (datetime(month // 12, month % 12 + 1, 1, tzinfo=UTC) - _EPOCH) // timedelta(milliseconds=1)


def _month_and_hour(instant: Instant) -> tuple[int, int]:
    """Return the month of an instant, and its hour in the month."""
    moment = _EPOCH + timedelta(milliseconds=instant)
    return moment.year * 12 + moment.month - 1, (moment.day - 1) * _HOURS + moment.hour
