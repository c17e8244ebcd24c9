"""What one sidecar has counted of outcomes, and how it is delivered once in effect. Pure.

Sums wait until some of them are sealed in a batch. A batch is delivered until the control plane has it, and only then
the next one is sealed. Its name is the source (random text for each start of a sidecar) and a number that counts from 1
without a gap, so that the control plane needs to remember the last number of each source, and the one of an old start
can be told apart from what a copy of its folder makes.

The state is what its records made of it, in their order, and nothing else: after a crash the journal makes the same
batch with the same name.
"""

from __future__ import annotations

import hashlib
from collections import deque
from itertools import chain, islice
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec

from tiergate.model import Instant
from tiergate.status.outcome_minutes import Minutes, MinuteSum

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

ID_TTL_MS: Final = 3_600_000
"""How long an id of an outcome is known at least, in milliseconds: an hour, unless there are too many."""

BATCH_MOST: Final = 5_000
"""The most sums of a batch."""

_CHUNK: Final = 5_000
_DIGEST_BYTES: Final = 16

T = TypeVar("T")


class Counted(msgspec.Struct, array_like=True, frozen=True, tag="c"):
    """Outcomes were counted at an instant: their sums, and the digests of their ids."""

    sums: tuple[MinuteSum, ...]
    ids: tuple[bytes, ...] = ()
    at: Instant = 0


class Begun(msgspec.Struct, array_like=True, frozen=True, tag="b"):
    """A sidecar started: batches from now on have this source. `number`: that of its last batch."""

    source: str
    number: int = 0


class Sealed(msgspec.Struct, array_like=True, frozen=True, tag="s"):
    """The oldest sums that wait, at most so many, are the next batch."""

    most: int = BATCH_MOST


class Delivered(msgspec.Struct, array_like=True, frozen=True, tag="d"):
    """The control plane has the batch."""


class Dropped(msgspec.Struct, array_like=True, frozen=True, tag="x"):
    """What waits of minutes before an instant is given up."""

    before: Instant


class Pending(msgspec.Struct, array_like=True, frozen=True, tag="p"):
    """A batch that is sealed and not delivered, whose source may be an earlier start's. In snapshots, and on the wire.

    Its name is `source` and `number`.
    """

    source: str
    number: int
    sums: tuple[MinuteSum, ...]


class Kept(msgspec.Struct, array_like=True, frozen=True, tag="k"):
    """Sums that were delivered, or need not be. In snapshots."""

    sums: tuple[MinuteSum, ...]


BookRecord = Counted | Begun | Sealed | Delivered | Dropped | Pending | Kept

encode_record: Final = msgspec.msgpack.Encoder().encode
"""Encode a record."""

decode_record: Final = msgspec.msgpack.Decoder(BookRecord).decode
"""Decode a record. Raises `msgspec.DecodeError` or `UnicodeDecodeError`."""


def digest_of_id(feature: str, id_: str) -> bytes:
    """Return the form in which the id of a feature's outcome is kept."""
    return hashlib.blake2b(f"{feature}\0{id_}".encode(), digest_size=_DIGEST_BYTES).digest()


