"""Parse JSON text (RFC 8259) into a document with places.

Numbers are exact, every text is in the normal form C, duplicate keys and depth are problems.
"""

from __future__ import annotations

import json
import re
from array import array
from typing import TYPE_CHECKING

from tiergate.catalog.reading.document import BROKEN, Listing, Mapping, Node, shorten
from tiergate.catalog.reading.problem_report import report_duplicate_key
from tiergate.catalog.reading.scalars import NUMBER, read_number
from tiergate.text_normalization import to_nfc

if TYPE_CHECKING:
    from tiergate.catalog.reading.problem_report import TextReport

MAX_DEPTH = 24
"""Largest nesting depth of objects and arrays."""

_TOKEN = re.compile(
    r"""[ \t\n\r]*(?:
    (?P<mark>[{}\[\],:])
    |"(?P<text>[^"\\\x00-\x1f]*)"
    |(?P<escaped>"(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*")
    |(?P<word>[-+.0-9A-Za-z_]+)
    )?""",
    re.VERBOSE,
)
_WORDS: dict[str, Node] = {"true": True, "false": False, "null": None}
_SURROGATE = re.compile("[\ud800-\udfff]")


class _Unreadable(Exception):  # noqa: N818 - reported where it is caught, never seen outside
    """The text is not JSON from `place` on."""

    def __init__(self, place: int, message: str, code: str = "bad-json") -> None:
        self.place = place
        self.message = message
        self.code = code
        super().__init__(message)


def read_json(text: str, report: TextReport) -> tuple[Node, int]:
    """Read the only value of `text`: it and its place; `BROKEN` if it cannot be read as a whole."""
    reader = _Reader(text, report)
    try:
        reader.advance()
        place = reader.start
        node = reader.value(0)
        if reader.kind:
            raise _Unreadable(reader.start, f"unexpected {reader.found()} after the value")
    except _Unreadable as error:
        report.add(error.place, error.code, error.message)
        return BROKEN, 0
    return node, place


class _Reader:
    """A recursive reader over tokens; depth is bounded by `MAX_DEPTH`."""

    def __init__(self, text: str, report: TextReport) -> None:
        self._text = text
        self._report = report
        self._end = 0
        self._scan = _TOKEN.match
        self._texts: dict[str, str] = {}
        self._numbers: dict[str, Node] = {}
        self.kind: str | None = None
        """`mark`, `text`, `escaped`, `word`, or none at the end of the text."""
        self.lexeme = ""
        self.start = 0

    def advance(self) -> None:
        match = self._scan(self._text, self._end)
        if match is None:  # pragma: no cover - the pattern matches the empty text
            raise _Unreadable(self._end, "cannot be read")
        kind = match.lastgroup
        self.kind = kind
        self._end = match.end()
        if kind is None:
            self.lexeme = ""
            self.start = self._end
            if self._end < len(self._text):
                raise _Unreadable(self._end, f"{self._stray()} is not allowed here")
            return
        self.lexeme = match[kind]
        self.start = match.start(kind) - (kind == "text")

    def _stray(self) -> str:
        character = self._text[self._end]
        if character == '"':
            return "a text with a control character, a bad escape or no end"
        return f"`{character}`" if character.isprintable() else f"the character U+{ord(character):04X}"

    def found(self) -> str:
        return f"`{shorten(self.lexeme)}`" if self.kind else "the end of the text"

    def value(self, depth: int) -> Node:
        """Read the value that begins with the current token, and go past it."""
        kind, lexeme = self.kind, self.lexeme
        node: Node
        if kind == "text":
            node = self._text_of(lexeme)
        elif kind == "escaped":
            node = self._unescape()
        elif kind == "word":
            node = self._word()
        elif lexeme in ("{", "["):
            if depth >= MAX_DEPTH:
                raise _Unreadable(self.start, f"nested more than {MAX_DEPTH} deep", "too-deep")
            return self._mapping(depth + 1) if lexeme == "{" else self._listing(depth + 1)
        else:
            raise _Unreadable(self.start, f"expected a value, not {self.found()}")
        self.advance()
        return node

    def _text_of(self, text: str) -> str:
        if not text.isascii():
            text = to_nfc(text)
        return self._texts.setdefault(text, text)

    def _unescape(self) -> str:
        text: str = json.loads(self.lexeme)
        if _SURROGATE.search(text):
            raise _Unreadable(self.start, "the text has half of a surrogate pair", "bad-character")
        return self._text_of(text)

    def _word(self) -> Node:
        word = self.lexeme
        if word in _WORDS:
            return _WORDS[word]
        if word in self._numbers:
            return self._numbers[word]
        if not NUMBER.fullmatch(word):
            raise _Unreadable(self.start, f"`{shorten(word)}` is not a JSON value")
        try:
            number = read_number(word)
        except ValueError as error:
            self._report.add(self.start, "unclear-scalar", str(error))
            return BROKEN
        self._numbers[word] = number
        return number

    def _mapping(self, depth: int) -> Mapping:
        entries: dict[str, Node] = {}
        places = array("q")
        self.advance()
        if self.kind == "mark" and self.lexeme == "}":
            self.advance()
            return Mapping(entries, places)
        while True:
            place = self.start
            if self.kind == "text":
                key = self._text_of(self.lexeme)
            elif self.kind == "escaped":
                key = self._unescape()
            else:
                raise _Unreadable(place, f"expected a key in double quotes, not {self.found()}")
            self.advance()
            if self.lexeme != ":" or self.kind != "mark":
                raise _Unreadable(self.start, f"expected `:` after the key, not {self.found()}")
            self.advance()
            value_place = self.start
            node = self.value(depth)
            if key in entries:
                report_duplicate_key(key, place, entries, places, self._report)
            else:
                entries[key] = node
                places.append(place)
                places.append(value_place)
            if self._closes("}"):
                return Mapping(entries, places)

    def _listing(self, depth: int) -> Listing:
        entries: list[Node] = []
        places = array("q")
        self.advance()
        if self.kind == "mark" and self.lexeme == "]":
            self.advance()
            return Listing(entries, places)
        while True:
            places.append(self.start)
            entries.append(self.value(depth))
            if self._closes("]"):
                return Listing(entries, places)

    def _closes(self, end: str) -> bool:
        """Go past `,` or the end of the object or array; return whether it was the end."""
        mark = self.lexeme if self.kind == "mark" else ""
        if mark not in (end, ","):
            raise _Unreadable(self.start, f"expected `,` or `{end}`, not {self.found()}")
        self.advance()
        return mark == end
