from __future__ import annotations

import pytest

from tests.usage_ledgers import CALLS, NOW, USER, MemoryHolder, MemoryLedger, consumption
from tiergate.usage.accounts import Debit
from tiergate.usage.holder import SetAside
from tiergate.usage.holder_state import HolderState
from tiergate.usage.idempotency import KEY_TTL_MS
from tiergate.usage.journal_records import (
    BookedThrough,
    Consumed,
    JournalRecord,
    LeaseRenewed,
    LeasesClosing,
    LeasesEnded,
    LeasesGranted,
    Released,
    Reserved,
    Snapshot,
    Started,
    decode_record,
    encode_record,
)
from tiergate.usage.leases import HeldLease, HeldState
from tiergate.usage.protocol import Spend
from tiergate.usage.reservations import ReservationState

LEASE = HeldLease(1, CALLS, 10, NOW + 10_000, NOW + 50_000)
HISTORY: list[JournalRecord] = [
    Started(1),
    LeasesGranted((LEASE, HeldLease(2, USER, 5, NOW + 10_000, NOW + 50_000))),
    Consumed(1, NOW, (Spend(CALLS, 3, 1), Spend(USER, 3, 2)), b"key", b"digest", b"answer", NOW),
    Reserved("r", NOW, NOW + 500, (Spend(CALLS, 4, 1),), b"other", b"digest", b"", NOW),
    Consumed(2, NOW, (Spend(CALLS, 1, 1),), b"", b"d", b"a", NOW, "r"),
    Reserved("s", NOW, NOW + 500, (Spend(CALLS, 2, 1),)),
    LeaseRenewed(1, NOW + 20_000),
    BookedThrough(1),
    Released("s", NOW + 500, expired=True),
    LeasesClosing((2,)),
    LeasesEnded((2,)),
    Consumed(3, NOW, (Spend(CALLS, 7),)),
]


def state_of(records: list[JournalRecord]) -> HolderState:
    """Return the state that records give."""
    state = HolderState()
    for record in records:
        state.apply(record)
    return state


def test_the_records_give_the_state() -> None:
    """Each transition is one record."""
    state = state_of(HISTORY)
    assert (state.epoch, state.last_number, state.booked_through, state.last_lease) == (1, 3, 1, 2)
    (lease,) = state.leases.values()
    assert (lease.spent, lease.reserved, lease.left, lease.expires) == (4, 0, 6, NOW + 20_000)
    assert [record.number for record in state.pending] == [2, 3]
    assert state.unreported == {CALLS: 8}
    assert [kept.state for kept in state.reservations.values()] == [
        ReservationState.COMMITTED,
        ReservationState.EXPIRED,
    ]


@pytest.mark.parametrize("place", range(len(HISTORY) + 1))
def test_a_snapshot_stands_for_the_records_before_it(place: int) -> None:
    """At every place, also when it is written and read."""
    snapshot = decode_record(encode_record(state_of(HISTORY[:place]).snapshot()))
    assert isinstance(snapshot, Snapshot)
    assert state_of([snapshot, *HISTORY[place:]]).snapshot() == state_of(HISTORY).snapshot()


def test_a_snapshot_does_not_change_with_the_state() -> None:
    """It may be written later."""
    state = state_of(HISTORY[:2])
    snapshot = state.snapshot()
    state.apply(HISTORY[2])
    assert state_of([snapshot]).leases[1].spent == 0


@pytest.mark.parametrize("record", HISTORY, ids=lambda record: type(record).__name__)
def test_a_record_is_the_same_after_encoding(record: JournalRecord) -> None:
    """Every kind of it."""
    assert decode_record(encode_record(record)) == record


def test_reading_records_does_not_change_them() -> None:
    """A lease in a record is a value."""
    state_of(HISTORY)
    assert (LEASE.spent, LEASE.state) == (0, HeldState.OPEN)


@pytest.mark.parametrize(
    "record",
    [
        Consumed(5, NOW, (Spend(CALLS, 1),)),
        Consumed(3, NOW, (Spend(CALLS, 1),)),
        Released("unknown", NOW),
        Consumed(4, NOW, (), reservation="unknown"),
    ],
)
def test_a_record_that_does_not_follow_is_an_error(record: JournalRecord) -> None:
    """A journal with a hole is not read on."""
    with pytest.raises(ValueError, match=r"\w"):
        state_of([*HISTORY, record])


def test_a_lease_with_reserved_units_is_not_closed() -> None:
    """Its units could be given back and committed."""
    with pytest.raises(ValueError, match="reserved"):
        state_of([*HISTORY[:4], LeasesClosing((1,))])


def test_pruning_forgets_what_nobody_asks_for_any_more() -> None:
    """Keys and ended reservations after a day; an open reservation stays."""
    state = state_of([*HISTORY, Reserved("open", NOW, NOW + 10**9, ())])
    state.prune(NOW + KEY_TTL_MS + 1_000)
    assert len(state.keys) == 0
    assert list(state.reservations) == ["open"]


def test_ended_reservations_are_forgotten_first_if_there_are_too_many() -> None:
    """Open ones are never."""
    state = HolderState(reservations_max=2)
    for id_ in ("a", "b"):
        state.apply(Reserved(id_, NOW, NOW + 500, ()))
    state.apply(Released("b", NOW))
    state.apply(Reserved("c", NOW, NOW + 500, ()))
    assert list(state.reservations) == ["a", "c"]
    assert state.open_reservations == 2


def test_the_journal_of_a_holder_gives_its_state() -> None:
    """After leases, consumptions with and without keys, reservations and a crash."""
    one = MemoryHolder(MemoryLedger())
    one.consume(3, Debit(USER, 3), key="k")
    one.consume(7)
    assert one.lease(9) is None
    outcome = one.holder.reserve("r", consumption(5), b"", NOW + 1_000, NOW)
    assert isinstance(outcome, SetAside)
    one.journal.append(outcome.record)
    one.crash(len(one.journal))
    one.exchange()
    one.consume(4)
    assert one.replayed().snapshot() == one.holder.snapshot(NOW)