class RecentIds:
    """Digests of ids, at most `most`: the newest half of them is always known, and each for `ID_TTL_MS` if they fit."""

    def __init__(self, most: int) -> None:
        self._half = max(1, most // 2)
        self._young: set[bytes] = set()
        self._old: set[bytes] = set()
        self._begun: Instant = 0
        self.forgotten_early = 0
        """How many were forgotten before their time, because there were too many."""

    def add(self, ids: Iterable[bytes], now: Instant) -> None:
        """Keep digests."""
        for digest in ids:
            is_full = len(self._young) >= self._half
            if is_full or now - self._begun >= ID_TTL_MS:
                if is_full and now - self._begun < ID_TTL_MS:
                    self.forgotten_early += len(self._old)
                self._old, self._young, self._begun = self._young, set(), now
            self._young.add(digest)

    def freeze(self) -> Iterator[tuple[Instant, tuple[bytes, ...]]]:
        """Return the digests as they are now, in parts, which may be read in another thread while they change."""
        parts = (self._begun - ID_TTL_MS, self._old), (self._begun, self._young.copy())
        return ((at, chunk) for at, ids in parts for chunk in _chunks(ids))

    def __contains__(self, digest: bytes) -> bool:
        return digest in self._young or digest in self._old

    def __len__(self) -> int:
        return len(self._young) + len(self._old)


class OutcomeBook:
    """The sums of one sidecar. `waiting`: not in a batch; `pending`: the batch; `delivered`: kept to be read."""

    def __init__(self, most_ids: int) -> None:
        self.source = ""
        self.number = 0
        self.waiting = Minutes()
        self.pending: Pending | None = None
        self.delivered = Minutes()
        self.ids = RecentIds(most_ids)
        self.dropped = 0
        """How many requests were given up."""

    def apply(self, record: BookRecord) -> None:
        """Apply a record. One that does not fit, such as `Delivered` without a batch, does nothing."""
        match record:
            case Counted():
                self.waiting.add_all(record.sums)
                self.ids.add(record.ids, record.at)
            case Begun():
                self.source, self.number = record.source, record.number
            case Sealed():
                if self.pending is None and self.waiting.count:
                    self.number += 1
                    self.pending = Pending(self.source, self.number, self.waiting.take(record.most))
            case Delivered():
                self.delivered.add_all(() if self.pending is None else self.pending.sums)
                self.pending = None
            case Dropped():
                self.dropped += self.waiting.drop(record.before)
            case Pending():
                self.pending = record
            case Kept():
                self.delivered.add_all(record.sums)

    @property
    def undelivered(self) -> int:
        """How many sums the control plane does not have."""
        return self.waiting.count + (0 if self.pending is None else len(self.pending.sums))

    @property
    def oldest_undelivered(self) -> Instant | None:
        """The oldest minute that the control plane does not have."""
        pending = () if self.pending is None else (one.minute for one in self.pending.sums)
        return min((minute for minute in (*pending, self.waiting.oldest) if minute is not None), default=None)

    def search(self, feature: str, start: Instant) -> Iterator[MinuteSum | None]:
        """Return what is counted of a feature now, in the minutes that begin from an instant on, as `Minutes.search`.

        A minute may come several times: its parts are to be added.
        """
        pending = () if self.pending is None else self.pending.sums
        own = [one for one in pending if one.feature == feature and one.minute >= start]
        return chain(self.delivered.search(feature, start), self.waiting.search(feature, start), own)

    def prune_delivered(self, before: Instant, most: int) -> None:
        """Forget delivered minutes before an instant, and the oldest of them while there are more than `most` sums."""
        self.delivered.drop(before)
        while self.delivered.count and self.delivered.count + self.undelivered > most:
            self.delivered.drop_oldest()

    def freeze(self) -> Iterator[BookRecord]:
        """Return records that make this state, as it is now; they may be read in another thread while it changes."""
        first: deque[BookRecord] = deque([Begun(self.source, self.number)])
        if self.pending is not None:
            first.append(self.pending)
        return _records(first, self.delivered.freeze(), self.waiting.freeze(), self.ids.freeze())


def _records(
    first: Iterable[BookRecord],
    delivered: Iterator[MinuteSum],
    waiting: Iterator[MinuteSum],
    ids: Iterator[tuple[Instant, tuple[bytes, ...]]],
) -> Iterator[BookRecord]:
    yield from first
    for chunk in _chunks(delivered):
        yield Kept(chunk)
    for chunk in _chunks(waiting):
        yield Counted(chunk)
    for at, digests in ids:
        yield Counted((), digests, at)


def _chunks(values: Iterable[T]) -> Iterator[tuple[T, ...]]:
    rest = iter(values)
    while chunk := tuple(islice(rest, _CHUNK)):
        yield chunk
