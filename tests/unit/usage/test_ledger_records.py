from __future__ import annotations

from tests.usage_ledgers import CALLS, NOW, USER, MemoryLedger, consumption
from tiergate.usage.accounts import AccountRecord
from tiergate.usage.idempotency import KeyRecord, key_of
from tiergate.usage.leases import LeaseRecord
from tiergate.usage.ledger_records import Booking, LedgerRecords, Needs, needs_of
from tiergate.usage.protocol import (
    Acquire,
    DirectDebit,
    Hello,
    HourlyUse,
    KeyedUse,
    Need,
    Read,
    Renew,
    Report,
    Request,
    Settle,
    Spend,
)


def test_changes_are_visible_in_their_transaction_and_go_with_it() -> None:
    """A rollback leaves what was committed."""
    records = LedgerRecords()
    records.load(accounts=[AccountRecord(CALLS, booked=5)], leases=[LeaseRecord("one", 1, CALLS, 3, NOW)])
    records.edit_account(CALLS).booked += 1
    lease = records.lease("one", 1)
    assert lease is not None
    records.delete_lease(lease)
    assert (records.account(CALLS).booked, records.lease("one", 1), records.leases_of("one")) == (6, None, [])
    records.rollback()
    assert (records.account(CALLS).booked, records.lease("one", 1)) == (5, lease)


def test_a_commit_returns_what_changed() -> None:
    """A deleted lease is among it; each account has a new version."""
    records = LedgerRecords()
    records.load(accounts=[AccountRecord(CALLS, version=3)], leases=[LeaseRecord("one", 1, CALLS, 3, NOW)])
    records.edit_account(CALLS)
    records.edit_account(CALLS).leases = 0
    records.delete_lease(records.leases_of("one")[0])
    records.set_key(KeyRecord(b"k", b"d", NOW))
    records.set_spent_of_grant(CALLS.in_window(7), "g", 2)
    records.add_booking(Booking(CALLS, NOW, 1))
    changes = records.commit()
    assert changes.accounts[CALLS].version == 4
    assert changes.leases == {("one", 1): None}
    assert changes.grants == {(CALLS, "g"): 2}
    assert not records.commit().bookings
    assert not list(records.leases())


def test_reading_an_unknown_account_does_not_make_one() -> None:
    """It has used nothing."""
    records = LedgerRecords()
    assert records.account(CALLS) == AccountRecord(CALLS)
    assert not list(records.accounts())


def test_leases_of_a_holder_are_in_order_with_those_of_the_transaction() -> None:
    """Of this holder only, after a number."""
    records = LedgerRecords()
    records.load(leases=[LeaseRecord(holder, number, CALLS, 1, NOW) for holder in ("one", "two") for number in (3, 1)])
    records.edit_lease(LeaseRecord("one", 2, CALLS, 1, NOW))
    assert [lease.number for lease in records.leases_of("one", after=1)] == [2, 3]


def test_old_keys_are_forgotten() -> None:
    """A ledger without a database does so by itself."""
    records = LedgerRecords()
    records.load(keys=[KeyRecord(b"old", b"", 1), KeyRecord(b"new", b"", 2)])
    records.forget_keys(before=2)
    assert records.key(b"old") is None
    assert records.key(b"new") is not None


def test_the_needs_of_a_request_name_all_that_it_reads() -> None:
    """So a store can load it before the ledger acts."""
    report = Report(1, 2, (HourlyUse(0, Spend(CALLS, 1, 4)),), (KeyedUse(b"key", b"d", NOW, (Spend(USER, 1),)),))
    other = CALLS.in_window(9)
    operations = (
        Acquire(NOW, (Need(USER, 1, 1),)),
        Renew(5),
        Settle(6, 0),
        DirectDebit(consumption(1, key="a", account=other)),
        DirectDebit(consumption(1)),
        Read((CALLS,)),
    )
    assert needs_of(Request("one", 1, b"", 2, operations, report)) == Needs(
        "one",
        frozenset({CALLS, USER, other}),
        frozenset({("one", 4), ("one", 5), ("one", 6)}),
        frozenset({b"key", key_of("test", "a")}),
        all_leases=False,
    )
    assert needs_of(Request("one", 1, b"", 1, (Hello(0, 0),))).all_leases


def test_a_ledger_reads_only_what_its_needs_name() -> None:
    """Records that were loaded by the needs are enough: the reply is the same as with all of them."""
    ledger = MemoryLedger()
    ledger.exchange(Request("one", 1, b"p", 1, (Hello(0, 0),)))
    ledger.exchange(Request("one", 1, b"p", 2, (Acquire(NOW, (Need(CALLS, 5, 5), Need(USER, 2, 2))),)))
    request = Request("one", 1, b"p", 3, (Settle(1, 3), Renew(2)), Report(1, 1, (HourlyUse(0, Spend(CALLS, 3, 1)),)))
    needs = needs_of(request)
    part = MemoryLedger()
    holder = ledger.records.holder("one")
    assert holder is not None
    leases = [lease for id_ in needs.leases if (lease := ledger.records.lease(*id_)) is not None]
    accounts = needs.accounts | {lease.account for lease in leases}
    part.records.load(
        holders=[holder], leases=leases, accounts=[ledger.records.account(account) for account in accounts]
    )
    assert part.exchange(request) == ledger.exchange(request)
