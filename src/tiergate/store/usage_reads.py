"""Usage as it is stored: of a customer now and in the past, and of the customers of one feature.

Numbers are exact as of the last report of each sidecar. `limit` follows what moves it, a publication within a minute or
so (`admin.usage_limits`): who needs it to the instant resolves it (`usage_present`).
"""

from __future__ import annotations

from enum import StrEnum
from heapq import nsmallest
from math import hypot, sqrt
from operator import mul
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec
from sqlalchemy import Float, and_, cast, select

from tiergate.model import Interval
from tiergate.store.tables import USAGE_ACCOUNTS, USAGE_DAYS, USAGE_WINDOWS
from tiergate.store.usage_series import DAY_MS, first_of_month, month_of
from tiergate.usage.accounts import Account, Scope
from tiergate.usage.pools import ALLOWANCE

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from sqlalchemy import ColumnElement, Row, Table
    from sqlmodel import Session

    from tiergate.model import Instant
    from tiergate.store.units import ReadUnit

_CUSTOMER: Final = Scope.CUSTOMER.value
_drawn_decoder: Final = msgspec.json.Decoder(dict[str, int])
_days_decoder: Final = msgspec.msgpack.Decoder(list[int])


class UsedWindow(NamedTuple):
    """One window of an account. `limit`, `allowance`: `None` for unlimited. `drawn`: where the units came from."""

    account: Account
    window: Interval
    booked: int
    leased: int
    allowance: int | None
    limit: int | None
    drawn: Mapping[str, int]


class CustomerUse(NamedTuple):
    """What a customer has used of a feature in its current window."""

    customer: str
    window: Interval
    used: int
    limit: int | None


class Volatility(NamedTuple):
    """The daily usage of a customer: its mean, and its standard deviation as a part of that."""

    customer: str
    mean: float
    coefficient: float


class UsageOrder(StrEnum):
    """How customers are ordered by their usage of a feature."""

    MOST_USED = "most_used"
    """By the part of the limit that is used, the greatest first; without customers that have no limit."""

    CLOSEST = "closest"
    """By the time after which the limit is reached at the rate of the window so far, the shortest first."""

    AMOUNT = "amount"
    """By the amount used, the greatest first."""


def used_windows(
    unit: ReadUnit, customer: str, start: Instant, until: Instant, features: Collection[str] | None = None
) -> list[UsedWindow]:
    """Return the windows of a customer that overlap an interval, those of its subscriptions and users too.

    They are in the order of feature, scope, member and start.
    """
    found = [
        used_window(row)
        for table in (USAGE_WINDOWS, USAGE_ACCOUNTS)
        for row in unit.side_session.connection().execute(
            select(table).where(*_overlaps(table, customer, start, until, features))
        )
    ]
    return sorted(
        found, key=lambda used: (used.account.feature, used.account.scope, used.account.member, used.window.start)
    )


def current_windows(
    session: Session, customers: Collection[str], features: Collection[str], now: Instant
) -> list[UsedWindow]:
    """Return the windows that some customers, their subscriptions and users have now, of some features."""
    columns = USAGE_ACCOUNTS.c
    query = select(USAGE_ACCOUNTS).where(
        columns.customer.in_(sorted(customers)),
        columns.feature.in_(sorted(features)),
        columns.start <= now,
        columns.until > now,
    )
    return [used_window(row) for row in session.connection().execute(query)]


def _overlaps(
    table: Table, customer: str, start: Instant, until: Instant, features: Collection[str] | None
) -> list[ColumnElement[bool]]:
    columns = table.c
    condition = [columns.customer == customer, columns.start < until, columns.until > start]
    return condition if features is None else [*condition, columns.feature.in_(sorted(features))]


def used_window(row: Row[Any]) -> UsedWindow:
    """Read a row of `usage_account` or `usage_window`."""
    account = Account(row.feature, Scope(row.scope), row.customer, row.member, row.start)
    total = row.booked + row.leased
    drawn = {ALLOWANCE: total} if row.drawn is None and total else _drawn_decoder.decode(row.drawn or "{}")
    window = Interval(row.start, row.until)
    return UsedWindow(account, window, row.booked, row.leased, row.allowance, row.limit_units, drawn)


def customers_by_use(unit: ReadUnit, feature: str, now: Instant, order: UsageOrder, count: int) -> list[CustomerUse]:
    """Return the first customers in an order, by their usage of a feature in the current window of each."""
    columns = USAGE_ACCOUNTS.c
    is_current = and_(
        columns.feature == feature,
        columns.scope == _CUSTOMER,
        columns.start <= now,
        columns.until > now,
    )
    query = select(columns.customer, columns.start, columns.until, columns.booked, columns.limit_units).where(
        is_current
    )
    match order:
        case UsageOrder.AMOUNT:
            query = query.order_by(columns.booked.desc(), columns.customer)
        case UsageOrder.MOST_USED:
            part = cast(columns.booked, Float) / columns.limit_units
            query = query.where(columns.limit_units > 0).order_by(part.desc(), columns.customer)
        case UsageOrder.CLOSEST:
            time_left = cast(columns.limit_units - columns.booked, Float) * (now - columns.start + 1) / columns.booked
            query = query.where(columns.booked > 0, columns.limit_units.is_not(None))
            query = query.order_by(time_left, columns.customer)
    rows = unit.side_session.connection().execute(query.limit(count))
    return [CustomerUse(row.customer, Interval(row.start, row.until), row.booked, row.limit_units) for row in rows]


def most_volatile(unit: ReadUnit, feature: str, now: Instant, days: int, count: int) -> list[Volatility]:
    """Return the customers whose daily usage of a feature varies most, over the last days before today, in UTC.

    By the coefficient of variation; days without usage count as 0, and customers without usage are left out.
    """
    last = now // DAY_MS * DAY_MS
    first = last - days * DAY_MS
    # Ranked by floats, as one of many customers takes a microsecond of that; those that are found are exact.
    ranked = (
        (-hypot(*values) / total, customer, values)
        for customer, values in _daily_values(unit, feature, first, days)
        if (total := sum(values)) > 0
    )
    return [_volatility(customer, values, days) for _, customer, values in nsmallest(count, ranked)]


def _volatility(customer: str, values: Sequence[int], days: int) -> Volatility:
    total = sum(values)
    deviation = sqrt(days * sum(map(mul, values, values)) - total * total)
    return Volatility(customer, total / days, deviation / total)


def _daily_values(unit: ReadUnit, feature: str, first: Instant, days: int) -> Iterator[tuple[str, list[int]]]:
    """Yield each customer of a feature with its daily usage from a day on, without days at the ends of months."""
    columns, connection = USAGE_DAYS.c, unit.side_session.connection()
    stored: list[tuple[slice, dict[str, bytes]]] = []
    for month in range(month_of(first), month_of(first + (days - 1) * DAY_MS) + 1):
        query = select(columns.customer, columns.units).where(columns.feature == feature, columns.month == month)
        begin = (first_of_month(month) - first) // DAY_MS
        rows = dict(connection.execute(query).cursor.fetchall())
        stored.append((slice(max(0, -begin), max(0, days - begin)), rows))
    while stored:  # those of the first month, with what they have in later ones; then those who are new in the next
        cut, rows = stored.pop(0)
        while rows:
            customer, content = rows.popitem()
            values = _days_decoder.decode(content)[cut]
            for later_cut, later in stored:
                later_content = later.pop(customer, None)
                if later_content is not None:
                    values += _days_decoder.decode(later_content)[later_cut]
            yield customer, values
