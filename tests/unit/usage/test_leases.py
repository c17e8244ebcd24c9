from __future__ import annotations

from itertools import product

import pytest

from tests.usage_ledgers import CALLS
from tiergate.usage.accounts import AMOUNT_MAX
from tiergate.usage.leases import (
    HELD_TRANSITIONS,
    LEASE_TRANSITIONS,
    HeldEvent,
    HeldLease,
    HeldState,
    LeaseEvent,
    LeaseRecord,
    LeaseState,
    lease_units,
    next_size,
)
from tiergate.usage.protocol import Need


def test_nothing_happens_to_a_settled_lease() -> None:
    """A lease gives its units back once."""
    assert not [event for event in LeaseEvent if (LeaseState.SETTLED, event) in LEASE_TRANSITIONS]
    assert not [event for event in HeldEvent if (HeldState.ENDED, event) in HELD_TRANSITIONS]


def test_every_lease_can_be_settled() -> None:
    """No state of a lease is a dead end."""
    assert all(
        (state, LeaseEvent.SETTLE) in LEASE_TRANSITIONS for state in LeaseState if state is not LeaseState.SETTLED
    )
    assert all((state, HeldEvent.END) in HELD_TRANSITIONS for state in HeldState if state is not HeldState.ENDED)


def test_nothing_is_spent_from_a_lease_that_is_closing() -> None:
    """Once the ledger may have been told, the units may be somebody else's."""
    allowed = [event for event in HeldEvent if (HeldState.CLOSING, event) in HELD_TRANSITIONS]
    assert allowed == [HeldEvent.END]


def test_only_a_holder_or_its_absence_from_the_journal_ends_a_lease() -> None:
    """Time does not: there is no event of expiry."""
    ending = {event for (_, event), state in LEASE_TRANSITIONS.items() if state is LeaseState.SETTLED}
    assert ending == {LeaseEvent.SETTLE, LeaseEvent.TAKE_BACK}


def test_a_lapsed_lease_is_one_that_expired_live() -> None:
    """What is written off is booked already."""
    lease = LeaseRecord("one", 1, CALLS, 5, expires=100)
    assert [lease.has_lapsed(now) for now in (99, 100)] == [False, True]
    lease.state = LeaseState.WRITTEN_OFF
    assert not lease.has_lapsed(100)


@pytest.mark.parametrize(("now", "spendable"), [(99, True), (100, False)])
@pytest.mark.parametrize("ends", ["expires", "until"])
def test_a_lease_is_spendable_until_it_expires_or_its_window_ends(ends: str, now: int, *, spendable: bool) -> None:
    """The end itself belongs to neither."""
    instants = {"expires": 1_000, "until": 1_000, ends: 100}
    assert HeldLease(1, CALLS, 5, instants["expires"], instants["until"]).is_spendable(now) is spendable


def test_leases_shrink_with_what_is_available() -> None:
    """A lease that nobody waits for is a small part of what is available, and nothing near zero."""
    sizes = [lease_units(Need(CALLS, 0, 1_000), available, 3, 8) for available in (32_000, 3_200, 320, 32, 31, 0)]
    assert sizes == [1_000, 100, 10, 1, 0, 0]


def test_consumptions_that_wait_get_all_that_is_left() -> None:
    """What is consumed at once does not stay in a lease."""
    assert lease_units(Need(CALLS, 1, 50, waiting=20), 100, 9, 8) == 20
    assert lease_units(Need(CALLS, 1, 50, waiting=20), 7, 9, 8) == 7


def test_a_lease_covers_the_need_and_no_more_than_an_amount() -> None:
    """Whatever is asked for."""
    for need, want, waiting, available in product((0, 3), (0, 10**18), (0, 2**61), (3, 2**62)):
        units = lease_units(Need(CALLS, need, want, waiting=waiting), available, 0, 8)
        assert need <= units <= min(available, AMOUNT_MAX)


def test_the_wanted_size_follows_the_rate() -> None:
    """It doubles while leases are used up early, and falls to what the horizon needs."""
    assert next_size(10, 1, since_ms=100, horizon_ms=500) == 20
    assert next_size(10, 1, since_ms=500, horizon_ms=500) == 10
    assert next_size(10, 1, since_ms=5_000, horizon_ms=500) == 1
    assert next_size(10, 40, since_ms=5_000, horizon_ms=500) == 40
