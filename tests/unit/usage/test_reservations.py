from __future__ import annotations

import pytest

from tests.usage_ledgers import CALLS, NOW, MemoryHolder, MemoryLedger, consumption
from tiergate.usage.accounts import Debit
from tiergate.usage.holder import Conflicting, NotReserved, Repeated, SetAside, Short, Spent, TooMuch
from tiergate.usage.journal_records import Released
from tiergate.usage.protocol import Spend
from tiergate.usage.reservations import RESERVATION_TRANSITIONS, ReservationEvent, ReservationState


@pytest.fixture
def one() -> MemoryHolder:
    """A holder that has a lease of 10 units and reserved 6 of them."""
    one = MemoryHolder(MemoryLedger())
    assert one.lease(10) is None
    outcome = one.holder.reserve("r", consumption(6), b"", NOW + 60_000, NOW)
    assert isinstance(outcome, SetAside)
    one.journal.append(outcome.record)
    return one


def test_a_reservation_ends_once() -> None:
    """Nothing happens to one that has ended."""
    assert {state for state, _ in RESERVATION_TRANSITIONS} == {ReservationState.OPEN}
    assert {event for _, event in RESERVATION_TRANSITIONS} == set(ReservationEvent)


def test_reserved_units_cannot_be_spent(one: MemoryHolder) -> None:
    """They are set aside: 4 of 10 are left."""
    assert isinstance(one.holder.consume(consumption(5), b"", NOW), Short)
    assert isinstance(one.holder.consume(consumption(4), b"", NOW), Spent)


def test_a_part_is_committed_and_the_rest_goes_back(one: MemoryHolder) -> None:
    """After a commit of 2 of 6, 8 of 10 units are left."""
    outcome = one.holder.commit("r", (Debit(CALLS, 2),), b"d", b"a", NOW + 5)
    assert isinstance(outcome, Spent)
    assert outcome.record.spends == (Spend(CALLS, 2, 1),)
    assert outcome.record.at == NOW
    assert one.holder.usage_of(CALLS)[1:] == (2, 8, 0)


def test_all_of_a_reservation_is_committed(one: MemoryHolder) -> None:
    """If no part is named."""
    assert isinstance(one.holder.commit("r", None, b"d", b"a", NOW), Spent)
    one.settle()
    assert (one.ledger.booked(), one.ledger.leased()) == (6, 0)


def test_more_than_is_reserved_cannot_be_committed(one: MemoryHolder) -> None:
    """Neither more units, nor other accounts."""
    assert one.holder.commit("r", (Debit(CALLS, 7),), b"d", b"", NOW) == TooMuch()
    other = CALLS.in_window(5)
    assert one.holder.commit("r", (Debit(other, 1),), b"d", b"", NOW) == TooMuch()
    assert one.holder.usage_of(CALLS).reserved == 6


def test_a_repeated_commit_gets_the_first_answer(one: MemoryHolder) -> None:
    """It counts once; a commit of something else is refused."""
    assert isinstance(one.holder.commit("r", None, b"d", b"first", NOW), Spent)
    assert one.holder.commit("r", None, b"d", b"second", NOW) == Repeated(b"first")
    assert one.holder.commit("r", None, b"other", b"", NOW) == Conflicting()
    assert one.holder.usage_of(CALLS).unreported == 6


def test_a_released_reservation_gives_its_units_back(one: MemoryHolder) -> None:
    """It cannot be committed any more."""
    assert one.holder.release("r", NOW) == Released("r", NOW)
    assert one.holder.usage_of(CALLS)[1:] == (0, 10, 0)
    assert one.holder.commit("r", None, b"d", b"", NOW) == NotReserved(ReservationState.RELEASED)
    assert one.holder.release("r", NOW) == NotReserved(ReservationState.RELEASED)


def test_a_reservation_expires(one: MemoryHolder) -> None:
    """From its end on it cannot be committed, also before its units went back."""
    over = NOW + 60_000
    assert one.holder.commit("r", None, b"d", b"", over) == NotReserved(ReservationState.EXPIRED)
    assert one.holder.expire(over - 1) == []
    assert one.holder.expire(over) == [Released("r", over, expired=True)]
    assert one.holder.usage_of(CALLS).reserved == 0


def test_an_unknown_reservation_is_not_committed(one: MemoryHolder) -> None:
    """Its answer differs from that to one that has ended."""
    assert one.holder.commit("x", None, b"d", b"", NOW) == NotReserved(None)


def test_a_lease_waits_for_its_reservations(one: MemoryHolder) -> None:
    """It is renewed, not settled, though it is idle for long; a commit still succeeds then."""
    for _ in range(8):
        one.ledger.now += 4_000
        one.exchange()
    assert one.ledger.leased() == 10
    assert isinstance(one.holder.commit("r", None, b"d", b"", one.ledger.now), Spent)
    one.settle()
    assert (one.ledger.booked(), one.ledger.leased()) == (6, 0)


def test_a_reservation_survives_a_crash(one: MemoryHolder) -> None:
    """Its record is in the journal."""
    one.crash(len(one.journal))
    assert one.holder.usage_of(CALLS).reserved == 6
    assert isinstance(one.holder.commit("r", None, b"d", b"", NOW), Spent)
