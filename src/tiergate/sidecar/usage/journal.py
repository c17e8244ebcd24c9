"""A journal of records on disk: append only, durable, with one sync for all that wait.

The event loop appends records; a thread writes all that wait as one group, and syncs it; then the loop calls `done` of
each. While a group is on its way to the disk, others collect. `done` gets an error if the record is not in the journal:
INVARIANT (nothing half): then neither is any record that was appended after it, and they fail in the same turn of the
loop, the newest first, so that changes in memory can be taken back in reverse order.

Callers that get an answer often come back with the next record. So after a group the next one waits for as many
records as there were at once, while they come, and at most as long as the sync took: with a slow disk all share each
sync, where else they would take turns; with a fast one nothing waits.

`begin_snapshot` replaces the past by the present state: the records that were appended before are still written to the
old segment, and the snapshot is named only once it is on disk. If a record before it fails, there is no snapshot.

Everything but the thread's own work belongs to the event loop's thread.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from queue import SimpleQueue
from typing import TYPE_CHECKING, Final, NamedTuple

from tiergate.errors import JournalError
from tiergate.sidecar.metrics import Durations
from tiergate.sidecar.usage.journal_files import JournalWriter, recover
from tiergate.sidecar.usage.journal_format import MAX_RECORD, pack_length

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    Done = Callable[[JournalError | None], None]

_logger = logging.getLogger(__name__)

DEFAULT_BUDGET: Final = 2**30
"""The default most bytes of all files of a journal: 1 GiB."""

DEFAULT_SEGMENT: Final = 16 * 2**20
"""The default bytes of a segment."""

_END_TIMEOUT: Final = 10.0
_TURN_BYTES: Final = 32 * 2**10
_GATHER_MOST: Final = 0.003
"""The next group waits for others as long as the last sync took, and no longer than these seconds."""

_GATHER_STEP: Final = 0.001
"""It begins earlier if nobody has come for these seconds, the shortest that the loop can wait."""


class JournalCounts:
    """What a journal did: groups, records and bytes that were written, failed groups, and the durations of syncs."""

    def __init__(self) -> None:
        self.groups = self.records = self.bytes = self.failures = self.snapshots = 0
        self.syncs = Durations()


class _Batch(NamedTuple):
    """Records that are written together; `snapshot`: the state after them, which then begins a new segment."""

    pieces: list[bytes]
    waiting: list[Done]
    snapshot: Iterable[bytes] | None = None


class Journal:
    """An open journal. `open` reads it; then `start` must be called in the event loop, before `append`."""

    def __init__(self, writer: JournalWriter, replayed: int, content: str = "usage") -> None:
        self._content = content
        self.counts = JournalCounts()
        self.failed: JournalError | None = None
        """Why the newest group is not on disk; none if it is."""
        self.since_snapshot = replayed
        """The bytes of records that a start must read beside the snapshot, about."""
        self._writer = writer
        self._pieces: list[bytes] = []
        self._waiting: list[Done] = []
        self._sealed: _Batch | None = None  # before the collected ones, with a snapshot
        self._writing: _Batch | None = None
        self._is_scheduled = False
        self._is_snapshotting = False
        self._expected = 0  # so many records make the next group begin before the time to gather is over
        self._gather_until = 0.0
        self._gathering: asyncio.TimerHandle | None = None
        self._last_sync = 0.0  # seconds
        self._work: SimpleQueue[_Batch | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    @classmethod
    def open(
        cls,
        folder: Path,
        apply: Callable[[bytes], None],
        *,
        budget: int = DEFAULT_BUDGET,
        segment: int = DEFAULT_SEGMENT,
        content: str = "usage",
    ) -> Journal:
        """Open the journal in a folder that nobody else uses, and pass every record in it to `apply`.

        `content`: what is counted in it, for the log.

        Raises:
            JournalError: if it cannot be read. If it cannot be written, the appended records fail until it can.
        """
        recovery = recover(folder, apply)
        writer = JournalWriter(folder, recovery, budget=budget, segment=segment)
        return cls(writer, recovery.replayed, content)

    @property
    def size(self) -> int:
        """The bytes of all files."""
        return self._writer.size

    @property
    def budget(self) -> int:
        """The most bytes of all files."""
        return self._writer.budget

    @property
    def pending(self) -> int:
        """The number of records that are not on disk yet."""
        batches = [batch.waiting for batch in (self._writing, self._sealed) if batch is not None]
        return sum(map(len, batches)) + len(self._waiting)

    def start(self) -> None:
        """Begin to write, in the running event loop."""
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._run, name=f"{self._content}-journal", daemon=True)
        self._thread.start()

    def append(self, record: bytes, done: Done) -> None:
        """Append a record; `done` is called, later, when it is on disk, or with the error if it is not.

        Raises:
            ValueError: if the record is longer than any that can be read.
        """
        if len(record) > MAX_RECORD:
            raise ValueError(f"a record of {len(record)} bytes is too long")
        self._pieces += (pack_length(len(record)), record)
        self._waiting.append(done)
        if self._writing is None and not self._is_scheduled:
            if self._gathering is None:
                self._schedule()
            elif len(self._waiting) >= self._expected:
                self._stop_gathering()
                self._schedule()

    async def commit(self, record: bytes) -> None:
        """Append a record, and wait until it is on disk.

        Raises:
            JournalError: if it is not.
        """
        written: asyncio.Future[JournalError | None] = asyncio.get_running_loop().create_future()
        self.append(record, lambda error: None if written.cancelled() else written.set_result(error))
        if (error := await written) is not None:
            raise error

    def begin_snapshot(self, records: Iterable[bytes]) -> bool:
        """Write a snapshot of the state after everything that was appended; return whether it begins now.

        `records` is read in another thread, so that it must not change.
        """
        if self._is_snapshotting or self._loop is None:
            return False
        self._is_snapshotting = True
        self._sealed = _Batch(self._pieces, self._waiting, records)
        self._pieces, self._waiting = [], []
        if self._writing is None and not self._is_scheduled:
            self._stop_gathering()
            self._schedule()
        return True

    def close(self) -> None:
        """Write what waits, and close the files. `done` of what still waits is not called."""
        self._stop_gathering()
        if self._thread is not None:
            for batch in (self._sealed, _Batch(self._pieces, self._waiting)):
                if batch is not None and batch.pieces:
                    self._work.put(batch._replace(snapshot=None))
            self._work.put(None)
            self._thread.join(_END_TIMEOUT)
            self._thread = None
        self._writer.close()

    # ── in the event loop ────────────────────────────────────────────────────────────────────────────────────────────

    def _schedule(self) -> None:
        """Write after this turn of the loop, so that all requests that arrived together share a group."""
        if self._loop is None:
            raise RuntimeError("the journal is not started")
        self._is_scheduled = True
        self._loop.call_soon(self._begin)

    def _begin(self) -> None:
        """Hand what waits to the thread, unless it is busy."""
        self._is_scheduled = False
        if self._writing is not None:
            return
        batch, self._sealed = self._sealed, None
        if batch is None:
            if not self._waiting:
                return
            batch = _Batch(self._pieces, self._waiting)
            self._pieces, self._waiting = [], []
        self._writing = batch
        self._work.put(batch)

    def _on_written(self, error: JournalError | None) -> None:
        """Report to those whose group was written, or was not."""
        batch = self._writing
        self._writing = None
        if batch is None:
            raise RuntimeError("no group was being written")
        if error is not None:
            self._fail(batch, error)
            return
        self._note(None)
        self.counts.records += len(batch.waiting)
        size = sum(map(len, batch.pieces))
        self.counts.bytes += size
        self.since_snapshot = size + (0 if batch.snapshot is not None else self.since_snapshot)
        if self._sealed is None:
            self._gather(len(batch.waiting))
        else:
            self._begin()
        for done in batch.waiting:
            done(None)

    def _gather(self, answered: int) -> None:
        """Begin the next group once those that are answered now have come back, or no more of them come."""
        loop = self._loop
        if loop is None or not answered or self._last_sync < _GATHER_STEP:
            self._begin()
            return
        self._expected = answered + len(self._waiting)
        self._gather_until = loop.time() + min(self._last_sync, _GATHER_MOST)
        self._wait_for_more(loop)

    def _wait_for_more(self, loop: asyncio.AbstractEventLoop) -> None:
        self._gathering = loop.call_later(_GATHER_STEP, self._on_gathered, loop, len(self._waiting))

    def _on_gathered(self, loop: asyncio.AbstractEventLoop, before: int) -> None:
        self._gathering = None
        if self._is_scheduled:
            return
        if len(self._waiting) > before and loop.time() < self._gather_until:
            self._wait_for_more(loop)
        else:
            self._begin()

    def _stop_gathering(self) -> None:
        if self._gathering is not None:
            self._gathering.cancel()
            self._gathering = None

    def _fail(self, batch: _Batch, error: JournalError) -> None:
        self._note(error)
        waiting = batch.waiting
        if self._sealed is not None:
            waiting = waiting + self._sealed.waiting
            self._is_snapshotting = False
            self._sealed = None
        waiting = waiting + self._waiting
        self._pieces, self._waiting = [], []
        for done in reversed(waiting):
            done(error)

    def _note(self, error: JournalError | None) -> None:
        if error is not None:
            self.counts.failures += 1
        if error is not None and (self.failed is None or self.failed.detail != error.detail):
            what = "cannot write the %s journal; nothing is counted until it can be written: %s"
            _logger.error(what, self._content, error)
        elif error is None and self.failed is not None:
            _logger.info("the %s journal is writable again", self._content)
        self.failed = error

    def _on_snapshot(self, error: JournalError | None) -> None:
        self._is_snapshotting = False
        if error is not None:
            _logger.error("cannot write a snapshot of %s; keeping the journal: %s", self._content, error)
        else:
            self.counts.snapshots += 1

    # ── in the thread ────────────────────────────────────────────────────────────────────────────────────────────────

    def _run(self) -> None:
        while (batch := self._work.get()) is not None:
            error = self._write(batch)
            self._report(self._on_written, error)

    def _write(self, batch: _Batch) -> JournalError | None:
        try:
            if batch.pieces:
                begun = time.perf_counter_ns()
                self._writer.write(b"".join(batch.pieces))
                elapsed = time.perf_counter_ns() - begun
                self._last_sync = elapsed / 1e9
                self.counts.syncs.add(elapsed)
                self.counts.groups += 1
        except JournalError as error:
            if batch.snapshot is not None:
                self._report(self._on_snapshot, error)
            return error
        except Exception as error:  # noqa: BLE001 - whatever fails, the record is not on disk
            return JournalError("", f"{type(error).__name__}: {error}")
        if batch.snapshot is not None:
            try:
                number = self._writer.rotate()
            except JournalError as error:
                self._report(self._on_snapshot, error)
            else:
                arguments = (number, batch.snapshot)
                name = f"{self._content}-snapshot"
                threading.Thread(target=self._snapshot, args=arguments, name=name, daemon=True).start()
        return None

    def _snapshot(self, number: int, records: Iterable[bytes]) -> None:
        error: JournalError | None = None
        try:
            self._writer.write_snapshot(number, _in_turn(records))
        except JournalError as failure:
            error = failure
        except Exception as failure:  # noqa: BLE001 - the journal stays
            error = JournalError("", f"{type(failure).__name__}: {failure}")
        self._report(self._on_snapshot, error)

    def _report(self, call: Callable[[JournalError | None], None], error: JournalError | None) -> None:
        loop = self._loop
        if loop is not None and not loop.is_closed():
            try:
                loop.call_soon_threadsafe(call, error)
            except RuntimeError:  # closed in between
                return


def _in_turn(records: Iterable[bytes]) -> Iterator[bytes]:
    """Yield records, and let other threads run after each few kilobytes: the event loop shares the interpreter."""
    size = 0
    for record in records:
        yield record
        size += len(record)
        if size > _TURN_BYTES:
            size = 0
            time.sleep(0)
