"""A simulated sidecar: a holder, its disk, its clock, and the callers that wait for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.simulation.oracle import Attempt, ViolationError
from tiergate.usage.accounts import Consumption, Debit
from tiergate.usage.holder import Conflicting, Full, Holder, NotReserved, Repeated, SetAside, Short, Spent
from tiergate.usage.holder_state import HolderState
from tiergate.usage.protocol import Reason
from tiergate.usage.reservations import ReservationState

if TYPE_CHECKING:
    from tests.simulation.world import World
    from tiergate.usage.accounts import Account
    from tiergate.usage.journal_records import JournalRecord
    from tiergate.usage.protocol import Reply

TRIES_MAX = 4


class Node:
    """One sidecar. `journal` is its disk; records from `synced` on are lost in a crash, from any of them on."""

    def __init__(self, world: World, index: int) -> None:
        self.index = index
        self.identity = f"n{index}"
        self.skew = 0
        self.cut_off = False
        self._world = world
        self._journal: list[JournalRecord] = []
        self._synced = 0
        self._starts = 0
        self._unsynced: list[tuple[int, Attempt]] = []
        self._waiting: dict[int, tuple[Attempt, int]] = {}
        self._holder = Holder(self.identity, b"")

    @property
    def clock(self) -> int:
        """What this machine's clock shows."""
        return self._world.now + self.skew

    @property
    def is_quiet(self) -> bool:
        """Whether there is nothing left to report, to settle or to answer."""
        holder, state = self._holder, self._holder.state
        busy = state.pending or state.leases or self._waiting or holder.has_request_in_flight
        return holder.has_greeted and not busy

    @property
    def is_due(self) -> bool:
        """Whether the holder asks for an exchange now, or waits for a reply."""
        return self._holder.has_request_in_flight or self._holder.due(self.clock) <= self.clock

    # ── the process and its disk ─────────────────────────────────────────────────────────────────────────────────────

    def start(self) -> None:
        """Start a process from the disk."""
        self._starts += 1
        self._holder = Holder(self.identity, self._starts.to_bytes(2, "big"), pace=self._world.pace)
        for record in self._journal:
            self._holder.apply(record)
        self._write(self._holder.start(self.clock))

    def crash(self, *, keep_all: bool | None = None) -> None:
        """Lose the process, and any of the records that were not synced, from one of them on: all, none or some."""
        kept = self._world.random.randint(self._synced, len(self._journal))
        if keep_all is not None:
            kept = len(self._journal) if keep_all else self._synced
        del self._journal[kept:]
        for position, attempt in self._unsynced:
            if position >= kept:
                self._world.oracle.lose(attempt)
        self._unsynced.clear()
        self._waiting.clear()
        self._synced = kept
        self.start()

    def sync(self) -> None:
        """Make all records durable, and answer the callers that wait for that."""
        self._synced = len(self._journal)
        for _, attempt in self._unsynced:
            self._world.oracle.acknowledge(attempt)
        self._unsynced.clear()

    def compact(self) -> None:
        """Replace the journal by a snapshot."""
        self.sync()
        self._journal = [self._holder.snapshot(self.clock)]
        self._synced = 1

    def check_replay(self) -> None:
        """Check that the journal gives the state in memory."""
        state = HolderState()
        for record in self._journal:
            state.apply(record)
        state.prune(self.clock)
        if state.snapshot() != self._holder.snapshot(self.clock):
            raise ViolationError(f"{self.identity} has another state after a replay")

    def _write(self, *records: JournalRecord) -> None:
        self._journal.extend(records)

    # ── callers ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def try_to_consume(self, attempt: Attempt, tries: int = TRIES_MAX) -> bool:
        """Consume, or wait for units; return whether it counts."""
        consumption = Consumption(attempt.key, attempt.digest, attempt.at, attempt.debits)
        unleased = self.cut_off and self._world.odds.offline
        outcome = self._holder.consume(consumption, attempt.name, self.clock, unleased=unleased)
        match outcome:
            case Spent(record):
                bounded = {debit.account for debit in attempt.debits if debit.bounded}
                attempt.beyond = any(not spend.lease and spend.account in bounded for spend in record.spends)
                self.record(attempt, record)
                return True
            case Short(needs):
                if tries:
                    self._waiting[self._holder.demand(needs, attempt.at)] = (attempt, tries - 1)
            case Repeated(answer):
                self._world.oracle.check_answer(attempt, answer)
            case Conflicting():
                self._world.oracle.check_conflict(attempt)
            case Full():
                raise ViolationError("the disk is full")
        return False

    def record(self, attempt: Attempt, record: JournalRecord) -> None:
        """Write the record of a consumption; its caller is answered when it is durable."""
        self._unsynced.append((len(self._journal), attempt))
        self._write(record)
        self._world.oracle.add(attempt)

    def use_reservation(self, attempt: Attempt) -> None:
        """Reserve what the attempt is of, or commit, release or expire an earlier reservation."""
        random, holder = self._world.random, self._holder
        ids = [kept.id for kept in holder.state.reservations.values() if kept.state is ReservationState.OPEN]
        if not ids or random.random() < 0.4:
            consumption = Consumption(b"", b"", attempt.at, attempt.debits)
            expires = self.clock + random.choice((500, 5_000, 60_000))
            outcome = holder.reserve(attempt.name.decode(), consumption, b"", expires, self.clock)
            if isinstance(outcome, SetAside):
                self._write(outcome.record)
            elif isinstance(outcome, Short):
                holder.demand(outcome.needs, attempt.at)  # a later attempt finds the units
            return
        id_ = random.choice(ids)
        if random.random() < 0.3:
            released = holder.release(id_, self.clock)
            if not isinstance(released, NotReserved):
                self._write(released)
            return
        self._commit(id_, attempt, part=random.random() < 0.5)

    def _commit(self, id_: str, attempt: Attempt, *, part: bool) -> None:
        reservation = self._holder.state.reservations[id_]
        reserved: dict[Account, int] = {}
        for spend in reservation.spends:
            reserved[spend.account] = reserved.get(spend.account, 0) + spend.amount
        attempt.key = b""
        attempt.debits = tuple(
            Debit(account, max(1, units // 2) if part else units) for account, units in reserved.items()
        )
        debits = attempt.debits if part else None
        outcome = self._holder.commit(id_, debits, attempt.name, attempt.name, self.clock)
        if isinstance(outcome, Spent):
            self.record(attempt, outcome.record)
            again = self._holder.commit(id_, debits, attempt.name, b"", self.clock)
            if again != Repeated(attempt.name):
                raise ViolationError("a commit that is repeated gets another answer")

    def release_all(self) -> None:
        """Release all reservations."""
        for kept in list(self._holder.state.reservations.values()):
            released = self._holder.release(kept.id, self.clock)
            if not isinstance(released, NotReserved):
                self._write(released)
        self._write(*self._holder.expire(self.clock))

    # ── exchanges ────────────────────────────────────────────────────────────────────────────────────────────────────

    def exchange(self) -> None:
        """Send a request, if there is something to say, after everything before it is durable."""
        self._write(*self._holder.expire(self.clock))
        outgoing = self._holder.next_request(self.clock)
        if outgoing is not None:
            self._write(*outgoing.records)
            self.sync()
            self._world.send(self.index, outgoing.request)

    def receive(self, reply: Reply) -> None:
        """Act on a reply: who waited tries again, or is refused."""
        received = self._holder.receive(reply, self.clock)
        self._write(*received.records)
        if self._holder.fault is not None:
            raise ViolationError(f"the ledger refuses {self.identity}: {self._holder.fault}")
        if self._holder.disagreements:
            raise ViolationError(f"{self.identity} and the ledger counted differently")
        for ticket, refused in received.tickets.items():
            attempt, tries = self._waiting.pop(ticket, (None, 0))
            if attempt is not None and (refused is None or refused.reason is Reason.LEASED_ELSEWHERE):
                self.try_to_consume(attempt, tries)

    def sell(self, account: Account, amount: int) -> bool:
        """Consume an amount of one account, with as many exchanges as it takes; return whether it counts."""
        world = self._world
        if not amount:
            return True
        attempt = world.new_attempt(self, fresh=True)
        attempt.debits = (Debit(account, amount),)
        for _ in range(12):
            waits = any(attempt is waiting for waiting, _ in self._waiting.values())
            if not waits and self.try_to_consume(attempt, tries=1):
                self.sync()
                return True
            self.exchange()
            world.deliver_all()
            if attempt.acknowledged or any(attempt is recorded for _, recorded in self._unsynced):
                return True
            world.now += 1
        return False
