"""What is deleted of usage, and what stays, on either database."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.unit.store.usage_model import DIGEST, rows
from tests.usage_bounds import PlainBounds, customer_account, debits
from tiergate.model import parse_instant
from tiergate.store import SYSTEM
from tiergate.store.tables import USAGE_ACCOUNTS, USAGE_GRANTS, USAGE_HOLDERS, USAGE_KEYS, USAGE_WINDOWS
from tiergate.store.usage_grants import give_grant
from tiergate.store.usage_ledger import UsageLedger
from tiergate.store.usage_retention import HOLDER_MS, drop_grants, drop_holders, drop_keys, drop_windows
from tiergate.usage.accounts import Consumption
from tiergate.usage.idempotency import KEY_TTL_MS
from tiergate.usage.pools import Grant
from tiergate.usage.protocol import Acquire, Hello, Need, Request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.unit.store.clocks import Time
    from tiergate.model import Instant
    from tiergate.store import Store, WriteUnit

NOVEMBER, DECEMBER, JANUARY = (parse_instant(day) for day in ("2023-11-01", "2023-12-01", "2024-01-01"))


@pytest.fixture
def ledger(store: Store) -> Iterator[UsageLedger]:
    """The ledger of the store."""
    opened = UsageLedger(store, PlainBounds())
    yield opened
    opened.close()


def drop(store: Store, what: Callable[[WriteUnit, Instant], int], before: Instant) -> int:
    """Delete all that can be, and return how many rows."""
    total = 0
    while count := store.change(lambda unit: what(unit, before), SYSTEM):
        total += count
    return total


def test_windows_are_kept_until_they_are_too_old(store: Store, ledger: UsageLedger, time: Time) -> None:
    """The last window of an account too, if nothing was used since."""
    for window, now in ((NOVEMBER, time.now), (DECEMBER, DECEMBER), (JANUARY, JANUARY)):
        time.now = now
        ledger.debit(Consumption(b"", DIGEST, now, debits(customer_account(window))))
        if window == NOVEMBER:
            ledger.debit(Consumption(b"", DIGEST, now, debits(customer_account(window, customer="gone"))))
    assert drop(store, drop_windows, DECEMBER) == 0
    assert drop(store, drop_windows, DECEMBER + 1) == 2
    assert [row["start"] for row in rows(store, USAGE_WINDOWS)] == [DECEMBER]
    assert [row["customer"] for row in rows(store, USAGE_ACCOUNTS)] == ["acme"]


def test_a_window_with_leases_stays(store: Store, ledger: UsageLedger, time: Time) -> None:
    """Its holder may still report; the holder stays as well."""
    ledger.exchange(Request("holder", 1, b"i", 1, (Hello(0, 0),)))
    account = customer_account(NOVEMBER)
    ledger.exchange(Request("holder", 1, b"i", 2, (Acquire(time.now, (Need(account, 1, 1),)),)))
    ledger.exchange(Request("idle", 1, b"i", 1, (Hello(0, 0),)))
    time.now += HOLDER_MS + 1
    assert drop(store, drop_windows, time.now) == 0
    assert drop(store, drop_holders, time.now) == 1
    assert [row["holder"] for row in rows(store, USAGE_HOLDERS)] == ["holder"]


def test_keys_are_kept_for_their_time(store: Store, ledger: UsageLedger, time: Time) -> None:
    """And no longer."""
    ledger.debit(Consumption(b"key", DIGEST, time.now, debits(customer_account(NOVEMBER))))
    assert drop(store, drop_keys, time.now + KEY_TTL_MS - 1) == 0
    assert drop(store, drop_keys, time.now + KEY_TTL_MS) == 1
    assert rows(store, USAGE_KEYS) == []


def test_ended_grants_are_kept_until_they_are_too_old(store: Store) -> None:
    """Those that do not end stay."""
    for grant in (Grant("ended", 1, until=NOVEMBER), Grant("ends", 1, until=DECEMBER), Grant("stays", 1)):
        store.change(lambda unit, grant=grant: give_grant(unit, "acme", "calls", grant), SYSTEM)  # type: ignore[misc]
    assert drop(store, drop_grants, DECEMBER) == 1
    assert [row["id"] for row in rows(store, USAGE_GRANTS)] == ["ends", "stays"]
