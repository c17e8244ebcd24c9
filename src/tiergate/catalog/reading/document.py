"""A parsed YAML or JSON text, with the place of every part.

A document consists of mappings, lists and scalars. A place is the offset of a character in the text: one small integer
in a packed array, so that 400,000 entitlements take a few megabytes. Lines and columns are computed only for problems.

Scalars are `str`, `bool`, `int`, `Decimal` (read from the text, never through a binary float) and `None` for null.
`BROKEN` stands for a value whose problem is already reported.
"""

from __future__ import annotations

import re
from array import array
from bisect import bisect_right
from decimal import Decimal
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from tiergate.model import Number

Position = tuple[str, int, int]
"""File, line and column; lines and columns count from 1."""

_LINE_BREAK = re.compile(r"\r\n|\n|\r")
_SHOWN = 60


class Broken:
    """The type of `BROKEN`."""

    __slots__ = ()


BROKEN: Final = Broken()
"""A value that could not be read; its problem is already reported."""


class Mapping:
    """Keys, always text, and values in the order of the text.

    `places` has two entries per key, the place of the key and of the value; it is empty in a document without places.
    """

    __slots__ = ("_indexes", "entries", "places")

    def __init__(self, entries: dict[str, Node], places: array[int]) -> None:
        self.entries = entries
        self.places = places
        self._indexes: dict[str, int] | None = None

    def key_place(self, key: str) -> int:
        """Return the place of the key, which must exist."""
        return self._place(key, 0)

    def value_place(self, key: str) -> int:
        """Return the place of the key's value; the key must exist."""
        return self._place(key, 1)

    def only(self, keys: Collection[str]) -> Mapping:
        """Return the mapping with these keys only, at their places."""
        places = array(
            "q", (at for key in self.entries if key in keys for at in (self._place(key, 0), self._place(key, 1)))
        )
        return Mapping({key: node for key, node in self.entries.items() if key in keys}, places)

    def _place(self, key: str, which: int) -> int:
        if not self.places:
            return 0
        if self._indexes is None:
            self._indexes = {key: index for index, key in enumerate(self.entries)}
        return self.places[2 * self._indexes[key] + which]


class Listing:
    """The entries of a list with their places."""

    __slots__ = ("entries", "places")

    def __init__(self, entries: list[Node], places: array[int]) -> None:
        self.entries = entries
        self.places = places

    def placed(self) -> Iterator[tuple[Node, int]]:
        """Yield each entry with its place."""
        return zip(self.entries, self.places or [0] * len(self.entries), strict=True)


Node = Mapping | Listing | list["Node"] | Broken | str | bool | int | Decimal | None
"""Any part of a document; a plain `list` in a document without places."""


class SourceText:
    """A text with its file's name: converts places into positions.

    `line`: the line on which the text begins, for a text that is one line of a larger file.
    """

    __slots__ = ("_breaks", "_line", "file")

    def __init__(self, file: str, text: str, line: int = 1) -> None:
        self.file = file
        self._line = line
        self._breaks = array("q", (match.end() for match in _LINE_BREAK.finditer(text)))

    def position(self, place: int) -> Position:
        """Return the file, line and column of a place; columns count characters."""
        before = bisect_right(self._breaks, place)
        start = self._breaks[before - 1] if before else 0
        return self.file, self._line + before, place - start + 1

    def place(self, line: int, column: int) -> int:
        """Return the place of a line and column, the inverse of `position`."""
        before = line - self._line
        return (self._breaks[before - 1] if before else 0) + column - 1


def describe(node: Node) -> str:
    """Describe a node for a message: `the number `5``, `a list`."""
    match node:
        case None:
            return "nothing (null)"
        case bool():
            return f"`{str(node).lower()}`"
        case str():
            return f"the text `{shorten(node)}`" if node else "an empty text"
        case int() | Decimal():
            return f"the number `{shorten(written(node))}`"
        case Mapping():
            return "a mapping"
        case Listing() | list():
            return "a list"
        case Broken():
            return "something unreadable"


def written(number: Number) -> str:
    """Return a number as a message shows it."""
    return str(number)


def shorten(text: str) -> str:
    """Return an author's text fit for a message: one line, no control characters, not too long."""
    shown = text[:_SHOWN]
    if not shown.isprintable():
        shown = "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in shown)
    return shown + "…" if len(text) > _SHOWN else shown
