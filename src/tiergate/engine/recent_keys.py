"""Remembers which keys were used recently, so that a cache can leave out what is asked only once (ADR 7)."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Hashable


class RecentKeys:
    """The hashes of recent keys, each in the one slot of a table that it belongs to, until another one takes it.

    So a key is forgotten after about as many others as there are slots, and sometimes sooner. Two keys of one hash are
    taken for one. A slot takes 8 bytes; nothing else is ever allocated or freed.
    """

    __slots__ = ("_marks", "_mask")

    def __init__(self, slots: int) -> None:
        """`slots` is rounded up to a power of two. The table is made when it is needed."""
        self._mask = (1 << max(slots - 1, 0).bit_length()) - 1
        self._marks = array("q")

    def add(self, key: Hashable) -> bool:
        """Remember a key; return whether it was used recently."""
        mark = hash(key)
        marks, slot = self._marks, mark & self._mask
        if not marks:
            marks.frombytes(bytes(8 * (self._mask + 1)))
        if marks[slot] == mark:
            return True
        marks[slot] = mark
        return False

    def clear(self) -> None:
        """Forget every key."""
        self._marks = array("q")
