"""What a holder wants to lease: for consumptions that wait, and ahead of need where leases are used up fast.

How much follows from the rate of use: a lease should last for the horizon of the pace. The first lease has just the
units that are needed, so seldom used accounts have no units that wait.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from tiergate.usage.leases import next_size
from tiergate.usage.protocol import Acquire, Need

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tiergate.model import Instant
    from tiergate.usage.accounts import Account

SIZES_MAX = 100_000
"""The most accounts whose rate of use is kept."""

PREFETCH_SIZE = 8
"""Smaller leases are not fetched ahead of need: the rate of use is not yet known."""


class Size(NamedTuple):
    """How many units of an account were wanted the last time, and when."""

    units: int
    at: Instant


class Waiting(NamedTuple):
    """Consumptions that wait for units of the same accounts. `wants`: the sum of their needs."""

    at: Instant
    needs: tuple[Need, ...]
    wants: dict[Account, int]
    tickets: list[tuple[int, tuple[Need, ...]]]


class Demands:
    """The demands that the next request contains."""

    def __init__(self) -> None:
        self._ticket = 0
        self._waiting: dict[tuple[Account, ...], Waiting] = {}
        self._ahead: dict[Account, Instant] = {}
        self._sizes: dict[Account, Size] = {}
        self._looks: dict[Account, Instant] = {}

    def __bool__(self) -> bool:
        return bool(self._waiting or self._ahead or self._looks)

    def look(self, account: Account, at: Instant) -> None:
        """Want to know the figures of an account, and of which window an instant is; no units."""
        if len(self._looks) < SIZES_MAX:
            self._looks[account] = at

    def take_looks(self, most: int) -> list[Acquire]:
        """Take up to `most` questions about figures out: each leases nothing, and is refused for another window."""
        looks: list[Acquire] = []
        while self._looks and len(looks) < most:
            account, at = self._looks.popitem()
            looks.append(Acquire(at, (Need(account, 0, 0),)))
        return looks

    def add(self, needs: tuple[Need, ...], at: Instant) -> int:
        """Add a consumption of an instant that waits; return its ticket."""
        self._ticket += 1
        self._add(self._ticket, needs, at)
        return self._ticket

    def add_ahead(self, account: Account, left: int, now: Instant) -> None:
        """Want more units of an account, if the rest of its leases does not last."""
        size = self._sizes.get(account)
        if size is not None and size.units >= PREFETCH_SIZE and 4 * left < size.units:
            self._ahead[account] = now

    def note_granted(self, account: Account, units: int) -> None:
        """Note how many units were leased, 0 or more: the next lease is at most twice as large."""
        size = self._sizes.get(account)
        if size is not None:
            self._sizes[account] = Size(min(size.units, units), size.at)

    def put_back(self, waiting: Iterable[Waiting]) -> None:
        """Add the demands of a request that did not take effect again."""
        for demand in waiting:
            for ticket, needs in demand.tickets:
                self._add(ticket, needs, demand.at)

    def take(
        self, held_of: Callable[[Account], int], now: Instant, most: int, horizon_ms: int
    ) -> list[tuple[Acquire, Waiting | None]]:
        """Take up to `most` demands out.

        `held_of`: units of leases that are neither spent nor given back. `horizon_ms`: how long a lease should last.
        """
        taken: list[tuple[Acquire, Waiting | None]] = []
        accounts: set[Account] = set()
        while self._waiting and len(taken) < most:
            waiting = self._waiting.pop(next(iter(self._waiting)))
            sized = [self._need(need, waiting.wants[need.account], held_of, now, horizon_ms) for need in waiting.needs]
            taken.append((Acquire(waiting.at, tuple(sized)), waiting))
            accounts.update(need.account for need in sized)
        while self._ahead and len(taken) < most:
            account, at = self._ahead.popitem()
            if account not in accounts:
                need = self._need(Need(account, 0, 0), 0, held_of, now, horizon_ms)
                taken.append((Acquire(at, (need,)), None))
        return taken

    def _add(self, ticket: int, needs: tuple[Need, ...], at: Instant) -> None:
        accounts = tuple(need.account for need in needs)
        waiting = self._waiting.get(accounts)
        if waiting is None:
            waiting = self._waiting[accounts] = Waiting(at, needs, {}, [])
        for need in needs:
            waiting.wants[need.account] = waiting.wants.get(need.account, 0) + need.need
        waiting.tickets.append((ticket, needs))

    def _need(self, need: Need, waiting: int, held_of: Callable[[Account], int], now: Instant, horizon_ms: int) -> Need:
        account = need.account
        last = self._sizes.pop(account, None)
        size = waiting if last is None else next_size(last.units, waiting, max(1, now - last.at), horizon_ms)
        self._sizes[account] = Size(size, now)
        if len(self._sizes) > SIZES_MAX:
            del self._sizes[next(iter(self._sizes))]
        return Need(account, need.need, size, held_of(account), waiting)
