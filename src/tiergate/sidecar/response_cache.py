"""A cache of responses by the bytes of their requests: bounded in bytes, cheap to look up.

It has two halves. Entries go into the young half; when that is full, it becomes the old one, and the old one is
dropped. An entry that is found in the old half moves to the young one. That is close to a least recently used order,
but a hit in the young half costs one dictionary access and moves nothing.

Nothing large is freed at once, because that would delay a check by milliseconds: dropped halves are buried, and each
new entry frees a few buried ones. Callers check whether a value is still valid.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence

SLOT = 150
"""The approximate bytes of an entry without its key and value: two headers, and a slot of a half empty dictionary."""

_PARTS = 3
"""The young half, the old half, and the buried entries."""

_FREED = 8
"""How many buried entries are freed for each new one."""


class Weighed(Protocol):
    """A value with its weight: the approximate bytes of it and its key."""

    @property
    def weight(self) -> int:
        """Bytes, about."""
        ...


V = TypeVar("V", bound=Weighed)


class ResponseCache(Generic[V]):
    """A mapping from bytes to values that keeps at most `limit` bytes in memory, buried ones included.

    `young` may be read directly, `memo.young.get(key)`, where every nanosecond counts. Not for several threads.
    """

    __slots__ = ("_buried", "_old", "_old_room", "_room", "limit", "young")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.young: dict[bytes, V] = {}
        self._old: dict[bytes, V] = {}
        self._buried: list[dict[bytes, V]] = []
        self._room = self._old_room = limit // _PARTS

    def __len__(self) -> int:
        return len(self.young) + len(self._old)

    @property
    def size(self) -> int:
        """The approximate bytes of all entries."""
        return 2 * (self.limit // _PARTS) - self._room - self._old_room

    def get(self, key: bytes) -> V | None:
        """Return the value of a key, or `None`."""
        value = self.young.get(key)
        if value is None and self._old:
            return self.revive(key)
        return value

    def get_many(self, keys: Sequence[bytes]) -> list[V | None]:
        """Return the value of each key, or `None`."""
        values = list(map(self.young.get, keys))
        if self._old:
            for place, value in enumerate(values):
                if value is None:
                    values[place] = self.revive(keys[place])
        return values

    def revive(self, key: bytes) -> V | None:
        """Return the value of a key that is not in the young half, or `None`; it moves there."""
        if not self._old:
            return None
        value = self._old.pop(key, None)
        if value is not None:
            self._old_room += value.weight
            self.put(key, value)
        return value

    def put(self, key: bytes, value: V) -> None:
        """Cache a value, unless it weighs more than a third of the limit."""
        self.drop(key)
        if self._buried:
            self._free()
        if value.weight > self._room:
            if value.weight > self.limit // _PARTS:
                return
            self._buried = [self._old]
            self._old, self._old_room = self.young, self._room
            self.young, self._room = {}, self.limit // _PARTS
        self.young[key] = value
        self._room -= value.weight

    def drop(self, key: bytes) -> None:
        """Forget one key."""
        value = self.young.pop(key, None)
        if value is not None:
            self._room += value.weight
        elif self._old:
            value = self._old.pop(key, None)
            if value is not None:
                self._old_room += value.weight

    def clear(self) -> None:
        """Forget everything now, and free it little by little."""
        self._buried = [half for half in (self.young, self._old) if half]
        self.young, self._old = {}, {}
        self._room = self._old_room = self.limit // _PARTS

    def _free(self) -> None:
        half = self._buried[-1]
        for _ in range(_FREED):
            if not half:
                self._buried.pop()
                return
            half.popitem()
