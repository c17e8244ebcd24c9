"""A cache bounded in entries and in bytes: what was not used for long makes room first.

An eviction takes the entry that has been in line longest, unless it was used since: then that entry goes to the end of
the line, and the next is looked at. (*Second chance*, or *clock*: nearly a least recently used order, but a hit changes
one flag, where a linked list would change three entries that are in no processor's cache.)
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final, Generic, TypeVar

import msgspec

from tiergate.engine.recent_keys import RecentKeys

K = TypeVar("K")
V = TypeVar("V")

_CHANCES: Final = 16
"""How many used entries an eviction passes over at most, so that its time is bounded."""

_MOST_REMEMBERED: Final = 2**18


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


class _Entry(Generic[V]):
    """A value, its size, and whether it was used since it was last put in line."""

    __slots__ = ("is_used", "size", "value")

    def __init__(self, value: V, size: int) -> None:
        self.value = value
        self.size = size
        self.is_used = False


class BoundedCache(Generic[K, V]):
    """At most `entries` values of together at most `size` bytes; a value larger than a tenth of that is not kept."""

    __slots__ = ("_entries", "_held", "_offered", "_size", "bytes", "evictions", "hits", "misses")

    def __init__(self, entries: int, size: int) -> None:
        self._entries = entries
        self._size = size
        self._held: OrderedDict[K, _Entry[V]] = OrderedDict()
        self._offered = RecentKeys(min(2 * entries, _MOST_REMEMBERED))
        self.bytes = 0
        """The estimated bytes of the kept values."""
        self.hits = 0
        self.misses = 0
        self.evictions = 0

    def get(self, key: K) -> V | None:
        """Return the value of a key, or `None`."""
        entry = self._held.get(key)
        if entry is None:
            self.misses += 1
            return None
        self.hits += 1
        entry.is_used = True
        return entry.value

    def put(self, key: K, value: V, size: int) -> None:
        """Keep a value of about `size` bytes, evicting others as needed."""
        self.drop(key)
        if size * 10 > self._size or not self._entries:
            return
        while len(self._held) >= self._entries or self.bytes + size > self._size:
            self._evict()
        self._held[key] = _Entry(value, size)
        self.bytes += size

    def offer(self, key: K, value: V, size: int) -> None:
        """Keep a value only if its key was offered before, so that rare keys do not evict frequent ones."""
        if self.admits(key):
            self.put(key, value, size)

    def admits(self, key: K) -> bool:
        """Note that a key is offered; return whether it was recently, so that its value is worth keeping."""
        return self._offered.add(key)

    def drop(self, key: K) -> None:
        """Forget one key."""
        entry = self._held.pop(key, None)
        if entry is not None:
            self.bytes -= entry.size

    def clear(self) -> None:
        """Forget everything."""
        self._held.clear()
        self._offered.clear()
        self.bytes = 0

    def shed(self, count: int) -> bool:
        """Forget up to `count` values, so that many can be freed in short steps; return whether any are left."""
        for _ in range(min(count, len(self._held))):
            self.bytes -= self._held.popitem(last=False)[1].size
        return bool(self._held)

    def _evict(self) -> None:
        held = self._held
        for _ in range(_CHANCES):
            key, entry = next(iter(held.items()))
            if not entry.is_used:
                break
            entry.is_used = False
            held.move_to_end(key)
        self.bytes -= held.popitem(last=False)[1].size
        self.evictions += 1

    def __len__(self) -> int:
        return len(self._held)
