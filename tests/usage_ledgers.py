"""A ledger in memory, and holders of leases beside it, for tests: no network and no disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tiergate.model import BEGINNING, FOREVER, Interval
from tiergate.usage.accounts import Account, Bound, Consumption, Debit, Scope
from tiergate.usage.holder import DEFAULT_LIMITS, Holder, Short, Spent
from tiergate.usage.holder_state import HolderState
from tiergate.usage.idempotency import digest_of, key_of
from tiergate.usage.leases import DEFAULT_PACE, DEFAULT_TERMS
from tiergate.usage.ledger import Ledger
from tiergate.usage.ledger_records import LedgerRecords

if TYPE_CHECKING:
    from tiergate.usage.exchanges import Received
    from tiergate.usage.holder import HolderLimits
    from tiergate.usage.journal_records import JournalRecord
    from tiergate.usage.leases import LeaseTerms, Pace
    from tiergate.usage.protocol import Refused, Reply, Request

NOW = 1_000_000
CALLS = Account("calls", Scope.CUSTOMER, "acme", "", BEGINNING)
USER = Account("calls", Scope.USER, "acme", "alice", BEGINNING)
ALWAYS = Interval(BEGINNING, FOREVER)


def consumption(
    *amounts: int | Debit, key: str = "", content: bytes = b"first", at: int = NOW, account: Account = CALLS
) -> Consumption:
    """Make a consumption; an amount is one of `account`."""
    debits = tuple(amount if isinstance(amount, Debit) else Debit(account, amount) for amount in amounts)
    return Consumption(key_of("test", key) if key else b"", digest_of(content) if key else b"", at, debits)


class MemoryLedger:
    """A ledger in memory. `bounds`: of each account; 100 units for those that have none."""

    def __init__(self, terms: LeaseTerms = DEFAULT_TERMS) -> None:
        self.records = LedgerRecords()
        self.bounds: dict[Account, Bound | None] = {}
        self.now = NOW
        self.terms = terms

    @property
    def open(self) -> Ledger:
        """The ledger in a transaction; `commit` ends it."""
        return Ledger(self.records, self._bound_of, self.now, self.terms)

    def exchange(self, request: Request) -> Reply:
        """Act on a request in a transaction of its own."""
        reply = self.open.exchange(request)
        self.records.commit()
        return reply

    def booked(self, account: Account = CALLS) -> int:
        """Return the units booked on an account."""
        return self.records.account(account).booked

    def leased(self, account: Account = CALLS) -> int:
        """Return the units leased of an account."""
        return self.records.account(account).leased

    def _bound_of(self, account: Account, at: int) -> Bound | None:
        bound = self.bounds[account] if account in self.bounds else Bound(ALWAYS, 100)
        if bound is None or bound.window.contains(at):
            return bound
        length = bound.window.until - bound.window.start
        start = bound.window.start + (at - bound.window.start) // length * length
        return Bound(Interval(start, start + length), bound.allowance, bound.overage_max, late_ms=bound.late_ms)


class MemoryHolder:
    """A holder with a journal in memory."""

    def __init__(
        self,
        ledger: MemoryLedger,
        identity: str = "one",
        *,
        limits: HolderLimits = DEFAULT_LIMITS,
        pace: Pace = DEFAULT_PACE,
        instance: bytes = b"process",
    ) -> None:
        """It has greeted the ledger."""
        self.ledger = ledger
        self.journal: list[JournalRecord] = []
        self.holder = Holder(identity, instance, limits, pace)
        self.journal.append(self.holder.start(ledger.now))
        self.exchange()

    def exchange(self) -> Received | None:
        """Exchange one request and its reply; none if there is nothing to say."""
        outgoing = self.holder.next_request(self.ledger.now)
        if outgoing is None:
            return None
        self.journal.extend(outgoing.records)
        return self.receive(self.ledger.exchange(outgoing.request))

    def receive(self, reply: Reply) -> Received:
        """Act on a reply."""
        received = self.holder.receive(reply, self.ledger.now)
        self.journal.extend(received.records)
        return received

    def consume(self, *amounts: int | Debit, key: str = "", content: bytes = b"first", at: int = NOW) -> Refused | None:
        """Consume, with as many exchanges as it takes; return the refusal, if it is refused."""
        wanted = consumption(*amounts, key=key, content=content, at=at)
        for _ in range(5):
            outcome = self.holder.consume(wanted, b"answer", self.ledger.now)
            if isinstance(outcome, Spent):
                self.journal.append(outcome.record)
                return None
            assert isinstance(outcome, Short)
            ticket = self.holder.demand(outcome.needs, at)
            received = self.exchange()
            assert received is not None
            refused = received.tickets[ticket]
            if refused is not None:
                return refused
        raise AssertionError("still short of units")

    def lease(self, units: int, account: Account = CALLS, at: int = NOW) -> Refused | None:
        """Lease exactly so many units of an account."""
        wanted = consumption(units, account=account, at=at)
        outcome = self.holder.consume(wanted, b"", self.ledger.now)
        assert isinstance(outcome, Short)
        ticket = self.holder.demand(outcome.needs, at)
        received = self.exchange()
        assert received is not None
        return received.tickets[ticket]

    def settle(self) -> None:
        """Exchange until nothing is leased."""
        for _ in range(10):
            self.exchange()
            if not self.holder.state.leases and not self.holder.state.pending:
                return
            self.ledger.now += 2_000
        raise AssertionError("leases do not end")

    def crash(self, kept: int) -> None:
        """Start again with the first records of the journal."""
        del self.journal[kept:]
        self.holder = Holder(self.holder.identity, b"next process")
        for record in self.journal:
            self.holder.apply(record)
        self.journal.append(self.holder.start(self.ledger.now))

    def replayed(self) -> HolderState:
        """Return the state that the journal gives."""
        state = HolderState()
        for record in self.journal:
            state.apply(record)
        return state
