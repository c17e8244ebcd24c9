"""Series of usage: what each customer used of each feature, by hours and by days in UTC.

A row has many numbers, because it costs more than they do: the days of a month, or the hours of a day. Corrections
count at the instant of the usage that they correct, so a number can become smaller later, and even negative.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec
from sqlalchemy import Table, func, select

from tiergate.store.keyed_rows import RowWrites, delete_rows, read_rows
from tiergate.store.tables import USAGE_DAYS, USAGE_HOURS
from tiergate.usage.accounts import Scope

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from sqlalchemy import Connection

    from tiergate.model import Instant
    from tiergate.store.units import ReadUnit, WriteUnit
    from tiergate.usage.ledger_records import Booking

HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS
_BATCH: Final = 1_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(list[int]).decode

SeriesKey = tuple[str, int, str]
"""Feature, period and customer."""


class Layout(NamedTuple):
    """A table of series: the column of its periods, where an instant is, and the numbers of a period."""

    table: Table
    period: str
    place_of: Callable[[Instant], tuple[int, int]]
    first_of: Callable[[int], Instant]
    length: int
    step: int

    @property
    def key(self) -> tuple[str, str, str]:
        """The columns of its key."""
        return "feature", self.period, "customer"


class SeriesPoint(NamedTuple):
    """Units used from an instant on, for one hour or one day."""

    start: Instant
    units: int


def month_of(instant: Instant) -> int:
    """Return the month of an instant, as `usage_days` numbers them."""
    return _place_of_day(instant)[0]


def first_of_month(month: int) -> Instant:
    """Return the first instant of a month."""
    return (datetime(month // 12, month % 12 + 1, 1, tzinfo=UTC) - _EPOCH) // timedelta(milliseconds=1)


def _place_of_day(instant: Instant) -> tuple[int, int]:
    moment = _EPOCH + timedelta(milliseconds=instant)
    return moment.year * 12 + moment.month - 1, moment.day - 1


def _place_of_hour(instant: Instant) -> tuple[int, int]:
    day, rest = divmod(instant, DAY_MS)
    return day, rest // HOUR_MS


DAYS: Final = Layout(USAGE_DAYS, "month", _place_of_day, first_of_month, 31, DAY_MS)
HOURS: Final = Layout(USAGE_HOURS, "day", _place_of_hour, lambda day: day * DAY_MS, 24, HOUR_MS)


def add_bookings(connection: Connection, writes: RowWrites, bookings: Iterable[Booking]) -> None:
    """Add what was booked on customers to their series. The caller has locked their accounts, and runs the writes."""
    of_customers = [booking for booking in bookings if booking.account.scope is Scope.CUSTOMER]
    for layout in (DAYS, HOURS):
        added: defaultdict[SeriesKey, Counter[int]] = defaultdict(Counter)
        for account, at, units in of_customers:
            period, place = layout.place_of(at)
            added[account.feature, period, account.customer][place] += units
        _add(connection, writes, layout, added)


def _add(
    connection: Connection, writes: RowWrites, layout: Layout, added: Mapping[SeriesKey, Mapping[int, int]]
) -> None:
    keys = sorted(added)
    stored = {
        (row.feature, getattr(row, layout.period), row.customer): bytes(row.units)
        for row in read_rows(connection, layout.table, layout.key, keys)
    }
    updated: list[dict[str, object]] = []
    inserted: list[dict[str, object]] = []
    for key in keys:
        values = _decode(stored[key]) if key in stored else []
        values += [0] * (layout.length - len(values))
        for place, units in added[key].items():
            values[place] += units
        row = dict(zip(layout.key, key, strict=True)) | {"units": _encode(_trimmed(values))}
        (updated if key in stored else inserted).append(row)
    writes.update(layout.table, layout.key, updated)
    writes.insert(layout.table, inserted)


def _trimmed(values: list[int]) -> list[int]:
    length = len(values)
    while length and not values[length - 1]:
        length -= 1
    return values[:length]


def daily_use(
    unit: ReadUnit, customer: str, features: Collection[str], start: Instant, until: Instant
) -> dict[str, list[SeriesPoint]]:
    """Return what a customer used on each day that begins from `start` until `until`, without days of no usage."""
    return _use(unit, DAYS, customer, features, start, until)


def hourly_use(
    unit: ReadUnit, customer: str, features: Collection[str], start: Instant, until: Instant
) -> dict[str, list[SeriesPoint]]:
    """Return what a customer used in each hour that begins from `start` until `until`, without hours of no usage."""
    return _use(unit, HOURS, customer, features, start, until)


def _use(
    unit: ReadUnit, layout: Layout, customer: str, features: Collection[str], start: Instant, until: Instant
) -> dict[str, list[SeriesPoint]]:
    series: dict[str, list[SeriesPoint]] = {feature: [] for feature in features}
    if start >= until:
        return series
    periods = range(layout.place_of(start)[0], layout.place_of(until - 1)[0] + 1)
    keys = [(feature, period, customer) for feature in series for period in periods]
    rows = read_rows(unit.side_session.connection(), layout.table, layout.key, keys)
    found = sorted((getattr(row, layout.period), row.feature, bytes(row.units)) for row in rows)
    for period, feature, content in found:
        series[feature] += points_of(layout, period, content, start, until)
    return series


def points_of(layout: Layout, period: int, content: bytes, start: Instant, until: Instant) -> list[SeriesPoint]:
    """Return the days or hours of a row that begin from `start` until `until`, without those of no usage."""
    first = layout.first_of(period)
    points: list[SeriesPoint] = []
    for place, units in enumerate(_decode(content)):
        at = first + place * layout.step
        if units and start <= at < until:
            points.append(SeriesPoint(at, units))
    return points


def drop_days(unit: WriteUnit, before: Instant) -> int:
    """Delete daily series of some months that ended before an instant; return how many rows."""
    return _drop(unit, DAYS, before)


def drop_hours(unit: WriteUnit, before: Instant) -> int:
    """Delete hourly series of some days that ended before an instant; return how many rows."""
    return _drop(unit, HOURS, before)


def _drop(unit: WriteUnit, layout: Layout, before: Instant) -> int:
    connection = unit.session.connection()
    present = layout.place_of(before)[0]
    columns = layout.table.c
    period = columns[layout.period]
    feature = ""
    while True:
        # Each of these reads one entry of the index.
        next_feature = select(func.min(columns.feature)).where(columns.feature > feature)
        feature = connection.execute(next_feature).scalar_one()
        if feature is None:
            return 0
        oldest = connection.execute(select(func.min(period)).where(columns.feature == feature)).scalar_one()
        if oldest < present:
            query = select(*(columns[name] for name in layout.key)).where(columns.feature == feature, period < present)
            rows = connection.execute(query.limit(_BATCH))
            return delete_rows(connection, layout.table, layout.key, [tuple(row) for row in rows])
