"""Remembers which keys were used recently, so that a cache can leave out what is asked only once."""

from __future__ import annotations

_PER_HALF = 32_768
"""Of two halves, of which the older is dropped when the younger is full. Both take about 4 MB."""


class RecentKeys:
    """The hashes of at least the last 32,768 different keys. Two keys of one hash are taken for one."""

    __slots__ = ("_old", "_young")

    def __init__(self) -> None:
        self._young: set[int] = set()
        self._old: set[int] = set()

    def add(self, key: bytes) -> bool:
        """Remember a key; return whether it was used recently."""
        mark = hash(key)
        if mark in self._young:
            return True
        if len(self._young) >= _PER_HALF:
            self._old, self._young = self._young, set()
        self._young.add(mark)
        return mark in self._old
