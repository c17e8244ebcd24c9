"""A cache bounded in entries and in bytes, least recently used first."""

from __future__ import annotations

from typing import Generic, TypeVar

import msgspec
from cachetools import LRUCache

K = TypeVar("K")
V = TypeVar("V")


class CacheLimits(msgspec.Struct, frozen=True):
    """The limits of an engine's caches: counts of entries, and estimated bytes, with parsed Cedar."""

    subjects: int = 20_000
    subject_bytes: int = 32 * 2**20
    slices: int = 8_000
    slice_bytes: int = 48 * 2**20
    decisions: int = 50_000
    decision_bytes: int = 48 * 2**20
    answers: int = 20_000
    answer_bytes: int = 8 * 2**20


class BoundedCache(Generic[K, V]):
    """At most `entries` values of together at most `size` bytes; a value larger than a tenth of that is not kept."""

    __slots__ = ("_bytes", "_cache", "_entries", "_offered", "evictions", "hits", "misses")

    def __init__(self, entries: int, size: int) -> None:
        self._entries = entries
        self._bytes = size
        self._cache: LRUCache[K, tuple[V, int]] = LRUCache(maxsize=size, getsizeof=lambda held: held[1])
        self._offered: set[int] = set()
        self.hits = 0
        self.misses = 0
        self.evictions = 0

    def get(self, key: K) -> V | None:
        """Return the value of a key, now the most recently used, or `None`."""
        try:
            held = self._cache[key]
        except KeyError:
            self.misses += 1
            return None
        self.hits += 1
        return held[0]

    def put(self, key: K, value: V, size: int) -> None:
        """Keep a value of about `size` bytes, evicting others as needed."""
        if size * 10 > self._bytes or not self._entries:
            self._cache.pop(key, None)
            return
        before = len(self._cache) + (key not in self._cache)
        self._cache[key] = (value, size)
        while len(self._cache) > self._entries:
            self._cache.popitem()
        self.evictions += before - len(self._cache)

    def offer(self, key: K, value: V, size: int) -> None:
        """Keep a value only if its key was offered before, so that rare keys do not evict frequent ones."""
        if self.admits(key):
            self.put(key, value, size)

    def admits(self, key: K) -> bool:
        """Note that a key is offered; return whether it was before, so that its value is worth keeping."""
        mark = hash(key)
        if mark in self._offered:
            return True
        if len(self._offered) >= 2 * self._entries:
            self._offered.clear()
        self._offered.add(mark)
        return False

    def drop(self, key: K) -> None:
        """Forget one key."""
        self._cache.pop(key, None)

    def clear(self) -> None:
        """Forget everything."""
        self._cache.clear()
        self._offered.clear()

    def shed(self, count: int) -> bool:
        """Forget up to `count` values, so that many can be freed in short steps; return whether any are left."""
        for _ in range(min(count, len(self._cache))):
            self._cache.popitem()
        return bool(self._cache)

    @property
    def bytes(self) -> int:
        """The estimated bytes of the kept values."""
        return int(self._cache.currsize)

    def __len__(self) -> int:
        return len(self._cache)
