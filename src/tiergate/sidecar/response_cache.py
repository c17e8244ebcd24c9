"""What was answered before, by the bytes that asked for it: bounded in bytes, cheap to look up.

A memo has two halves. Entries go into the young one; when that is full it becomes the old one, and what was old goes.
What is found in the old half moves to the young one. That keeps what is asked for, much as a least recently used
order does, but a lookup that hits costs one dictionary access and moves nothing.

Nothing is freed at once: tens of thousands of entries would hold up a check for milliseconds. What goes is buried,
and each new entry frees a few of the buried ones.

It knows nothing of what its values mean: whoever looks one up sees whether it still holds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence

SLOT = 150
"""About what an entry costs beside its key and value: two headers, and a place in a dictionary that is half empty."""

_PARTS = 3
"""The young half, the old half, and what is buried."""

_FREED = 8
"""How many buried entries go for each one that comes."""


class Weighed(Protocol):
    """A value that knows what it weighs: the bytes that it and its key keep in memory."""

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
        """How many bytes can be found in it, about."""
        return 2 * (self.limit // _PARTS) - self._room - self._old_room

    def get(self, key: bytes) -> V | None:
        """Return the value of a key, or `None`."""
        value = self.young.get(key)
        return self._revive(key) if value is None and self._old else value

    def get_many(self, keys: Sequence[bytes]) -> list[V | None]:
        """Return the value of each key, or `None`."""
        values = list(map(self.young.get, keys))
        if self._old:
            for place, value in enumerate(values):
                if value is None:
                    values[place] = self._revive(keys[place])
        return values

    def _revive(self, key: bytes) -> V | None:
        value = self._old.pop(key, None)
        if value is not None:
            self._old_room += value.weight
            self.put(key, value)
        return value

    def put(self, key: bytes, value: V) -> None:
        """Remember a value, unless it weighs more than a third of all that may be held."""
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
        """Forget everything, at once; free it little by little."""
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
