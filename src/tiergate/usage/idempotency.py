"""Idempotency keys: the same key with the same content counts once, and gets the first answer.

A sidecar decides so at once for its own keys; the ledger does so across sidecars when they report. Only consumptions
that were booked or reserved are kept: a denial counted nothing, so asking again may succeed.
"""

from __future__ import annotations

import hashlib
from collections import deque
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from tiergate.model import Instant
from tiergate.usage.kept_answers import AnswerPacker, KeptAnswer

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tiergate.model import Subject

_CHUNKS: Final = 16
_CHUNK_MOST: Final = 10_000

_encode: Final = msgspec.msgpack.Encoder().encode

KEY_TTL_MS: Final = 24 * 3600 * 1000
"""How long keys are kept, in milliseconds: 24 hours."""

KEYS_MAX: Final = 1_000_000
"""The most keys that one sidecar keeps. If there are more in 24 hours, the oldest are forgotten earlier."""

ANSWER_MAX: Final = 4_096
"""The most bytes of an answer that is kept with its key."""

DIGEST_BYTES: Final = 16
"""The length of a digest."""


def key_of(source: str, key: str) -> bytes:
    """Return an idempotency key of a source (what its keys are unique in) in the form in which it is kept."""
    return hashlib.blake2b(key.encode(), digest_size=DIGEST_BYTES, key=_keyed(source)).digest()


def digest_of(content: bytes) -> bytes:
    """Return a digest of what a key stands for, from its canonical encoding."""
    return hashlib.blake2b(content, digest_size=DIGEST_BYTES).digest()


def digest_of_use(subject: Subject, feature: str, amount: int, *content: object) -> bytes:
    """Return the digest of what a request counts, in units of the feature: equal for spellings of the same content.

    `content`: what else matters, such as the kind of request. Every process that counts uses this digest.
    """
    return digest_of(_encode((subject.type.value, subject.id, subject.user, feature, amount, *content)))


def digest_of_record(subject: Subject, feature: str, amount: int, at: Instant | None) -> bytes:
    """Return the digest of usage after the fact; `at`: as the caller gave it, `None` for now."""
    return digest_of_use(subject, feature, amount, b"report", at)


@lru_cache(64)
def _keyed(source: str) -> bytes:
    return hashlib.blake2b(source.encode(), digest_size=32).digest()


class KeyRecord(msgspec.Struct, frozen=True, array_like=True):
    """A key, as the ledger stores it. `at`: when the ledger booked it. `answer`: the first answer, if it is kept.

    `digests`: of the content, `DIGEST_BYTES` each. There are several if sidecars had acknowledged other contents of
    the same key before they could know.
    """

    key: bytes
    digests: bytes
    at: Instant
    answer: bytes = b""

    @property
    def contents(self) -> tuple[bytes, ...]:
        """The digests; `answer` belongs to the first."""
        return tuple(self.digests[place : place + DIGEST_BYTES] for place in range(0, len(self.digests), DIGEST_BYTES))


class KeptKey(NamedTuple):
    """A key, as a holder keeps it. `at`: when it was kept."""

    digest: bytes
    at: Instant
    answer: bytes


class _Stored(NamedTuple):
    """The same with the answer where it is kept."""

    digest: bytes
    at: Instant
    answer: KeptAnswer

    def read(self) -> KeptKey:
        return KeptKey(self.digest, self.at, self.answer.read())


class KeptKeys:
    """The keys of one holder, the oldest first: at most `capacity`.

    They are in chunks, so that no step takes long however many there are: the oldest chunk is forgotten as a whole, and
    only the newest is copied when a snapshot begins. Others may be read in another thread: there a key is replaced by
    `None`, and none is added or removed.
    """

    def __init__(self, capacity: int = KEYS_MAX) -> None:
        self._capacity = capacity
        self._chunk = max(1, min(_CHUNK_MOST, capacity // _CHUNKS))
        self._old: deque[dict[bytes, _Stored | None]] = deque()
        self._young: dict[bytes, _Stored | None] = {}
        self._count = 0
        self._answers = AnswerPacker()
        self.forgotten_early = 0
        """How many keys were forgotten before their time, because there were too many."""

    def find(self, key: bytes, now: Instant) -> KeptKey | None:
        """Return what is kept for a key, if it is not older than `KEY_TTL_MS`."""
        chunk = self._chunk_of(key)
        stored = None if chunk is None else chunk[key]
        return None if stored is None or now - stored.at >= KEY_TTL_MS else stored.read()

    def keep(self, key: bytes, kept: KeptKey) -> None:
        """Keep a key. The oldest are forgotten if there are too many."""
        self.forget(key)
        if len(self._young) >= self._chunk:
            self._old.append(self._young)
            self._young = {}
        self._young[key] = _Stored(kept.digest, kept.at, self._answers.keep(kept.answer))
        self._count += 1
        while self._count > self._capacity and self._old:
            self.forgotten_early += self._forget_chunk()

    def forget(self, key: bytes) -> None:
        """Forget a key, if it is kept."""
        chunk = self._chunk_of(key)
        if chunk is None:
            return
        self._count -= 1
        if chunk is self._young:
            del chunk[key]
        else:
            chunk[key] = None

    def prune(self, now: Instant) -> None:
        """Forget the oldest keys, as far as the time of a whole chunk is over; the others are not found any more."""
        while (self._old or self._young) and self._is_over(self._old[0] if self._old else self._young, now):
            self._forget_chunk()

    def freeze(self) -> Iterator[tuple[bytes, KeptKey]]:
        """Return the keys as they are now, which may be read in another thread while they change."""
        return _read([*self._old, self._young.copy()])

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[tuple[bytes, KeptKey]]:
        return _read([*self._old, self._young])

    def _chunk_of(self, key: bytes) -> dict[bytes, _Stored | None] | None:
        """Return the chunk that has a key."""
        if key in self._young:
            return self._young
        for chunk in self._old:
            if key in chunk and chunk[key] is not None:
                return chunk
        return None

    def _forget_chunk(self) -> int:
        """Forget the oldest chunk; return how many keys it had."""
        if self._old:
            chunk = self._old.popleft()
        else:
            chunk, self._young = self._young, {}
        count = sum(stored is not None for stored in chunk.values())
        self._count -= count
        return count

    @staticmethod
    def _is_over(chunk: dict[bytes, _Stored | None], now: Instant) -> bool:
        last = next((stored for stored in reversed(chunk.values()) if stored is not None), None)
        return last is None or now - last.at >= KEY_TTL_MS


def _read(chunks: Iterable[dict[bytes, _Stored | None]]) -> Iterator[tuple[bytes, KeptKey]]:
    """Yield keys in their order. Those that follow each other are mostly in one block of answers."""
    block, answers = None, []
    for chunk in chunks:
        for key, stored in chunk.items():
            if stored is None:
                continue
            if stored.answer.block is not block or stored.answer.place >= len(answers):
                block, answers = stored.answer.block, stored.answer.block.read()
            yield key, KeptKey(stored.digest, stored.at, answers[stored.answer.place])
