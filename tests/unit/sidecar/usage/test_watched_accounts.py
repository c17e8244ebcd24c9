from __future__ import annotations

from tests.usage_ledgers import CALLS, USER
from tiergate.sidecar.usage.watched_accounts import WatchedAccounts


def test_an_account_falls_due_once() -> None:
    """Within a second of the instant that it was watched until first."""
    watched = WatchedAccounts()
    watched.watch(CALLS, 6_400)
    watched.watch(CALLS, 9_000)
    assert watched.take_due(5_900) == []
    assert watched.take_due(6_500) == [CALLS]
    assert watched.take_due(20_000) == []
    assert len(watched) == 0


def test_each_has_its_own_time() -> None:
    """Whatever the order in which they were watched."""
    watched = WatchedAccounts()
    watched.watch(USER, 8_000)
    watched.watch(CALLS, 6_000)
    assert watched.take_due(7_000) == [CALLS]
    assert watched.take_due(8_000) == [USER]


def test_a_clock_that_goes_back_keeps_nothing_too_long() -> None:
    """Everything is due."""
    watched = WatchedAccounts()
    watched.take_due(100_000)
    watched.watch(CALLS, 105_000)
    assert watched.take_due(40_000) == [CALLS]
