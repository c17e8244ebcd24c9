"""Usage as it is stored: of a customer now and in the past, and of the customers of one feature.

Numbers are exact as of the last report of each sidecar. `limit` is what it was when the usage of the window last
changed, because rows do not change with catalogs: who needs the present one resolves it.
"""

from __future__ import annotations

from enum import StrEnum
from heapq import nsmallest
from math import sqrt
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
    from collections.abc import Collection, Mapping

    from sqlalchemy import ColumnElement, Row, Table

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
        _used_window(row)
        for table in (USAGE_WINDOWS, USAGE_ACCOUNTS)
        for row in unit.side_session.connection().execute(
            select(table).where(*_overlaps(table, customer, start, until, features))
        )
    ]
    return sorted(
        found, key=lambda used: (used.account.feature, used.account.scope, used.account.member, used.window.start)
    )


def _overlaps(
    table: Table, customer: str, start: Instant, until: Instant, features: Collection[str] | None
) -> list[ColumnElement[bool]]:
    columns = table.c
    condition = [columns.customer == customer, columns.start < until, columns.until > start]
    return condition if features is None else [*condition, columns.feature.in_(sorted(features))]


def _used_window(row: Row[Any]) -> UsedWindow:
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
    columns = USAGE_DAYS.c
    months = range(month_of(first), month_of(last - 1) + 1)
    query = select(columns.customer, columns.month, columns.units).where(
        columns.feature == feature, columns.month.in_(list(months))
    )
    # Sums of the numbers and of their squares: integers, so that nothing is rounded before the end.
    totals: dict[str, int] = {}
    squares: dict[str, int] = {}
    parts = {month: (first_of_month(month) - first) // DAY_MS for month in months}
    slices = {month: slice(max(0, -begin), max(0, days - begin)) for month, begin in parts.items()}
    for customer, month, content in unit.side_session.connection().execute(query).cursor.fetchall():
        values = _days_decoder.decode(content)[slices[month]]
        totals[customer] = totals.get(customer, 0) + sum(values)
        squares[customer] = squares.get(customer, 0) + sum(map(mul, values, values))
    found = ((-squares[customer] / (total * total), customer) for customer, total in totals.items() if total > 0)
    return [
        Volatility(
            customer,
            totals[customer] / days,
            sqrt(days * squares[customer] - totals[customer] ** 2) / totals[customer],
        )
        for _, customer in nsmallest(count, found)
    ]
