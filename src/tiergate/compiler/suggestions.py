"""A limited number of suggestions, because each one is a search through the whole catalog."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tiergate.naming import nearest

if TYPE_CHECKING:
    from collections.abc import Iterable

_MOST = 50
_MOST_CHARACTERS = 200


class Suggestions:
    """Finds what was probably meant, until there are enough suggestions for one author to go on with."""

    def __init__(self) -> None:
        self._left = _MOST

    def find(self, word: str, known: Iterable[str]) -> str | None:
        """Return the one of `known` that was probably meant; nothing once there are many suggestions."""
        if self._left <= 0 or len(word) > _MOST_CHARACTERS:
            return None
        self._left -= 1
        return nearest(word, known)
