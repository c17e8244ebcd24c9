"""Idempotency keys: the same key with the same content counts once, and gets the first answer.

A sidecar decides so at once for its own keys; the ledger does so across sidecars when they report. Only consumptions
that were booked or reserved are kept: a denial counted nothing, so asking again may succeed.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from tiergate.model import Instant

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tiergate.model import Subject

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


class KeptKeys:
    """The keys of one holder, the oldest first: at most `capacity`."""

    def __init__(self, capacity: int = KEYS_MAX) -> None:
        self._capacity = capacity
        self._keys: dict[bytes, KeptKey] = {}
        self.forgotten_early = 0
        """How many keys were forgotten before their time, because there were too many."""

    def find(self, key: bytes, now: Instant) -> KeptKey | None:
        """Return what is kept for a key, if it is not older than `KEY_TTL_MS`."""
        kept = self._keys.get(key)
        return None if kept is None or now - kept.at >= KEY_TTL_MS else kept

    def keep(self, key: bytes, kept: KeptKey) -> None:
        """Keep a key. The oldest is forgotten if there are too many."""
        self._keys.pop(key, None)
        self._keys[key] = kept
        if len(self._keys) > self._capacity:
            del self._keys[next(iter(self._keys))]
            self.forgotten_early += 1

    def prune(self, now: Instant) -> None:
        """Forget the keys whose time is over, from the oldest on."""
        while self._keys:
            key = next(iter(self._keys))
            if now - self._keys[key].at < KEY_TTL_MS:
                return
            del self._keys[key]

    def __len__(self) -> int:
        return len(self._keys)

    def __iter__(self) -> Iterator[tuple[bytes, KeptKey]]:
        return iter(self._keys.items())
