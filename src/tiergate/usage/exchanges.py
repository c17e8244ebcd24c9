"""The requests of a holder to the ledger: what they contain, and what their replies change.

There is at most one request in flight, and it is sent until it has a reply. The first of an epoch is a `Hello`. After
it, a request reports all that is not booked, and then acquires, renews and settles leases. A lease is settled only with
or after the report of all that was spent from it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from tiergate.model import BEGINNING, FOREVER
from tiergate.usage.demands import Demands
from tiergate.usage.journal_records import (
    BookedThrough,
    LeaseRenewed,
    LeasesClosing,
    LeasesEnded,
    LeasesGranted,
    Started,
)
from tiergate.usage.leases import HeldLease, HeldState
from tiergate.usage.protocol import (
    OPERATIONS_MAX,
    Acquire,
    Fault,
    Granted,
    Greeted,
    Hello,
    HourlyUse,
    KeyedUse,
    NotRenewed,
    Refused,
    Renew,
    Renewed,
    Report,
    Request,
    Settle,
    Settled,
    Spend,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tiergate.model import Instant
    from tiergate.usage.accounts import Account, Figures
    from tiergate.usage.demands import Waiting
    from tiergate.usage.holder_state import HolderState
    from tiergate.usage.journal_records import Consumed, JournalRecord
    from tiergate.usage.leases import Pace
    from tiergate.usage.protocol import Need, Operation, Reply, Result

HOUR_MS: Final = 3_600_000
FIGURES_MAX: Final = 100_000
"""The most accounts whose figures a holder keeps; the ones that were not updated for longest are forgotten first."""

_ROUND_TRIPS: Final = 4
_HORIZON_MAX_MS: Final = 4_000

_FINAL: Final = frozenset({Fault.OLD_EPOCH, Fault.OTHER_INSTANCE, Fault.OTHER_VERSION})


class Outgoing(NamedTuple):
    """A request, and the records that must be durable, with all before them, when it is sent."""

    request: Request
    records: tuple[JournalRecord, ...]
    demands: dict[int, Waiting]
    """By the place of their operation."""

    sent_at: Instant


class Received(NamedTuple):
    """What a reply changed. Append `records`. `tickets`: the demands that were answered; `None`: try again."""

    records: tuple[JournalRecord, ...]
    tickets: dict[int, Refused | None]


NOTHING_RECEIVED: Final = Received((), {})
"""The reply was not to the request in flight."""


class Exchanges:
    """The exchanges of one holder, in one process."""

    def __init__(self, state: HolderState, identity: str, instance: bytes, pace: Pace) -> None:
        self.fault: Fault | None = None
        """Why the ledger refuses this process for good: it must not count any more under its identity."""
        self.disagreements = 0
        """How many leases were settled with other figures than the ledger's: 0, unless something is wrong."""
        self.has_greeted = False
        """Whether the ledger has replied in this epoch."""
        self.demands = Demands()
        self.figures: dict[Account, Figures] = {}
        self._state = state
        self._identity = identity
        self._instance = instance
        self._pace = pace
        self._sequence = 0
        self._in_flight: Outgoing | None = None
        self._report_at: Instant = FOREVER
        self._look_at: Instant = FOREVER
        self._round_trip_ms = 0
        self._used_at: dict[int, Instant] = {}
        self._to_close: set[int] = set()

    @property
    def has_request_in_flight(self) -> bool:
        """Whether a request was made that has no reply yet."""
        return self._in_flight is not None

    # ── when ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    def start(self) -> Started:
        """Begin an epoch."""
        if self._in_flight is not None:
            self.demands.put_back(self._in_flight.demands.values())
        self._in_flight = None
        self.has_greeted = False
        self._sequence = 0
        record = Started(self._state.epoch + 1)
        self._state.apply(record)
        return record

    def note_consumed(self, record: Consumed, now: Instant) -> None:
        """Note that there is something to report, and that leases are in use."""
        self._report_at = min(self._report_at, now + self._pace.report_ms)
        for spend in record.spends:
            if spend.lease:
                self._used_at[spend.lease] = now
                left = sum(lease.left for lease in self._state.leases_of.get(spend.account, {}).values())
                self.demands.add_ahead(spend.account, left, now)

    def give_back(self) -> None:
        """Settle all leases with the next request, except those with reserved units."""
        self._to_close.update(self._state.leases)
        self._look_at = BEGINNING

    def due(self, now: Instant) -> Instant:
        """Return when `next_request` should be called: `now` or later; `FOREVER` while a request is in flight."""
        if self._in_flight is not None or self.fault is not None:
            return FOREVER
        if not self.has_greeted or self.demands:
            return now
        at = min(self._report_at, self._look_at)
        if FOREVER > at > now + max(self._pace.report_ms, self._pace.idle_ms):
            return now  # the clock went back
        return max(now, at)

    # ── requests ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def next_request(self, now: Instant) -> Outgoing | None:
        """Return the request to send: the one in flight, or a new one; none if there is nothing to say.

        The one in flight comes without its records, which were appended when it came first.
        """
        if self._in_flight is not None:
            return self._in_flight._replace(records=())
        if self.fault is not None:
            return None
        if not self.has_greeted:
            return self._send((Hello(self._state.booked_through, self._state.last_lease),), None, (), {}, now)
        report = self._report()
        closing = self._closing(now) if report is None or report.last == self._state.last_number else []
        operations: list[Operation] = [Settle(lease.number, lease.spent) for lease in closing]
        operations.extend(Renew(number) for number in self._renewable(now, {lease.number for lease in closing}))
        del operations[OPERATIONS_MAX // 2 :]
        settled = {operation.lease for operation in operations if isinstance(operation, Settle)}
        newly = tuple(lease.number for lease in closing if lease.state is HeldState.OPEN and lease.number in settled)
        records = (LeasesClosing(newly),) if newly else ()
        for record in records:
            self._state.apply(record)
        demands = {}
        for acquire, waiting in self.demands.take(
            self._held, now, OPERATIONS_MAX - len(operations), self._horizon_ms()
        ):
            if waiting is not None:
                demands[len(operations)] = waiting
            operations.append(acquire)
        operations.extend(self.demands.take_looks(OPERATIONS_MAX - len(operations)))
        self._look_at = now + self._pace.idle_ms // 2 if self._state.leases else FOREVER
        if not operations and report is None:
            self._report_at = FOREVER
            return None
        return self._send(tuple(operations), report, records, demands, now)

    def _send(
        self,
        operations: tuple[Operation, ...],
        report: Report | None,
        records: tuple[JournalRecord, ...],
        demands: dict[int, Waiting],
        now: Instant,
    ) -> Outgoing:
        self._sequence += 1
        reported = self._state.booked_through if report is None else report.last
        self._report_at = now if reported < self._state.last_number else FOREVER
        request = Request(self._identity, self._state.epoch, self._instance, self._sequence, operations, report)
        self._in_flight = Outgoing(request, records, demands, now)
        return self._in_flight

    def _report(self) -> Report | None:
        pending = self._state.pending
        if not pending:
            return None
        first = pending[0].number
        sums: dict[tuple[Instant, Account, int], int] = {}
        keyed = []
        last = first
        for record in pending:
            if record.number - first >= self._pace.report_max:
                break
            last = record.number
            if record.key:
                keyed.append(KeyedUse(record.key, record.digest, record.at, record.spends))
                continue
            for spend in record.spends:
                use = (record.at - record.at % HOUR_MS, spend.account, spend.lease)
                sums[use] = sums.get(use, 0) + spend.amount
        uses = tuple(HourlyUse(hour, Spend(account, units, lease)) for (hour, account, lease), units in sums.items())
        return Report(first, last, uses, tuple(keyed))

    def _closing(self, now: Instant) -> list[HeldLease]:
        """Return the leases to settle: those that are closing already, and those that nothing needs any more."""
        return [
            lease
            for lease in self._state.leases.values()
            if lease.state is HeldState.CLOSING or (not lease.reserved and self._is_done(lease, now))
        ]

    def _is_done(self, lease: HeldLease, now: Instant) -> bool:
        if lease.left == 0 or not lease.is_spendable(now) or lease.number in self._to_close:
            return True
        figures = self.figures.get(lease.account)
        idle = self._pace.idle_scarce_ms if figures is not None and figures.scarce else self._pace.idle_ms
        used_at = self._used_at.setdefault(lease.number, now)
        return not 0 <= now - used_at < idle  # also if the clock went back

    def _renewable(self, now: Instant, closing: set[int]) -> list[int]:
        """Return the leases in use that would expire soon, and those that reservations keep."""
        return [
            lease.number
            for lease in self._state.leases.values()
            if lease.state is HeldState.OPEN
            and lease.number not in closing
            and lease.number not in self._to_close
            and lease.expires - now < self._pace.renew_ms
            and now < lease.until
        ]

    def _horizon_ms(self) -> int:
        """Return how long a lease should last: several round trips, or each consumption would wait for one."""
        return max(self._pace.horizon_ms, min(_ROUND_TRIPS * self._round_trip_ms, _HORIZON_MAX_MS))

    def _held(self, account: Account) -> int:
        leases = self._state.leases_of.get(account, {}).values()
        return sum(lease.units - lease.spent for lease in leases if lease.state is HeldState.OPEN)

    # ── replies ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def receive(self, reply: Reply, now: Instant) -> Received:
        """Act on a reply. One that is not to the request in flight changes nothing."""
        outgoing = self._in_flight
        if outgoing is None:
            return NOTHING_RECEIVED
        request = outgoing.request
        if (reply.holder, reply.epoch, reply.sequence) != (request.holder, request.epoch, request.sequence):
            return NOTHING_RECEIVED
        if reply.fault is not None:
            if reply.fault in _FINAL:
                self.fault = reply.fault
                self._in_flight = None
                return NOTHING_RECEIVED
            return Received((self.start(),), {})
        if len(reply.results) != len(request.operations):
            return NOTHING_RECEIVED
        self._in_flight = None
        self._round_trip_ms = max(0, now - outgoing.sent_at)
        records: list[JournalRecord] = []
        tickets: dict[int, Refused | None] = {}
        if request.report is not None:
            records.append(BookedThrough(request.report.last))
        for place, (operation, result) in enumerate(zip(request.operations, reply.results, strict=True)):
            if isinstance(operation, Acquire):
                self._note_leases(operation, result)
            records.extend(self._records_of(result, outgoing.sent_at))
            if place in outgoing.demands:
                tickets.update(_answers(outgoing.demands[place], result))
        for record in records:
            self._state.apply(record)
        self._keep_figures(reply.figures)
        if self._state.leases:
            self._look_at = min(self._look_at, outgoing.sent_at + self._pace.idle_ms // 2)
        return Received(tuple(records), tickets)

    def _records_of(self, result: Result, sent_at: Instant) -> Sequence[JournalRecord]:
        match result:
            case Greeted():
                self.has_greeted = True
                return (BookedThrough(result.booked_through),)
            case Granted(leases) if leases:
                return (
                    LeasesGranted(
                        tuple(
                            HeldLease(lease.number, lease.account, lease.units, sent_at + lease.term_ms, lease.until)
                            for lease in leases
                        )
                    ),
                )
            case Renewed():
                if result.lease in self._state.leases:
                    return (LeaseRenewed(result.lease, sent_at + result.term_ms),)
            case NotRenewed(known=True):
                self._to_close.add(result.lease)
            case NotRenewed() | Settled():
                if isinstance(result, Settled) and not result.agreed:
                    self.disagreements += 1
                self._used_at.pop(result.lease, None)
                self._to_close.discard(result.lease)
                return (LeasesEnded((result.lease,)),)
            case _:
                pass
        return ()

    def _note_leases(self, acquire: Acquire, result: Result) -> None:
        units = {lease.account: lease.units for lease in result.leases} if isinstance(result, Granted) else {}
        for need in acquire.needs:
            if not need.want:  # only a look at the figures
                continue
            self.demands.note_granted(need.account, units.get(need.account, 0))

    def _keep_figures(self, figures: Sequence[Figures]) -> None:
        for figure in figures:
            self.figures.pop(figure.account, None)
            self.figures[figure.account] = figure
        while len(self.figures) > FIGURES_MAX:
            del self.figures[next(iter(self.figures))]


def _answers(waiting: Waiting, result: Result) -> dict[int, Refused | None]:
    """Return the answers to the consumptions that waited: a refusal only for those that need as much as the first."""
    if not isinstance(result, Refused):
        return {ticket: None for ticket, _ in waiting.tickets}
    return {ticket: result if _is_as_much(needs, waiting.needs) else None for ticket, needs in waiting.tickets}


def _is_as_much(needs: tuple[Need, ...], as_: tuple[Need, ...]) -> bool:
    return all(need.need >= other.need for need, other in zip(needs, as_, strict=True))
