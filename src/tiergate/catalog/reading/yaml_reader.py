"""Parse YAML text into a document with places, from the events of libyaml's parser.

A strict subset of YAML: one document, unique text keys, no anchors, aliases, tags or merge keys, bounded depth; all
else is a problem. `scalars` defines unquoted words. Every text is in the normal form C.
"""

from __future__ import annotations

import re
from array import array
from typing import TYPE_CHECKING, Any

import yaml
from yaml import events
from yaml.cyaml import CParser  # type: ignore[attr-defined] # the stubs hide where it comes from

from tiergate.catalog.reading.document import BROKEN, Listing, Mapping, Node, shorten
from tiergate.catalog.reading.problem_report import report_duplicate_key
from tiergate.catalog.reading.scalars import read_plain
from tiergate.text_normalization import to_nfc

if TYPE_CHECKING:
    from collections.abc import Callable

    from tiergate.catalog.reading.problem_report import TextReport

MAX_DEPTH = 24
"""Largest nesting depth of mappings and lists."""

_UNPRINTABLE = re.compile("[^\t\n\r -~\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_MERGE = "<<"


class _Unreadable(Exception):  # noqa: N818 - reported where it is caught, never seen outside
    """Reading stops here; the problem is reported."""


def read_yaml(text: str, report: TextReport, read_word: Callable[[str], Node] = read_plain) -> tuple[Node, int]:
    """Read the only document of `text`: its root and the root's place; `BROKEN` if it cannot be read as a whole.

    `read_word` interprets an unquoted word; it raises `ValueError` with a message if the word is invalid.
    """
    hit = _UNPRINTABLE.search(text)
    if hit:
        report.add(hit.start(), "bad-character", f"the character U+{ord(hit[0]):04X} is not allowed in YAML")
        return BROKEN, 0
    builder = _Builder(report, read_word)
    try:
        _feed(builder, CParser(text))
    except yaml.MarkedYAMLError as error:
        report.add(_place(error, text), "bad-yaml", _explain(error, text))
        return BROKEN, 0
    except yaml.YAMLError as error:
        report.add(0, "bad-yaml", shorten(str(error)))
        return BROKEN, 0
    except _Unreadable:
        return BROKEN, 0
    return builder.root, builder.root_place


def _place(error: yaml.MarkedYAMLError, text: str) -> int:
    """Return the place of an error; if the end of the text cuts something short, where that begins."""
    mark = error.problem_mark or error.context_mark
    if mark is not None and error.context_mark is not None and not text[mark.index :].strip():
        mark = error.context_mark
    return mark.index if mark is not None else 0


def _explain(error: yaml.MarkedYAMLError, text: str) -> str:
    mark = error.problem_mark
    if mark and text[mark.index : mark.index + 1] == "\t":
        return "a tab cannot indent YAML: use spaces"
    problem = error.problem or "cannot be read as YAML"
    return f"{error.context}: {problem}" if error.context else problem


def _feed(builder: _Builder, parser: CParser) -> None:
    """Pass the parser's events to the builder until the end of the stream."""
    documents = 0
    get_event = parser.get_event
    while True:
        event: Any = get_event()
        kind = event.__class__
        if kind is events.ScalarEvent:
            place = event.start_mark.index
            if event.anchor is not None or event.tag is not None:
                builder.reject(event.anchor, event.tag, place)
            builder.scalar(event.value, place, is_plain=event.implicit[0])
        elif kind is events.MappingStartEvent or kind is events.SequenceStartEvent:
            place = event.start_mark.index
            if event.anchor is not None or event.tag is not None:
                builder.reject(event.anchor, event.tag, place)
            builder.start(place, is_mapping=kind is events.MappingStartEvent)
        elif kind is events.MappingEndEvent or kind is events.SequenceEndEvent:
            builder.end()
        elif kind is events.AliasEvent:
            builder.alias(event.anchor, event.start_mark.index)
        elif kind is events.DocumentStartEvent:
            documents += 1
            if documents > 1:
                builder.reject_document(event.start_mark.index)
        elif kind is events.StreamEndEvent:
            return


class _Open:
    """An open mapping or list: its entries so far, and the key that waits for its value."""

    __slots__ = ("entries", "key", "key_place", "listed", "place", "places")

    def __init__(self, place: int, *, is_mapping: bool) -> None:
        self.entries: dict[str, Node] | None = {} if is_mapping else None
        self.listed: list[Node] = []
        self.places: array[int] = array("q")
        self.place = place
        self.key: str | _NoKey | None = None
        self.key_place = 0


class _NoKey:
    """Stands for a key with a reported problem: its value is read and dropped."""


_NO_KEY = _NoKey()


class _Builder:
    """Builds nodes from events."""

    def __init__(self, report: TextReport, read_word: Callable[[str], Node]) -> None:
        self.root: Node = None
        self.root_place = 0
        self._report = report
        self._read_word = read_word
        self._plain: dict[str, Node] = {}
        self._texts: dict[str, str] = {}
        self._stack: list[_Open] = []

    def scalar(self, text: str, place: int, *, is_plain: bool) -> None:
        if not text.isascii():
            text = to_nfc(text)
        top = self._stack[-1] if self._stack else None
        if top is not None and top.entries is not None and top.key is None:
            top.key_place = place
            top.key = self._key(self._texts.setdefault(text, text), place, top, is_plain=is_plain)
            return
        if not is_plain:
            self._add(self._texts.setdefault(text, text), place)
        elif text in self._plain:
            self._add(self._plain[text], place)
        else:
            self._add(self._read(text, place), place)

    def start(self, place: int, *, is_mapping: bool) -> None:
        if len(self._stack) >= MAX_DEPTH:
            self._report.add(place, "too-deep", f"nested more than {MAX_DEPTH} deep")
            raise _Unreadable
        self._stack.append(_Open(place, is_mapping=is_mapping))

    def end(self) -> None:
        closed = self._stack.pop()
        if closed.entries is None:
            self._add(Listing(closed.listed, closed.places), closed.place)
        else:
            self._add(Mapping(closed.entries, closed.places), closed.place)

    def alias(self, anchor: str, place: int) -> None:
        """Reject an alias, and continue as if it were a value."""
        self._report.add(place, "alias", f"the alias `*{shorten(anchor)}` is not supported: write the value out")
        self._add(BROKEN, place)

    def reject(self, anchor: str | None, tag: str | None, place: int) -> None:
        if anchor is not None:
            self._report.add(place, "anchor", f"the anchor `&{shorten(anchor)}` is not supported")
        if tag is not None:
            message = f"the tag `{shorten(tag)}` is not supported: quote text, write numbers plainly"
            self._report.add(place, "tag", message)

    def reject_document(self, place: int) -> None:
        """Reject a second document, and stop reading."""
        self._report.add(place, "second-document", "a file must contain one YAML document")
        raise _Unreadable

    def _add(self, node: Node, place: int) -> None:
        """Add a finished node to its parent."""
        if not self._stack:
            self.root, self.root_place = node, place
            return
        top = self._stack[-1]
        if top.entries is None:
            top.listed.append(node)
            top.places.append(place)
        elif top.key is None:
            if node is not BROKEN:
                self._report.add(place, "bad-key", "a key must be text")
            top.key = _NO_KEY
        else:
            if isinstance(top.key, str):
                top.entries[top.key] = node
                top.places.append(top.key_place)
                top.places.append(place)
            top.key = None

    def _read(self, text: str, place: int) -> Node:
        try:
            node = self._read_word(text)
        except ValueError as error:
            self._report.add(place, "unclear-scalar", str(error))
            return BROKEN
        self._plain[text] = node
        return node

    def _key(self, key: str, place: int, top: _Open, *, is_plain: bool) -> str | _NoKey:
        if is_plain and key == _MERGE:
            self._report.add(place, "merge-key", "the merge key `<<` is not supported: write the keys out")
            return _NO_KEY
        if top.entries is not None and key in top.entries:
            report_duplicate_key(key, place, top.entries, top.places, self._report)
            return _NO_KEY
        return key
