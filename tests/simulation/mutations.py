"""The protocol, broken on purpose: the simulator must find each of these.

A mutation replaces one method. It is what somebody might write who overlooks one rule.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from unittest import mock

from msgspec.structs import replace

from tests.simulation.nodes import Node
from tiergate.usage.accounts import SUM_MAX, Scope
from tiergate.usage.exchanges import Exchanges
from tiergate.usage.holder_state import HolderState
from tiergate.usage.leases import LeaseEvent
from tiergate.usage.ledger import Ledger
from tiergate.usage.ledger_records import LedgerRecords
from tiergate.usage.protocol import Greeted
from tiergate.usage.reservations import Reservation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.simulation.oracle import Attempt
    from tiergate.usage import exchanges
    from tiergate.usage.accounts import AccountRecord, Bound
    from tiergate.usage.journal_records import JournalRecord, Reserved
    from tiergate.usage.leases import LeaseRecord
    from tiergate.usage.ledger_records import HolderRecord
    from tiergate.usage.protocol import Fault, Hello, Reply, Request, Result

exchange = Ledger.exchange
fault = Ledger._fault
available = Ledger._available
records_of = Exchanges._records_of
receive = Exchanges.receive
next_request = Exchanges.next_request
record = Node.record
end = Ledger._end


def _return_expired_units(self: Ledger, request: Request) -> Reply:
    """An expired lease is given back, though its holder has not reported."""
    for lease in list(self._records.leases()):
        if lease.has_lapsed(self._now) and self._records.lease(lease.holder, lease.number):
            self._end(lease, LeaseEvent.TAKE_BACK)
    return exchange(self, request)


def _act_on_repeated_requests(self: Ledger, request: Request) -> Reply:
    """A request that comes twice takes effect twice."""
    known = self._records.holder(request.holder)
    if known is not None and (known.epoch, known.sequence) == (request.epoch, request.sequence) and request.report:
        known = replace(known, sequence=request.sequence - 1, booked_through=request.report.first - 1)
        self._records.set_holder(known)
    return exchange(self, request)


def _accept_old_epochs(request: Request, known: HolderRecord | None) -> Fault | None:
    """A request of an earlier process takes effect."""
    if known is not None and request.epoch < known.epoch and request.report is None:
        return None
    return fault(request, known)


def _forget_keys(self: LedgerRecords, key: bytes) -> None:
    """The ledger does not know keys that other sidecars reported."""


def _keep_unknown_leases(self: Ledger, holder: str, hello: Hello) -> Greeted:
    """A lease that a crashed holder never got to know stays."""
    return Greeted(max(self._holder(holder).booked_through, hello.booked_through), hello.last_lease)


def _check_one_account(self: Ledger, record: AccountRecord, bound: Bound) -> int:
    """Only the customer's limit is checked, not a user's or everybody's."""
    return available(self, record, bound) if record.account.scope is Scope.CUSTOMER else SUM_MAX


def _give_back_spent_units(self: Ledger, lease: LeaseRecord, event: LeaseEvent) -> None:
    """A settled lease gives back a unit that was spent."""
    account = self._records.edit_account(lease.account)
    account.booked, account.leased = account.booked - min(1, lease.spent), account.leased + min(1, lease.spent)
    lease = self._records.edit_lease(lease)
    lease.spent -= min(1, lease.spent)
    end(self, lease, event)


def _ignore_what_was_booked(self: Exchanges, result: Result, sent_at: int) -> Any:  # noqa: ANN401
    """After a crash, the holder reports again what the ledger has booked."""
    if isinstance(result, Greeted):
        self.has_greeted = True
        return ()
    return records_of(self, result, sent_at)


def _take_replies_twice(self: Exchanges, reply: Reply, now: int) -> exchanges.Received:
    """A reply that comes twice changes the holder twice."""
    outgoing = self._in_flight
    received = receive(self, reply, now)
    if received.records and outgoing is not None and reply.sequence % 2:
        for again in received.records:
            self._state.leases.clear()
            self._state.leases_of.clear()
            self._state.apply(again)
    return received


def _answer_at_once(self: Node, attempt: Attempt, entry: JournalRecord) -> None:
    """A caller is answered before the record is durable."""
    record(self, attempt, entry)
    self._world.oracle.acknowledge(attempt)


def _send_at_once(self: Node) -> None:
    """A request is sent before the records are durable."""
    outgoing = self._holder.next_request(self.clock)
    if outgoing is not None:
        self._write(*outgoing.records)
        self._world.send(self.index, outgoing.request)


def _repeat_records(self: Exchanges, now: int) -> exchanges.Outgoing | None:
    """The records of a request are appended each time it is sent."""
    return next_request(self, now) if self._in_flight is None else self._in_flight


def _reserve_nothing(self: HolderState, entry: Reserved) -> None:
    """A reservation is noted, but its units can be spent."""
    self.reservations[entry.id] = Reservation(entry.id, entry.at, entry.expires, entry.spends)
    for spend in entry.spends:
        lease = self.leases.get(spend.lease)
        if lease is not None:
            lease.reserved += 0


MUTATIONS: dict[str, tuple[type, str, Callable[..., Any]]] = {
    "expired leases are given back": (Ledger, "exchange", _return_expired_units),
    "requests that come twice act twice": (Ledger, "exchange", _act_on_repeated_requests),
    "requests of old epochs act": (Ledger, "_fault", staticmethod(_accept_old_epochs)),
    "keys are forgotten": (LedgerRecords, "key", _forget_keys),
    "unknown leases are kept": (Ledger, "_greet", _keep_unknown_leases),
    "one account of a set is checked": (Ledger, "_available", _check_one_account),
    "spent units are given back": (Ledger, "_end", _give_back_spent_units),
    "what was booked is reported again": (Exchanges, "_records_of", _ignore_what_was_booked),
    "replies that come twice act twice": (Exchanges, "receive", _take_replies_twice),
    "callers are answered before the record is durable": (Node, "record", _answer_at_once),
    "requests are sent before the records are durable": (Node, "exchange", _send_at_once),
    "records of a repeated request are appended again": (Exchanges, "next_request", _repeat_records),
    "reservations set nothing aside": (HolderState, "_reserve", _reserve_nothing),
}


@contextmanager
def mutated(name: str) -> Iterator[None]:
    """Break the protocol for a while."""
    owner, method, replacement = MUTATIONS[name]
    with mock.patch.object(owner, method, replacement):
        yield
