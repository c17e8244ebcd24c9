"""Hints at what was probably meant: a few, because each is a search through the whole catalog."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tiergate.naming import nearest

if TYPE_CHECKING:
    from collections.abc import Iterable

_MOST = 50
_MOST_CHARACTERS = 200


class Suggestions:
    """Makes hints, until it has made enough for one author to go on with."""

    def __init__(self) -> None:
        self._left = _MOST

    def hint(self, word: str, known: Iterable[str]) -> str:
        """Write `, did you mean `…`?` where one of `known` is near; nothing otherwise, or after many hints."""
        if self._left <= 0 or len(word) > _MOST_CHARACTERS:
            return ""
        self._left -= 1
        near = nearest(word, known)
        return f", did you mean `{near}`?" if near else ""
