"""Counts outcomes: in memory for a group of requests, then in the journal, then in the book.

All requests of one turn of the event loop are one group, and one record of the journal: its sums by minute and feature.
A request is answered when the record is on disk. INVARIANT (the book is the disk): the book has what the journal has
made durable, and nothing else, so that nothing must be taken back if a group cannot be written.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from tiergate.errors import JournalError
from tiergate.sidecar.usage.journal import Journal
from tiergate.status.outcome_book import Counted, OutcomeBook, decode_record, encode_record
from tiergate.status.outcome_minutes import MinuteSum

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tiergate.model import Instant
    from tiergate.status.outcome_book import BookRecord

    Done = Callable[[JournalError | None], None]

BYTES_OF_A_SUM: Final = 64
"""How many bytes of the disk's budget are set aside for each sum: it is in a snapshot, and in the next one."""

_SEGMENT: Final = 4 * 2**20
_SNAPSHOT_AFTER: Final = 4 * 2**20
_MOST_OF_A_GROUP: Final = 50_000
"""The most ids and sums of a record."""


class RecorderOptions(NamedTuple):
    """`budget`: most bytes of the journal. `most_ids`: of outcomes' ids. `keep_ms`: how long sums can be read."""

    budget: int
    most_ids: int
    keep_ms: int


class OutcomeCounts:
    """How many outcomes were counted, repeated by their ids, and refused; and how many requests were not written."""

    def __init__(self) -> None:
        self.counted = self.replayed = self.refused = self.failed = 0


class Tally:
    """The outcomes of a feature in a minute, in a group. `slow`: how many took longer than each of `latencies`."""

    __slots__ = ("failed", "latencies", "requests", "slow")

    def __init__(self, latencies: tuple[int, ...]) -> None:
        self.requests = self.failed = 0
        self.latencies = latencies
        self.slow = [0] * len(latencies)

    def add_slow(self, duration_ms: float) -> None:
        """Count a request that did not fail."""
        for place, latency in enumerate(self.latencies):
            if duration_ms <= latency:
                break
            self.slow[place] += 1


class _Group:
    """Outcomes that become one record; `waiting`: whom to tell when it is on disk."""

    __slots__ = ("count", "ids", "minutes", "waiting")

    def __init__(self) -> None:
        self.minutes: dict[Instant, dict[str, Tally]] = {}
        self.ids: list[bytes] = []
        self.count = 0
        self.waiting: list[Done] = []


class OutcomeRecorder:
    """The book of a sidecar, and its journal. `open`, then `start` in the event loop. For the loop's thread."""

    def __init__(
        self, book: OutcomeBook, journal: Journal, clock: Callable[[], Instant], options: RecorderOptions
    ) -> None:
        """Use `open`."""
        self.book = book
        self.journal = journal
        self.options = options
        self.most_sums = max(1, options.budget // BYTES_OF_A_SUM)
        """The most sums that are kept."""
        self.clock = clock
        self.counts = OutcomeCounts()
        self._group = _Group()
        self._coming: set[bytes] = set()  # ids that are not on disk yet
        self._appended: deque[tuple[BookRecord, bytes]] = deque()  # in the journal's hands
        self._is_scheduled = False
        self._loop: asyncio.AbstractEventLoop | None = None

    @classmethod
    def open(cls, folder: Path, clock: Callable[[], Instant], options: RecorderOptions) -> OutcomeRecorder:
        """Open the journal in a folder that nobody else uses.

        Raises:
            JournalError: if it cannot be read.
        """
        book = OutcomeBook(options.most_ids)

        def apply(content: bytes) -> None:
            try:
                book.apply(decode_record(content))
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                raise JournalError(str(folder), f"has a record that this version cannot read: {error}") from None

        journal = Journal.open(folder, apply, budget=options.budget, segment=_SEGMENT, content="outcomes")
        return cls(book, journal, clock, options)

    def start(self) -> None:
        """Begin to write, in the running event loop."""
        self._loop = asyncio.get_running_loop()
        self.journal.start()

    # ── counting ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def tallies(self, minute: Instant) -> dict[str, Tally]:
        """Return the tallies of the group for a minute, which are counted to in this turn of the loop."""
        found = self._group.minutes.get(minute)
        return self._group.minutes.setdefault(minute, {}) if found is None else found

    def add_tally(self, minute: Instant, feature: str, latencies: tuple[int, ...]) -> Tally | None:
        """Add a tally to the group; `None` if there are too many sums that are not delivered."""
        group = self._group
        if self.book.undelivered + group.count >= self.most_sums:
            return None
        group.count += 1
        tally = Tally(latencies)
        self.tallies(minute)[feature] = tally
        return tally

    def claim(self, id_: bytes) -> bool:
        """Return whether an id is new; then it is counted with the group."""
        if id_ in self._coming or id_ in self.book.ids:
            return False
        self._coming.add(id_)
        self._group.ids.append(id_)
        return True

    def when_durable(self, done: Done) -> None:
        """Call `done` when everything that was counted before is on disk, or with the error if it is not."""
        self._group.waiting.append(done)
        if len(self._group.ids) + self._group.count >= _MOST_OF_A_GROUP:
            self.flush()
        elif not self._is_scheduled:
            if self._loop is None:
                raise RuntimeError("the recorder is not started")
            self._is_scheduled = True
            self._loop.call_soon(self.flush)

    def flush(self) -> None:
        """Hand the group to the journal, and begin another."""
        self._is_scheduled = False
        group = self._group
        if not group.waiting:
            return
        self._group = _Group()
        self._append(Counted(tuple(_sums(group)), tuple(group.ids), self.clock()), group.waiting)

    async def commit(self, record: BookRecord) -> None:
        """Append a record, and wait until it is on disk and applied.

        Raises:
            JournalError: if it is not.
        """
        self.flush()
        written: asyncio.Future[JournalError | None] = asyncio.get_running_loop().create_future()
        self._append(record, [lambda error: None if written.done() else written.set_result(error)])
        if (error := await written) is not None:
            raise error

    def _append(self, record: BookRecord, waiting: list[Done]) -> None:
        def done(error: JournalError | None) -> None:
            if error is None:
                self.book.apply(self._appended.popleft()[0])
            else:
                self._appended.pop()  # the newest fails first
            if isinstance(record, Counted):
                self._coming.difference_update(record.ids)
            for each in waiting:
                each(error)

        content = encode_record(record)
        self._appended.append((record, content))
        self.journal.append(content, done)

    # ── in the background ────────────────────────────────────────────────────────────────────────────────────────────

    def compact(self) -> None:
        """Replace a long journal by a snapshot."""
        journal = self.journal
        if journal.failed is None and journal.since_snapshot > max(_SNAPSHOT_AFTER, journal.size // 2):
            self.begin_snapshot()

    def begin_snapshot(self) -> bool:
        """Begin to replace the journal by a snapshot; return whether it begins now."""
        self.flush()
        frozen, coming = self.book.freeze(), [content for _, content in self._appended]

        def records() -> Iterator[bytes]:
            yield from map(encode_record, frozen)
            yield from coming  # they are written before the snapshot, or it is not made

        return self.journal.begin_snapshot(records())

    def close(self) -> None:
        """Write what waits, and close the files."""
        self.flush()
        self.journal.close()


def _sums(group: _Group) -> Iterator[MinuteSum]:
    for minute, tallies in group.minutes.items():
        for feature, tally in tallies.items():
            slow = tuple(zip(tally.latencies, tally.slow, strict=True))
            if tally.requests:
                yield MinuteSum(feature, minute, tally.requests, tally.failed, slow)
