"""Rows about reading usage at the control plane: the year of a customer, the customers of a feature, its allocation.

The series and windows of 100,000 customers are written into the tables directly, on SQLite and PostgreSQL. The clock
stands on the 15th of a month, so that the last 28 days are in two months. Each row is the median of several runs.
"""

from __future__ import annotations

import random
import time
from functools import partial
from statistics import median
from typing import TYPE_CHECKING, Final

import msgspec
from sqlalchemy import insert

from benchmarks.change_rows import postgresql
from benchmarks.table import Row
from tests.stores import put_in_force
from tiergate.admin.usage_allocation import WantedAllocation, allocation
from tiergate.admin.usage_views import customers_of_feature, usage_series
from tiergate.model import BEGINNING, FOREVER, Customer, parse_instant
from tiergate.store import SYSTEM, Store
from tiergate.store.customers import Account
from tiergate.store.tables import SUBSCRIPTION_ITEMS, SUBSCRIPTIONS, USAGE_ACCOUNTS, USAGE_DAYS
from tiergate.store.usage_series import DAY_MS, month_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sqlalchemy import Connection

    from tiergate.store import ReadUnit

_CUSTOMERS: Final = 100_000
_FEATURES: Final = 10
_BATCH: Final = 10_000
_NOW: Final = parse_instant("2027-06-15T12:00:00Z")
_YEAR_AGO: Final = _NOW - 364 * DAY_MS
_ORDERS: Final = ("most_used", "closest", "amount", "volatile")

_encode = msgspec.msgpack.Encoder().encode


def insight_rows(directory: Path, rounds: int) -> Iterator[Row]:
    """Measure ten series of a year, and the first page of customers of a feature in each order."""
    path = directory / "insights.sqlite"
    for old in directory.glob("insights.sqlite*"):
        old.unlink()
    yield from _rows("SQLite", f"sqlite:///{path}", rounds)
    with postgresql() as url:
        yield from _rows("PostgreSQL", url, rounds)


def _rows(name: str, url: str, rounds: int) -> Iterator[Row]:
    store = Store.open(url, clock=lambda: _NOW, migrating=True)
    try:
        _fill(store)
        features = [f"f{number}" for number in range(_FEATURES)]

        def series(unit: ReadUnit) -> object:
            return usage_series(unit, "c0", features, "day", _YEAR_AGO, _NOW)

        taken = _seconds(store, series, rounds) * 1e3
        yield Row(f"a year of {_FEATURES} series of a customer, {name}", taken, 50.0, "", "ms", most=True)
        by_order = {order: _seconds(store, partial(_first_page, order), rounds) for order in _ORDERS}
        text = ", ".join(f"{order} {seconds * 1e3:,.0f} ms" for order, seconds in by_order.items())
        what = f"insights over {_CUSTOMERS:,} customers, the slowest, {name}"
        yield Row(what, max(by_order.values()), 1.0, text, "s", most=True)
        what = f"allocation against use of a feature, {_CUSTOMERS:,} customers, {name}"
        yield Row(what, _seconds(store, _allocation, rounds), 1.0, "", "s", most=True)
    finally:
        store.close()


def _first_page(order: str, unit: ReadUnit) -> object:
    return customers_of_feature(unit, "f0", order, 0, 100)


def _allocation(unit: ReadUnit) -> object:
    return allocation(unit, WantedAllocation(feature="f0"), None, 1)


def _seconds(store: Store, ask: Callable[[ReadUnit], object], rounds: int) -> float:
    taken = []
    for _ in range(rounds):
        begun = time.perf_counter()
        store.read(ask)
        taken.append(time.perf_counter() - begun)
    return median(taken)


def _fill(store: Store) -> None:
    catalog = "apiVersion: tiergate/v1\nfeatures:\n" + "".join(
        f"  - {{id: f{number}, type: quantity, metered: {{reset: month}}}}\n" for number in range(_FEATURES)
    )
    put_in_force(store, catalog + "items:\n  - {id: pro, kind: plan, entitlements: {f0: 1000}}\n")
    store.change(lambda unit: Account.create(unit, Customer("c0")), SYSTEM)
    random_ = random.Random(1)
    customers = list(range(_CUSTOMERS))
    random_.shuffle(customers)  # rows are stored in the order in which customers happen to come
    months = range(month_of(_YEAR_AGO), month_of(_NOW) + 1)
    with store.database.writing() as session:
        connection = session.connection()
        for month in months[-2:]:
            _add_days(connection, random_, "f0", month, [f"c{number}" for number in customers])
        for number in range(_FEATURES):
            for month in months if number else months[:-2]:
                _add_days(connection, random_, f"f{number}", month, ["c0"])
        rows = [_account(f"c{number}", random_.randrange(1, 1_000)) for number in customers]
        for begin in range(0, len(rows), _BATCH):
            connection.execute(insert(USAGE_ACCOUNTS), rows[begin : begin + _BATCH])
            _subscribe(connection, customers[begin : begin + _BATCH])
        store.database.commit(session)
    if not store.database.is_sqlite:
        with store.database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("VACUUM ANALYZE")


def _subscribe(connection: Connection, customers: list[int]) -> None:
    dates = {"start": _YEAR_AGO, "created_at": _YEAR_AGO, "updated_at": _YEAR_AGO}
    held = {"place": 0, "item": "pro", "quantity": 1, "start": BEGINNING, "until": FOREVER}
    rows = [{"id": f"s{number}", "customer": f"c{number}", "status": "active", **dates} for number in customers]
    connection.execute(insert(SUBSCRIPTIONS), rows)
    connection.execute(insert(SUBSCRIPTION_ITEMS), [{"subscription": f"s{number}", **held} for number in customers])


def _add_days(connection: Connection, random_: random.Random, feature: str, month: int, customers: list[str]) -> None:
    for begin in range(0, len(customers), _BATCH):
        rows = [
            {
                "feature": feature,
                "month": month,
                "customer": customer,
                "units": _encode([int(random_.lognormvariate(5, 1)) for _ in range(28)]),
            }
            for customer in customers[begin : begin + _BATCH]
        ]
        connection.execute(insert(USAGE_DAYS), rows)


def _account(customer: str, booked: int) -> dict[str, object]:
    return {
        "customer": customer,
        "feature": "f0",
        "scope": "customer",
        "member": "",
        "start": parse_instant("2027-06-01"),
        "until": parse_instant("2027-07-01"),
        "booked": booked,
        "leased": 0,
        "leases": 0,
        "version": 1,
        "allowance": 1_000,
        "limit_units": 1_000,
        "drawn": None,
    }
