"""The accounts that kept answers rest on, and until when what is known about them is recent enough.

Answers are kept as long as the usage does not move. What others use moves it unseen, so the ledger must be asked again
after a while, but only for what is still asked for: when an account is due, its answers are forgotten, and whoever asks
the next time has it watched again. No clock of its own; not for several threads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from tiergate.model import Instant
    from tiergate.usage.accounts import Account

SLOT_MS: Final = 1_000
"""Accounts fall due together within so many milliseconds."""


class WatchedAccounts:
    """Accounts by the time at which they fall due."""

    def __init__(self) -> None:
        self._accounts: set[Account] = set()
        self._slots: dict[int, list[Account]] = {}
        self._latest: Instant = 0

    def __len__(self) -> int:
        return len(self._accounts)

    def watch(self, account: Account, due: Instant) -> None:
        """Watch an account until an instant; one that is watched already falls due as it did."""
        if account not in self._accounts:
            self._accounts.add(account)
            self._slots.setdefault(due // SLOT_MS, []).append(account)

    def take_due(self, now: Instant) -> list[Account]:
        """Take the accounts out that are due. If the clock went back, all of them are."""
        slot = now // SLOT_MS
        went_back = now < self._latest
        self._latest = now
        due = []
        for at in list(self._slots):
            if at <= slot or went_back:
                due.extend(self._slots.pop(at))
        self._accounts.difference_update(due)
        return due
