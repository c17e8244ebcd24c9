"""Many holders that consume one customer's units at once, each at its own rate, with the delays of a real network.

Nothing fails here: it shows how leases are sized. Time is simulated, so it does not depend on the machine.
"""

from __future__ import annotations

from heapq import heappop, heappush
from itertools import count
from random import Random
from typing import TYPE_CHECKING, NamedTuple

from tiergate.model import BEGINNING, FOREVER, Interval
from tiergate.usage.accounts import Account, Bound, Consumption, Debit, Scope
from tiergate.usage.holder import Holder, Short, Spent
from tiergate.usage.ledger import Ledger
from tiergate.usage.ledger_records import LedgerRecords
from tiergate.usage.protocol import Reason, Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

ACCOUNT = Account("calls", Scope.CUSTOMER, "c", "", BEGINNING)


class Outcome(NamedTuple):
    """`used`: units consumed before the first refusal. `sold`: in the end. `exchanges`: with the ledger, until then."""

    used: int
    sold: int
    exchanges: int


class Crowd:
    """Holders of one customer. `rates`: consumptions a second of each; 0 for a holder that stopped."""

    def __init__(self, limit: int, rates: Sequence[float], *, waits: bool, seed: int = 1, delay_ms: int = 3) -> None:
        """`waits`: whether a consumption waits for units that others hold before it is refused.

        `delay_ms`: how long a message is on its way.
        """
        self._delay_ms = delay_ms
        self._random = Random(seed)
        self._limit = limit
        self._bound = Bound(Interval(BEGINNING, FOREVER), limit)
        self._records = LedgerRecords()
        self._holders = [Holder(f"n{index}", b"") for index in range(len(rates))]
        self.rates = list(rates)
        self._waits = waits
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()
        self._callers: list[dict[int, float]] = [{} for _ in rates]
        self.now = 1_000.0
        self.sold = self.exchanges = 0
        self.used = -1
        for index, holder in enumerate(self._holders):
            holder.start(int(self.now))
            self._at(self._random.random() * 20, lambda index=index: self._arrive(index))  # type: ignore[misc]
            self._at(0, lambda index=index: self._look(index))  # type: ignore[misc]

    def run(self, until_ms: float) -> Outcome:
        """Run until an instant, or until somebody was refused and the last unit is sold."""
        while self._events[0][0] <= until_ms and (self.used < 0 or self.sold < self._limit):
            self.now, _, act = heappop(self._events)
            act()
        return Outcome(self.sold if self.used < 0 else self.used, self.sold, self.exchanges)

    def _at(self, delay_ms: float, act: Callable[[], None]) -> None:
        heappush(self._events, (self.now + delay_ms, next(self._order), act))

    def _arrive(self, index: int) -> None:
        if self.rates[index]:
            self._consume(index, self.now)
            self._at(self._random.expovariate(self.rates[index] / 1_000), lambda: self._arrive(index))
        else:
            self._at(50, lambda: self._arrive(index))

    def _consume(self, index: int, since: float) -> None:
        holder, now = self._holders[index], int(self.now)
        outcome = holder.consume(Consumption(b"", b"", now, (Debit(ACCOUNT, 1),)), b"", now)
        if isinstance(outcome, Spent):
            self.sold += 1
        elif isinstance(outcome, Short):
            self._callers[index][holder.demand(outcome.needs, now)] = since
        self._exchange(index)

    def _look(self, index: int) -> None:
        self._exchange(index)
        self._at(50, lambda: self._look(index))

    def _exchange(self, index: int) -> None:
        holder, now = self._holders[index], int(self.now)
        if holder.due(now) > now:
            return
        outgoing = holder.next_request(now)
        if outgoing is not None:
            self._at(self._delay_ms, lambda: self._serve(index))

    def _serve(self, index: int) -> None:
        outgoing = self._holders[index].next_request(int(self.now))  # the one in flight
        assert outgoing is not None
        self.exchanges += self.used < 0
        reply = Ledger(self._records, lambda _account, _at: self._bound, int(self.now)).exchange(outgoing.request)
        self._records.commit()
        self._at(
            self._delay_ms, lambda: self._answer(index, self._holders[index].receive(reply, int(self.now)).tickets)
        )

    def _answer(self, index: int, tickets: dict[int, Refused | None]) -> None:
        for ticket, refused in tickets.items():
            since = self._callers[index].pop(ticket)
            if refused is None:
                self._consume(index, since)
            elif (
                self._waits and refused.reason is Reason.LEASED_ELSEWHERE and self.now < since + refused.retry_after_ms
            ):
                self._at(50, lambda since=since: self._consume(index, since))  # type: ignore[misc]
            elif self.used < 0:
                self.used = self.sold
        self._exchange(index)
