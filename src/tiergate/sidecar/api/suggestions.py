"""What somebody probably meant who names a feature that there is not.

A service that is ahead of its catalog asks for an unknown feature as often as for any other, so the search must not
hold up checks: it compares a name with those that stand next to it in the order of the ids, and of the ids read
backwards, of which one has the beginning in common and the other the end; and it remembers what it found.
"""

from __future__ import annotations

from bisect import bisect_left
from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

_NEIGHBOURS = 12
_REMEMBERED = 1_000
_LONGEST = 100


class Suggestions:
    """Finds near misses among ids. Nothing is prepared before the first one is looked for."""

    def __init__(self, known: Collection[str]) -> None:
        self._known = known
        self._forwards: list[str] = []
        self._backwards: list[str] = []
        self._found: dict[str, str | None] = {}

    def near(self, name: str) -> str | None:
        """The id that is most like a name, if any is much like it."""
        name = name[:_LONGEST]
        if name not in self._found:
            if len(self._found) >= _REMEMBERED:
                self._found.clear()
            self._found[name] = self._search(name)
        return self._found[name]

    def _search(self, name: str) -> str | None:
        if not self._forwards:
            self._forwards = sorted(self._known)
            self._backwards = sorted(known[::-1] for known in self._known)
        candidates = {*_around(self._forwards, name), *(found[::-1] for found in _around(self._backwards, name[::-1]))}
        best = get_close_matches(name, sorted(candidates), n=1)
        return best[0] if best else None


def _around(ordered: list[str], name: str) -> list[str]:
    place = bisect_left(ordered, name)
    return ordered[max(0, place - _NEIGHBOURS) : place + _NEIGHBOURS]
