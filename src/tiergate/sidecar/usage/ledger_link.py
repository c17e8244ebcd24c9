"""The link of a sidecar to the ledger: a holder of leases, its journal, and the exchange of requests and replies.

It keeps the rules of `usage.holder`: a consumption is answered, and a request is sent, only after all records before it
are on disk; a request is repeated until it has a reply. Everything belongs to the event loop's thread.

- *The journal cannot be written*: the holder in memory is ahead of the disk. Nothing is counted until it was read from
  the disk again and has begun a new epoch, as after a crash.
- *Another process has the identity* (a copied disk, which the ledger notices at once): this one takes a new identity,
  and counts there what it has counted since its start.
- *The identity was used by a later start*: nothing is counted until somebody has looked after it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import time
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

import msgspec
import structlog

from tiergate.errors import JournalError, RequestError, SyncError
from tiergate.process.detached_threads import run_detached
from tiergate.sidecar.metrics import Durations
from tiergate.sidecar.usage.holder_files import (
    NOTHING,
    Opened,
    encode_holder_record,
    encode_note,
    encode_snapshot,
    new_identity,
    open_holder,
    read_identity,
    write_identity,
)
from tiergate.usage.accounts import Consumption, Debit
from tiergate.usage.holder import HolderLimits, Spent
from tiergate.usage.protocol import Fault, decode_reply, encode

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from tiergate.model import Instant
    from tiergate.sidecar.usage.book_records import Reservation
    from tiergate.sidecar.usage.journal import Journal
    from tiergate.sidecar.usage.meter import Done
    from tiergate.usage.accounts import Account, Figures
    from tiergate.usage.holder import Holder
    from tiergate.usage.journal_records import JournalRecord
    from tiergate.usage.protocol import Need, Refused, Reply

OFFLINE_AFTER_MS: Final = 1_500
"""How long a request may be without a reply until the ledger counts as out of reach, in milliseconds."""

_FIRST_RETRY: Final = 0.1
_LAST_RETRY: Final = 2.0
_LOOK_SECONDS: Final = 0.25
_REOPEN_SECONDS: Final = 1.0
_OTHER_VERSION_SECONDS: Final = 30.0
_INSTANCE_BYTES: Final = 16
_SNAPSHOT_AFTER: Final = 8 * 2**20

_log = structlog.get_logger(__name__)


class LedgerClient(Protocol):
    """Sends a request to the ledger and returns its reply. Raises `SyncError`."""

    async def exchange_usage(self, request: bytes) -> bytes:
        """Send one request."""
        ...

    async def close(self) -> None:
        """Close the connections."""
        ...


class LinkOptions(NamedTuple):
    """`budget`: most bytes of the journal. `most_keys`: of idempotency keys."""

    budget: int
    most_keys: int


class LinkCounts:
    """Requests with a reply, without one, changes of identity, and starts anew after a journal that failed.

    `durations`: of requests with a reply.
    """

    def __init__(self) -> None:
        self.exchanges = self.failures = self.identities = self.reopened = 0
        self.durations = Durations()


class LedgerLink:
    """A holder that is connected to a ledger. `open`, then `start` in the event loop, then `run` until the end."""

    def __init__(
        self, folder: Path, client: LedgerClient, clock: Callable[[], Instant], options: LinkOptions, opened: Opened
    ) -> None:
        self.holder: Holder = opened.holder
        self.journal: Journal = opened.journal
        self.notes: dict[str, Reservation] = opened.notes
        self.counts = LinkCounts()
        self.last_exchange: Instant | None = None
        """When the last reply came."""
        self.error: str | None = None
        """Why the last request has no reply; none if it has one."""
        self.on_figures: Callable[[Sequence[Figures]], Callable[[], None]] = lambda _: lambda: None
        """Called with the figures of each reply before the holder has them; what it returns is called afterwards."""
        self.on_reopened: Callable[[], None] = lambda: None
        """Called when the holder is another one."""
        self._folder = folder
        self._client = client
        self._clock = clock
        self._options = options
        self._failed: JournalError | None = None
        self._stopped: Fault | None = None
        self._is_moving = False
        self._counted_before = opened.holder.state.last_number
        self._unanswered_since: Instant | None = None
        self._failures = 0
        self._wake = asyncio.Event()
        self._tickets: dict[int, asyncio.Future[Refused | None]] = {}
        self._greeted: asyncio.Event = asyncio.Event()

    @classmethod
    def open(cls, folder: Path, client: LedgerClient, clock: Callable[[], Instant], options: LinkOptions) -> LedgerLink:
        """Open the journal in a folder that nobody else uses; make an identity if there is none.

        Raises:
            JournalError: if it cannot be read, or the identity cannot be written.
        """
        identity = read_identity(folder)
        if identity is None:
            identity = new_identity()
            write_identity(folder, identity)
        return cls(folder, client, clock, options, _open(folder, identity, options))

    # ── for the meter ────────────────────────────────────────────────────────────────────────────────────────────────

    def expect_usable(self) -> None:
        """Raise `RequestError` (503) if nothing can be counted now."""
        if self._stopped is Fault.OLD_EPOCH:
            detail = "a later start uses the identity of this sidecar: see its log"
        elif self._stopped is not None:
            detail = f"the control plane refuses this sidecar's usage: {self._stopped}"
        elif self._is_moving:
            detail = "this sidecar is taking another identity"
        elif self._failed is not None and self._failed.full:
            detail = "the disk, or the budget `usage-disk`, is full: nothing was counted"
            raise RequestError(503, "usage storage full", detail)
        elif self._failed is not None:
            raise RequestError(503, "usage not written", f"the usage journal cannot be written: {self._failed.detail}")
        else:
            return
        raise RequestError(503, "usage not counted now", detail)

    def is_offline(self, now: Instant) -> bool:
        """Return whether the ledger is out of reach."""
        since = self._unanswered_since
        return since is not None and not 0 <= now - since < OFFLINE_AFTER_MS

    def append(self, record: JournalRecord, done: Done, note: Reservation | None = None) -> None:
        """Append a record of the holder, which has applied it; `done` is called when it is on disk."""
        if note is not None:
            self._append(encode_note(note), _ignore)
        self._append(encode_holder_record(record), done)
        if self.holder.due(self._clock()) <= self._clock():
            self._wake.set()

    def sync(self, done: Done) -> None:
        """Call `done` when everything before is on disk."""
        self._append(NOTHING, done)

    def look(self, account: Account, at: Instant) -> None:
        """Ask for the figures of an account with the next request."""
        if self._stopped is None:
            self.holder.look(account, at)
            self._wake.set()

    async def lease(self, needs: tuple[Need, ...], at: Instant, seconds: float) -> Refused | None:
        """Ask for units; return the refusal, or `None` if it is worth to try again.

        Raises:
            TimeoutError: there was no reply in this time.
        """
        ticket = self.holder.demand(needs, at)
        answer: asyncio.Future[Refused | None] = asyncio.get_running_loop().create_future()
        self._tickets[ticket] = answer
        self._wake.set()
        try:
            async with asyncio.timeout(seconds):
                return await answer
        finally:
            self._tickets.pop(ticket, None)

    async def greeted(self, seconds: float) -> None:
        """Wait until the ledger has replied in this epoch. Raises `TimeoutError`."""
        async with asyncio.timeout(seconds):
            await self._greeted.wait()

    # ── running ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def start(self) -> None:
        """Begin to write, and begin an epoch."""
        self.journal.start()
        self._append(encode_holder_record(self.holder.start(self._clock())), _ignore)

    async def run(self) -> None:
        """Exchange requests and replies, until cancelled or nothing may be counted any more."""
        while self._stopped is not Fault.OLD_EPOCH:
            try:
                await self._step()
            except Exception:  # noqa: BLE001 - what is unreported stays on the disk, and is tried again
                _log.exception("unexpected error while reporting usage; this is a bug in Tiergate")
                await asyncio.sleep(_LAST_RETRY)

    async def _step(self) -> None:
        if self._stopped is Fault.OTHER_INSTANCE:
            await self._take_identity()
        elif self._stopped is not None:
            await asyncio.sleep(_OTHER_VERSION_SECONDS)
            await self._reopen()
        elif self._failed is not None:
            await asyncio.sleep(_REOPEN_SECONDS)
            await self._reopen()
        elif self.holder.has_request_in_flight or self.holder.due(self._clock()) <= self._clock():
            await self._exchange()
        else:
            self._wake.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_SECONDS):
                    await self._wake.wait()

    async def _exchange(self) -> None:
        """Send the request that is due, once, and act on the reply; without one, wait a while."""
        now = self._clock()
        outgoing = self.holder.next_request(now)
        if outgoing is None:
            await asyncio.sleep(_FIRST_RETRY / 2)
            return
        try:
            for record in outgoing.records:
                self._append(encode_holder_record(record), _ignore)
            if self.journal.pending:
                await self.journal.commit(NOTHING)
        except JournalError as error:
            self._failed = error
            return
        if self._unanswered_since is None:
            self._unanswered_since = now
        begun = time.perf_counter_ns()
        try:
            reply = decode_reply(await self._client.exchange_usage(encode(outgoing.request)))
        except (SyncError, msgspec.DecodeError, UnicodeDecodeError) as error:
            self._note_failure(str(error))
        else:
            self.counts.durations.add(time.perf_counter_ns() - begun)
            if self._receive(reply):
                return
        delay = min(_LAST_RETRY, _FIRST_RETRY * 2 ** min(self._failures, 10))
        await asyncio.sleep(delay * random.uniform(0.5, 1.0))  # noqa: S311 - only spreads retries

    def _receive(self, reply: Reply) -> bool:
        """Act on a reply; return whether the next request may follow at once."""
        was_greeted = self.holder.has_greeted
        learn = self.on_figures(reply.figures)
        received = self.holder.receive(reply, self._clock())
        for record in received.records:
            self._append(encode_holder_record(record), _ignore)
        if self.holder.fault is not None:
            self._stop(self.holder.fault)
            return False
        if reply.fault is not None or self.holder.has_request_in_flight:
            self._greeted.clear()
            self._note_failure(f"the ledger answered {reply.fault or 'another request'}")
            return False
        if self.error is not None:
            _log.info("usage is reported again")
        self.counts.exchanges += 1
        self.last_exchange = self._clock()
        self.error = self._unanswered_since = None
        self._failures = 0
        if not was_greeted and self.holder.has_greeted:
            self._greeted.set()
        learn()
        for ticket, refused in received.tickets.items():
            waiting = self._tickets.pop(ticket, None)
            if waiting is not None and not waiting.done():
                waiting.set_result(refused)
        return True

    def _note_failure(self, error: str) -> None:
        if self.error is None:
            _log.warning(
                "usage cannot be reported; leases are spent, then features do what `offline` says", error=error
            )
        self.error = error
        self._failures += 1
        self.counts.failures += 1

    def _stop(self, fault: Fault) -> None:
        self._stopped = fault
        self._greeted.clear()
        match fault:
            case Fault.OLD_EPOCH:
                meaning = (
                    "another sidecar started with a copy of this data folder; no usage is counted here, and what is "
                    "unreported stays in the folder: give each sidecar a data folder of its own, then start this again"
                )
            case Fault.OTHER_INSTANCE:
                meaning = "another sidecar uses a copy of this data folder; taking another identity"
            case _:
                meaning = "the control plane is of another version; no usage is counted until it is upgraded"
        self.error = f"{fault.value}: {meaning}"
        _log.error("the ledger refuses this sidecar", fault=fault.value, meaning=meaning)

    # ── beginning anew ───────────────────────────────────────────────────────────────────────────────────────────────

    async def _reopen(self) -> None:
        """Read the holder from the disk again, and begin a new epoch."""
        identity, old = self.holder.identity, self.journal
        try:
            await run_detached(old.close, "usage-journal-end")
            opened = await run_detached(lambda: _open(self._folder, identity, self._options), "usage-journal-open")
        except JournalError as error:
            self._failed = error
            return
        self._use(opened)
        try:
            await self.journal.commit(encode_holder_record(self.holder.start(self._clock())))
        except JournalError as error:
            self._failed = error
            return
        self.counts.reopened += 1
        self._resume()

    async def _take_identity(self) -> None:
        """Continue under a new identity, with what was counted since the start and is not reported."""
        old, old_journal, old_notes = self.holder, self.journal, self.notes
        since = [record for record in old.state.pending if record.number > self._counted_before]
        self._is_moving = True
        try:
            identity = new_identity()
            opened = await run_detached(lambda: _open(self._folder, identity, self._options), "usage-journal-open")
            self._use(opened)
            now = self._clock()
            records: list[JournalRecord] = [self.holder.start(now)]
            for record in since:
                debits = tuple(Debit(spend.account, spend.amount, bounded=False) for spend in record.spends)
                consumption = Consumption(record.key, record.digest, record.at, _merged(debits))
                outcome = self.holder.consume(consumption, record.answer, now, unleased=True)
                if not isinstance(outcome, Spent):
                    raise RuntimeError(f"a consumption cannot be counted again: {outcome}")
                records.append(outcome.record)
            for each in records:
                self._append(encode_holder_record(each), _ignore)
            await self.journal.commit(NOTHING)
            await run_detached(lambda: write_identity(self._folder, identity), "usage-identity")
        except JournalError as error:
            _log.error("cannot take another identity; trying again", error=str(error))
            if self.holder is not old:
                await run_detached(self.journal.close, "usage-journal-end")
            self.holder, self.journal, self.notes = old, old_journal, old_notes
            self._failed = None
            await asyncio.sleep(_REOPEN_SECONDS)
            return
        finally:
            self._is_moving = False
        await run_detached(old_journal.close, "usage-journal-end")
        self.counts.identities += 1
        self._counted_before = 0
        _log.warning("this sidecar has another identity now", moved=len(since))
        self._resume()

    def _use(self, opened: Opened) -> None:
        self.holder, self.journal, self.notes = opened
        self._greeted.clear()
        self._tickets.clear()  # who waits is not answered in time
        self._unanswered_since = None
        self.journal.start()

    def _resume(self) -> None:
        self._failed = self._stopped = None
        self.on_reopened()

    def _append(self, content: bytes, done: Done) -> None:
        def finish(error: JournalError | None) -> None:
            if error is not None:
                self._failed = error
            done(error)

        self.journal.append(content, finish)

    # ── in the background, and at the end ────────────────────────────────────────────────────────────────────────────

    def compact(self, now: Instant) -> None:
        """Replace a long journal by a snapshot."""
        journal = self.journal
        if self._failed is None and journal.since_snapshot > max(_SNAPSHOT_AFTER, journal.size // 2):
            journal.begin_snapshot(encode_snapshot(self.holder.freeze(now), list(self.notes.values())))

    async def end(self, seconds: float) -> None:
        """Report everything and give leases back, if that can be done in this time. `run` must have ended."""
        if self.is_offline(self._clock()):
            seconds = min(seconds, 2 * _LAST_RETRY)
        try:
            async with asyncio.timeout(seconds):
                while self._has_to_say():
                    self.holder.give_back()
                    await self._exchange()
        except TimeoutError:
            pass  # it is on the disk
        except Exception:  # noqa: BLE001 - what is unreported stays on the disk
            _log.exception("unexpected error while reporting usage at the end; this is a bug in Tiergate")
        state = self.holder.state
        if state.pending:
            _log.warning(
                "usage stays unreported in the data folder until the next start", consumptions=len(state.pending)
            )
        await self._client.close()

    def _has_to_say(self) -> bool:
        if self._failed is not None or self._stopped is not None:
            return False
        state = self.holder.state
        return bool(state.pending) or any(not lease.reserved for lease in state.leases.values())

    def close(self) -> None:
        """Close the journal."""
        self.journal.close()


def _open(folder: Path, identity: str, options: LinkOptions) -> Opened:
    limits = HolderLimits(keys_max=options.most_keys)
    return open_holder(folder, identity, os.urandom(_INSTANCE_BYTES), budget=options.budget, limits=limits)


def _merged(debits: tuple[Debit, ...]) -> tuple[Debit, ...]:
    """Return the debits with each account once."""
    sums: dict[Account, int] = {}
    for debit in debits:
        sums[debit.account] = sums.get(debit.account, 0) + debit.amount
    return tuple(Debit(account, amount, bounded=False) for account, amount in sums.items())


def _ignore(error: JournalError | None) -> None:
    """The link notes that it failed."""
