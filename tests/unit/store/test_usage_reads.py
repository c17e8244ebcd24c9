"""Usage as it is read: windows of a customer, and customers of a feature, on either database."""

from __future__ import annotations

from statistics import fmean, pstdev
from typing import TYPE_CHECKING

import pytest

from tests.unit.store.usage_model import DIGEST
from tests.usage_bounds import PlainBounds, customer_account, debits
from tiergate.model import Interval, parse_instant
from tiergate.store.keyed_rows import RowWrites
from tiergate.store.units import SYSTEM
from tiergate.store.usage_grants import give_grant
from tiergate.store.usage_ledger import UsageLedger
from tiergate.store.usage_reads import (
    CustomerUse,
    UsageOrder,
    UsedWindow,
    customers_by_use,
    most_volatile,
    used_windows,
)
from tiergate.store.usage_series import DAY_MS, add_bookings
from tiergate.usage.accounts import Account, Consumption, Scope
from tiergate.usage.ledger_records import Booking
from tiergate.usage.pools import ALLOWANCE, Grant
from tiergate.usage.protocol import Booked

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.unit.store.clocks import Time
    from tiergate.store import Store

NOVEMBER = parse_instant("2023-11-01")
DECEMBER = parse_instant("2023-12-01")
JANUARY = parse_instant("2024-01-01")


@pytest.fixture
def bounds() -> PlainBounds:
    """A hard limit of 100 units a month."""
    return PlainBounds()


@pytest.fixture
def ledger(store: Store, bounds: PlainBounds) -> Iterator[UsageLedger]:
    """The ledger of the store."""
    opened = UsageLedger(store, bounds)
    yield opened
    opened.close()


def use(ledger: UsageLedger, account: Account, units: int, at: int) -> None:
    """Book usage."""
    assert ledger.record(Consumption(b"", DIGEST, at, debits(account, amount=units))) == Booked()


def test_windows_of_a_customer_are_read_now_and_in_the_past(store: Store, ledger: UsageLedger, time: Time) -> None:
    """Those that overlap an interval, with where their units came from."""
    store.change(lambda unit: give_grant(unit, "acme", "calls", Grant("top-up", 20)), SYSTEM)
    use(ledger, customer_account(NOVEMBER), 110, time.now)
    use(ledger, Account("calls", Scope.SUBSCRIPTION, "acme", "sub_1", NOVEMBER), 30, time.now)
    use(ledger, customer_account(NOVEMBER, "emails"), 5, time.now)
    use(ledger, customer_account(NOVEMBER, customer="beta"), 5, time.now)
    time.now = DECEMBER
    use(ledger, customer_account(DECEMBER), 1, time.now)
    november, december = Interval(NOVEMBER, DECEMBER), Interval(DECEMBER, JANUARY)
    calls = UsedWindow(customer_account(NOVEMBER), november, 110, 0, 100, 120, {ALLOWANCE: 100, "top-up": 10})
    found = store.read(lambda unit: used_windows(unit, "acme", NOVEMBER, JANUARY))
    assert found[:2] == [calls, UsedWindow(customer_account(DECEMBER), december, 1, 0, 100, 110, {ALLOWANCE: 1})]
    assert [(used.account.feature, used.account.scope, used.booked) for used in found[2:]] == [
        ("calls", Scope.SUBSCRIPTION, 30),
        ("emails", Scope.CUSTOMER, 5),
    ]
    past = store.read(lambda unit: used_windows(unit, "acme", NOVEMBER, DECEMBER, ["calls"]))
    assert [used.window for used in past] == [november, november]
    assert store.read(lambda unit: used_windows(unit, "acme", JANUARY, JANUARY + 1)) == []


def test_customers_of_a_feature_are_ordered_by_their_usage(
    store: Store, ledger: UsageLedger, bounds: PlainBounds, time: Time
) -> None:
    """By the part of the limit, the time that is left, or the amount; only current windows count."""
    for customer, units in (("a", 90), ("b", 50), ("c", 120), ("d", 0)):
        if units:
            use(ledger, customer_account(NOVEMBER, customer=customer), units, time.now)
    bounds.limit = None
    use(ledger, customer_account(NOVEMBER, customer="free"), 500, time.now)
    bounds.limit = 1000
    use(ledger, customer_account(NOVEMBER, customer="big"), 300, time.now)

    def order(by: UsageOrder, count: int = 10) -> list[str]:
        found = store.read(lambda unit: customers_by_use(unit, "calls", time.now, by, count))
        return [use.customer for use in found]

    assert order(UsageOrder.MOST_USED) == ["c", "a", "b", "big"]
    assert order(UsageOrder.CLOSEST) == ["c", "a", "b", "big"]
    assert order(UsageOrder.AMOUNT) == ["free", "big", "c", "a", "b"]
    assert order(UsageOrder.AMOUNT, 2) == ["free", "big"]
    (first,) = store.read(lambda unit: customers_by_use(unit, "calls", time.now, UsageOrder.MOST_USED, 1))
    assert first == CustomerUse("c", Interval(NOVEMBER, DECEMBER), 120, 100)
    time.now = DECEMBER
    assert order(UsageOrder.AMOUNT) == []


def test_the_most_volatile_customers_are_those_whose_days_differ_most(store: Store) -> None:
    """By the coefficient of variation of whole days before today, over the end of a month."""
    now = parse_instant("2023-12-10T15:00:00Z")
    first = parse_instant("2023-11-12")
    daily = {
        "steady": [7] * 28,
        "weekly": [0, 0, 50, 0, 0, 0, 0] * 4,
        "once": [0] * 27 + [1],
        "growing": list(range(28)),
        "none": [0] * 28,
    }
    bookings = [
        Booking(customer_account(NOVEMBER, customer=customer), first + day * DAY_MS, units)
        for customer, values in daily.items()
        for day, units in enumerate(values)
        if units
    ]
    outside = [Booking(customer_account(NOVEMBER, customer="steady"), at, 9999) for at in (first - 1, now)]
    with store.database.writing() as session:
        writes = RowWrites()
        add_bookings(session.connection(), writes, [*bookings, *outside])
        writes.run(session.connection())
        session.commit()
    found = store.read(lambda unit: most_volatile(unit, "calls", now, 28, 3))
    assert [volatility.customer for volatility in found] == ["once", "weekly", "growing"]
    for volatility in store.read(lambda unit: most_volatile(unit, "calls", now, 28, 10)):
        values = daily[volatility.customer]
        assert volatility.mean == pytest.approx(fmean(values))
        assert volatility.coefficient == pytest.approx(pstdev(values) / fmean(values), abs=1e-9)
