"""Series of usage: hours and days of customers, as they were booked."""

from __future__ import annotations

import random
from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from tests.usage_bounds import customer_account
from tiergate.model import parse_instant
from tiergate.store import SYSTEM
from tiergate.store.keyed_rows import RowWrites
from tiergate.store.usage_series import (
    DAY_MS,
    HOUR_MS,
    SeriesPoint,
    add_bookings,
    daily_use,
    drop_days,
    drop_hours,
    first_of_month,
    hourly_use,
    month_of,
)
from tiergate.usage.accounts import Account, Scope
from tiergate.usage.ledger_records import Booking

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tiergate.model import Instant
    from tiergate.store import Store

NOVEMBER = parse_instant("2023-11-01")
LATER = parse_instant("2025-01-01")


def book(store: Store, bookings: Iterable[Booking]) -> None:
    """Add bookings, in a transaction of their own."""
    with store.database.writing() as session:
        writes = RowWrites()
        add_bookings(session.connection(), writes, bookings)
        writes.run(session.connection())
        session.commit()


def calls(at: Instant, units: int, customer: str = "acme", feature: str = "calls") -> Booking:
    """A booking on a customer."""
    return Booking(customer_account(NOVEMBER, feature, customer), at, units)


def days(store: Store, start: Instant = 0, until: Instant = LATER, feature: str = "calls") -> list[SeriesPoint]:
    """The daily series of the customer."""
    return store.read(lambda unit: daily_use(unit, "acme", [feature], start, until))[feature]


def hours(store: Store, start: Instant = 0, until: Instant = LATER) -> list[SeriesPoint]:
    """The hourly series of the customer."""
    return store.read(lambda unit: hourly_use(unit, "acme", ["calls"], start, until))["calls"]


def test_bookings_of_an_hour_and_of_a_day_are_added_up(store: Store) -> None:
    """In one transaction and over several, and those of each customer by themselves."""
    book(store, [calls(NOVEMBER, 1), calls(NOVEMBER + 5, 2), calls(NOVEMBER + HOUR_MS, 4), calls(NOVEMBER, 9, "beta")])
    book(store, [calls(NOVEMBER + HOUR_MS, 8), calls(NOVEMBER + DAY_MS, 16)])
    assert hours(store) == [
        SeriesPoint(NOVEMBER, 3),
        SeriesPoint(NOVEMBER + HOUR_MS, 12),
        SeriesPoint(NOVEMBER + DAY_MS, 16),
    ]
    assert days(store) == [SeriesPoint(NOVEMBER, 15), SeriesPoint(NOVEMBER + DAY_MS, 16)]


def test_only_customers_have_series(store: Store) -> None:
    """What is booked on a subscription is booked on its customer too, and would count twice."""
    book(store, [Booking(Account("calls", Scope.SUBSCRIPTION, "acme", "sub_1", NOVEMBER), NOVEMBER, 1)])
    assert days(store) == hours(store) == []


def test_corrections_count_where_the_usage_was(store: Store) -> None:
    """They can leave nothing, or less."""
    book(store, [calls(NOVEMBER, 5), calls(NOVEMBER + DAY_MS, 1)])
    book(store, [calls(NOVEMBER, -5), calls(NOVEMBER + DAY_MS, -3)])
    assert days(store) == [SeriesPoint(NOVEMBER + DAY_MS, -2)]


@pytest.mark.parametrize("seed", range(3))
def test_series_are_what_was_booked(store: Store, seed: int) -> None:
    """Random bookings of a year, in random transactions, read over random intervals."""
    choose = random.Random(seed)
    start = parse_instant("2023-12-15")
    by_day: Counter[Instant] = Counter()
    by_hour: Counter[Instant] = Counter()
    for _ in range(20):
        bookings = [calls(start + choose.randrange(366 * DAY_MS), choose.choice((1, 200, 10**15))) for _ in range(40)]
        book(store, bookings)
        for booking in bookings:
            by_day[booking.at - booking.at % DAY_MS] += booking.units
            by_hour[booking.at - booking.at % HOUR_MS] += booking.units
    for _ in range(20):
        first, last = sorted(start + choose.randrange(-DAY_MS, 380 * DAY_MS) for _ in range(2))
        for found, wanted in ((days(store, first, last), by_day), (hours(store, first, last), by_hour)):
            assert found == [SeriesPoint(at, wanted[at]) for at in sorted(wanted) if first <= at < last]


def test_months_are_counted_from_the_year_0() -> None:
    """In UTC; the first instant of each is its own."""
    for year, month in ((1970, 1), (2023, 12), (2024, 2)):
        first = int(datetime(year, month, 1, tzinfo=UTC).timestamp() * 1000)
        assert month_of(first) == month_of(first + 27 * DAY_MS) == year * 12 + month - 1
        assert month_of(first - 1) == month_of(first) - 1
        assert first_of_month(month_of(first)) == first


@pytest.mark.parametrize("is_daily", [True, False])
def test_series_that_ended_before_an_instant_can_be_dropped(store: Store, is_daily: bool) -> None:
    """Of every feature: whole months of daily series, and whole days of hourly ones."""
    for feature in ("calls", "a", "b"):
        book(store, [calls(NOVEMBER - 1, 1, feature=feature), calls(NOVEMBER, 2, feature=feature)])
    drop, before = (drop_days, NOVEMBER + 7 * DAY_MS) if is_daily else (drop_hours, NOVEMBER + HOUR_MS)
    dropped = 0
    while count := store.change(lambda unit: drop(unit, before), SYSTEM):
        dropped += count
    assert dropped == 3
    assert (days(store) if is_daily else hours(store)) == [SeriesPoint(NOVEMBER, 2)]
