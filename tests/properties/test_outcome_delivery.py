"""Outcomes come into effect once, whatever is lost, repeated, late or crashes: against plain sums of what was counted.

The sidecar is the real book and its records, as a journal of which a crash loses the end that was not acknowledged.
The control plane is the rule of `store.outcomes`: the last number of each source. Messages in between are lost,
repeated and late, in any order.
"""

from __future__ import annotations

import random
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from tiergate.status.outcome_book import (
    Begun,
    BookRecord,
    Counted,
    Delivered,
    OutcomeBook,
    Sealed,
    decode_record,
    encode_record,
)
from tiergate.status.outcome_delivery import decode_batch, decode_reply, encode_batch, encode_reply
from tiergate.status.outcome_minutes import MinuteSum
from tiergate.status.outcomes import MINUTE_MS

if TYPE_CHECKING:
    from collections.abc import Iterable

Sums = Counter[tuple[str, int]]


class Plane:
    """The control plane's rule."""

    def __init__(self) -> None:
        self.last: dict[str, int] = {}
        self.sums: Sums = Counter()

    def take(self, content: bytes) -> bytes:
        """Take a batch in, and confirm it."""
        batch = decode_batch(content)
        if self.last.get(batch.source, 0) < batch.number:
            self.last[batch.source] = batch.number
            add(self.sums, batch.sums)
        return encode_reply(batch.source, batch.number)


class Sidecar:
    """The book, the journal on disk, and records that are not on disk yet."""

    def __init__(self, choose: random.Random) -> None:
        self.choose = choose
        self.disk: list[bytes] = []
        self.coming: list[BookRecord] = []
        self.acknowledged: Sums = Counter()
        self.starts = 0
        self.start()

    def start(self) -> None:
        """Read the disk, and take a new source."""
        self.book = OutcomeBook(100)
        for content in self.disk:
            self.book.apply(decode_record(content))
        self.coming = []
        self.starts += 1
        self.append(Begun(f"source-number-{self.starts:04}"))
        self.sync()

    def append(self, record: BookRecord) -> None:
        """Append a record, which is not on disk yet."""
        self.coming.append(record)

    def sync(self) -> None:
        """Make everything durable; then it is applied, and acknowledged."""
        for record in self.coming:
            self.disk.append(encode_record(record))
            self.book.apply(record)
            if isinstance(record, Counted):
                add(self.acknowledged, record.sums)
        self.coming = []

    def crash(self) -> None:
        """Lose a part of what was not acknowledged; some of it may be on disk."""
        kept = self.coming[: self.choose.randint(0, len(self.coming))]
        self.disk += map(encode_record, kept)
        for record in kept:
            if isinstance(record, Counted):
                add(self.acknowledged, record.sums)  # on disk, though nobody was told
        self.start()

    def compact(self) -> None:
        """Replace the journal by a snapshot, with what is on its way behind it."""
        self.sync()
        self.disk = [encode_record(record) for record in self.book.freeze()]


def add(sums: Sums, more: Iterable[MinuteSum]) -> None:
    """Add requests, failures and slow ones."""
    for one in more:
        sums[one.feature, one.minute] += one.requests
        sums[f"{one.feature} failed", one.minute] += one.failed
        for latency, slow in one.slow:
            sums[f"{one.feature} {latency}", one.minute] += slow


def some_sums(choose: random.Random) -> tuple[MinuteSum, ...]:
    """What a group of requests counted."""
    found = []
    for _ in range(choose.randint(1, 4)):
        requests = choose.randint(1, 9)
        failed = choose.randint(0, requests)
        slow = ((300, choose.randint(0, requests - failed)),)
        found.append(MinuteSum(choose.choice("ab"), choose.randint(0, 40) * MINUTE_MS, requests, failed, slow))
    return tuple(found)


class History:
    """A sidecar, a control plane, and the messages between them."""

    def __init__(self, seed: int) -> None:
        self.choose = random.Random(seed)
        self.plane, self.sidecar = Plane(), Sidecar(self.choose)
        self.requests: list[bytes] = []
        self.replies: list[bytes] = []

    def count(self) -> None:
        """Count, without waiting for the disk."""
        self.sidecar.append(Counted(some_sums(self.choose)))

    def seal(self) -> None:
        """Seal a batch."""
        self.sidecar.sync()
        self.sidecar.append(Sealed(self.choose.randint(1, 9)))
        self.sidecar.sync()

    def send(self) -> None:
        """Send the batch, perhaps again."""
        if self.sidecar.book.pending is not None:
            self.requests.append(encode_batch(self.sidecar.book.pending))

    def arrive(self) -> None:
        """Let a request arrive, which may arrive again later."""
        if self.requests:
            content = self.choose.choice(self.requests)
            if self.choose.random() < 0.5:
                self.requests.remove(content)
            self.replies.append(self.plane.take(content))

    def reply(self) -> None:
        """Let a reply arrive, which may be an old one."""
        if self.replies:
            self.receive(self.replies.pop(self.choose.randrange(len(self.replies))))

    def receive(self, content: bytes) -> None:
        """Act on a reply, as `delivery` does."""
        reply, pending = decode_reply(content), self.sidecar.book.pending
        if pending is not None and (reply.source, reply.number) == (pending.source, pending.number):
            self.sidecar.append(Delivered())
            self.sidecar.sync()

    def lose(self) -> None:
        """Lose the oldest request and the oldest reply."""
        del self.requests[:1], self.replies[:1]

    def sync(self) -> None:
        """Make what was counted durable."""
        self.sidecar.sync()

    def crash(self) -> None:
        """Kill the sidecar, and start it again."""
        self.sidecar.crash()

    def compact(self) -> None:
        """Write a snapshot."""
        self.sidecar.compact()

    def run(self) -> None:
        """Let things happen, and then everything arrive."""
        steps = [self.count, self.sync, self.seal, self.send, self.arrive, self.reply, self.lose, self.crash]
        steps += [self.count, self.send, self.arrive, self.compact]
        for _ in range(60):
            self.choose.choice(steps)()
            assert self.plane.sums <= self.sidecar.acknowledged
        self.sync()
        while self.sidecar.book.undelivered:
            self.seal()
            self.send()
            self.receive(self.plane.take(self.requests[-1]))
        for content in self.requests:
            self.plane.take(content)
        assert self.plane.sums == self.sidecar.acknowledged


def test_outcomes_are_in_effect_once() -> None:
    """Nothing that was acknowledged is lost, and nothing counts twice."""
    for seed in range(100):
        History(seed).run()


@pytest.mark.slow
def test_outcomes_are_in_effect_once_in_many_histories() -> None:
    """The same, many times."""
    for seed in range(100, 5_000):
        History(seed).run()
