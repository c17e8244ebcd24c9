"""Read one mapping by types: each accessor returns a valid value, or reports a problem and returns the default.

A missing and a wrong value both give the default; this is safe because any problem makes the whole load fail. Nothing
is dropped silently: unknown keys are problems.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING, TypeVar

from tiergate.catalog.reading.document import BROKEN, Broken, Listing, Mapping, Node, describe, shorten
from tiergate.model import Instant, Number, parse_instant, to_units
from tiergate.naming import ID, ID_RULE, nearest, parse_subject_id

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence
    from collections.abc import Mapping as Dictionary
    from enum import StrEnum

    from tiergate.catalog.reading.problem_report import Report

MAX_LINE = 200
"""Largest number of characters of a name, unit, level, tag or author."""

MAX_PROSE = 10_000
"""Largest number of characters of a description or reason."""

MAX_TAGS = 100
"""Largest number of tags of one feature, item or customer."""

# Embeddings, overrides and isolates of the direction of writing make a text look like another one. The marks U+061C,
# U+200E and U+200F, which text of several scripts needs, do not.
_DIRECTIONS = r"\u202a-\u202e\u2066-\u2069"
CONTROL = re.compile(rf"[\x00-\x1f\x7f-\x9f\u2028\u2029{_DIRECTIONS}]")
CONTROL_IN_PROSE = re.compile(rf"[\x00-\x08\x0b-\x1f\x7f-\x9f{_DIRECTIONS}]")
_MAX_SUGGESTIONS = 100

_Choice = TypeVar("_Choice", bound="StrEnum")


def find_suggestion(word: str, known: Collection[str], report: Report) -> str | None:
    """Return the one of `known` that was probably meant; nothing after many problems, because the search is slow."""
    return None if report.count > _MAX_SUGGESTIONS else nearest(word, known)


def read_id(node: Node, place: int, report: Report) -> str | None:
    """Read an id of the catalog."""
    if isinstance(node, str):
        if ID.fullmatch(node):
            return node
        report.add(place, "bad-id", f"the id `{shorten(node)}` {ID_RULE}")
    elif isinstance(node, int) and not isinstance(node, bool) and node >= 0:
        report.add(place, "wrong-type", f'an id is text: put it in quotes, `"{node}"`')
    elif node is not BROKEN:
        report.add(place, "wrong-type", f"must be an id, not {describe(node)}")
    return None


def read_subject_id(node: Node, place: int, report: Report) -> str | None:
    """Read the id of a customer, subscription or user."""
    if isinstance(node, str):
        try:
            return parse_subject_id(node)
        except ValueError as error:
            report.add(place, "bad-id", f"the id `{shorten(node)}` {error}" if node else f"the id {error}")
            return None
    return read_id(node, place, report)


def read_line(node: Node, place: int, report: Report, most: int = MAX_LINE, *, prose: bool = False) -> str | None:
    """Read a text that is not empty: one line, or several with `prose`."""
    if not isinstance(node, str):
        if node is not BROKEN:
            hint = ": put it in quotes" if isinstance(node, bool | int) or _is_number(node) else ""
            report.add(place, "wrong-type", f"must be text, not {describe(node)}{hint}")
        return None
    fault = text_fault(node, most, prose=prose)
    if fault is None:
        return node
    report.add(place, *fault)
    return None


def text_fault(text: str, most: int, *, prose: bool = False) -> tuple[str, str] | None:
    """Return the code and the message of what is wrong with a text of at most `most` characters; `None` if it is valid.

    Valid is a text with something to see in it: one line, or several with `prose`, without control characters.
    """
    if len(text) > most:
        return "too-long", f"must have at most {most:,} characters, not {len(text):,}"
    if (CONTROL_IN_PROSE if prose else CONTROL).search(text):
        breaks = "" if prose else ", line breaks"
        return "bad-character", f"must not contain control characters{breaks} or characters that turn the direction"
    if is_blank(text):
        return "empty-text", "must not be empty: write something, or leave the key out"
    return None


def is_blank(text: str) -> bool:
    """Return whether a text shows nothing: it is empty, or only white space and invisible characters."""
    return all(character.isspace() or not character.isprintable() for character in text)


def _is_number(node: Node) -> bool:
    return isinstance(node, Number) and not isinstance(node, bool)


def read_any_number(node: Node, place: int, report: Report) -> Number | None:
    """Read a number of any size."""
    if isinstance(node, Number) and not isinstance(node, bool):
        return node
    if node is not BROKEN:
        report.add(place, "wrong-type", f"must be a number, not {describe(node)}")
    return None


def read_units(node: Node, place: int, scale: int, report: Report, least: int = 0) -> int | None:
    """Read a number in units of 10^-scale, at least `least` units."""
    number = read_any_number(node, place, report)
    if number is None:
        return None
    try:
        units = to_units(number, scale)
    except ValueError as error:
        report.add(place, "bad-number", f"`{shorten(str(number))}` {error}")
        return None
    if units < least:
        report.add(place, "bad-number", f"`{shorten(str(number))}` is too small: it must be more than 0")
        return None
    return units


def read_instant(node: Node, place: int, report: Report) -> Instant | None:
    """Read an instant."""
    if not isinstance(node, str):
        if node is not BROKEN:
            report.add(place, "wrong-type", f"must be an instant such as 2026-11-01T00:00:00Z, not {describe(node)}")
        return None
    try:
        return parse_instant(node)
    except ValueError as error:
        report.add(place, "bad-instant", f"`{shorten(node)}` {error}")
        return None


def read_list(node: Node, place: int, report: Report) -> Sequence[tuple[Node, int]]:
    """Read a list: its entries with their places."""
    if isinstance(node, Listing):
        return tuple(node.placed())
    if isinstance(node, list):
        return [(entry, 0) for entry in node]
    if node is not BROKEN:
        report.add(place, "wrong-type", f"must be a list, not {describe(node)}")
    return ()


class Fields:
    """The keys of one mapping, read one by one."""

    __slots__ = ("_mapping", "_report", "entries", "place")

    def __init__(self, mapping: Mapping, place: int, report: Report) -> None:
        self._mapping = mapping
        self._report = report
        self.entries = mapping.entries
        self.place = place

    @classmethod
    def of(
        cls,
        node: Node,
        place: int,
        report: Report,
        known: frozenset[str],
        required: Sequence[str] = (),
        elsewhere: Dictionary[str, str] = {},
    ) -> Fields | None:
        """Return the fields of `node`, reporting unknown and missing keys; `None` if it is not a mapping.

        `elsewhere`: keys of other files, with the file that they belong into.
        """
        if not isinstance(node, Mapping):
            if node is not BROKEN:
                report.add(place, "wrong-type", f"must be a mapping, not {describe(node)}")
            return None
        fields = cls(node, place, report)
        fields.expect(known, required, elsewhere)
        return fields

    def expect(
        self,
        known: frozenset[str],
        required: Sequence[str] = (),
        elsewhere: Dictionary[str, str] = {},
    ) -> None:
        """Report keys that are not `known`, and `required` keys that are missing; `elsewhere` as in `of`."""
        entries = self.entries
        if not entries.keys() <= known:
            for key in entries:
                if key not in known:
                    where = elsewhere.get(key)
                    near = None if where else find_suggestion(key, known, self._report)
                    message = f"unknown key `{shorten(key)}`" + (f": it belongs into {where}" if where else "")
                    self._report.add(self._mapping.key_place(key), "unknown-key", message, near)
        for key in required:
            if key not in entries:
                self._report.add(self.place, "missing-key", f"the key `{key}` is missing")

    def __contains__(self, key: str) -> bool:
        return key in self.entries

    def key_place(self, key: str) -> int:
        """Return the place of a key."""
        return self._mapping.key_place(key)

    def at(self, key: str) -> int:
        """Return the place of a key's value."""
        return self._mapping.value_place(key)

    def problem(self, key: str, code: str, message: str, suggestion: str | None = None) -> None:
        """Report a problem at the value of `key`."""
        self._report.add(self.at(key), code, message, suggestion)

    def id(self, key: str) -> str | None:
        """Read an id of the catalog."""
        node = self.entries.get(key, BROKEN)
        if isinstance(node, str) and ID.fullmatch(node):
            return node
        return read_id(node, self.at(key), self._report) if node is not BROKEN else None

    def subject_id(self, key: str) -> str | None:
        """Read the id of a customer, subscription or user."""
        node = self.entries.get(key, BROKEN)
        if isinstance(node, str) and ID.fullmatch(node):
            return node
        return read_subject_id(node, self.at(key), self._report) if node is not BROKEN else None

    def line(self, key: str) -> str:
        """Read one line of text; empty if the key is missing."""
        if key not in self.entries:
            return ""
        return read_line(self.entries[key], self.at(key), self._report) or ""

    def prose(self, key: str) -> str:
        """Read text of several lines; empty if the key is missing."""
        if key not in self.entries:
            return ""
        return read_line(self.entries[key], self.at(key), self._report, MAX_PROSE, prose=True) or ""

    def flag(self, key: str) -> bool | None:
        """Read `true` or `false`."""
        node = self.entries.get(key, BROKEN)
        if isinstance(node, bool):
            return node
        if node is not BROKEN:
            self.problem(key, "wrong-type", f"must be `true` or `false`, not {describe(node)}")
        return None

    def integer(self, key: str, least: int, most: int) -> int | None:
        """Read a whole number from `least` to `most`."""
        if key not in self.entries:
            return None
        node = self.entries[key]
        is_whole = isinstance(node, int) or (isinstance(node, Decimal) and node == node.to_integral_value())
        if isinstance(node, bool) or not isinstance(node, int | Decimal) or not is_whole:
            if not isinstance(node, Broken):
                self.problem(key, "wrong-type", f"must be a whole number, not {describe(node)}")
            return None
        if not least <= node <= most:
            self.problem(key, "bad-number", f"`{shorten(str(node))}` must be from {least} to {most}")
            return None
        return int(node)

    def units(self, key: str, scale: int, least: int = 0) -> int | None:
        """Read a number in units of 10^-scale."""
        if key not in self.entries:
            return None
        return read_units(self.entries[key], self.at(key), scale, self._report, least)

    def instant(self, key: str) -> Instant | None:
        """Read an instant."""
        if key not in self.entries:
            return None
        return read_instant(self.entries[key], self.at(key), self._report)

    def choice(self, key: str, choices: type[_Choice], also: str = "") -> _Choice | None:
        """Read a word of an enumeration; `also` is a further word, which the caller has handled already."""
        if key not in self.entries:
            return None
        node = self.entries[key]
        try:
            return choices(node)  # type: ignore[arg-type]
        except ValueError:
            pass
        words = [str(choice) for choice in choices] + ([also] if also else [])
        if isinstance(node, Broken):
            return None
        near = find_suggestion(node, words, self._report) if isinstance(node, str) else None
        listed = ", ".join(f"`{word}`" for word in words)
        self.problem(key, "unknown-word", f"must be one of {listed}, not {describe(node)}", near)
        return None

    def mapping(self, key: str) -> Fields | None:
        """Return the fields of a mapping with free keys; `None` if the key is missing or has another type."""
        node = self.entries.get(key, BROKEN)
        if isinstance(node, Mapping):
            return Fields(node, self.at(key), self._report)
        if node is not BROKEN:
            self.problem(key, "wrong-type", f"must be a mapping, not {describe(node)}")
        return None

    def entries_of(self, key: str) -> Sequence[tuple[Node, int]]:
        """Return the entries of a list with their places; none if the key is missing."""
        if key not in self.entries:
            return ()
        return read_list(self.entries[key], self.at(key), self._report)

    def is_empty_list(self, key: str) -> bool:
        """Return whether the key has an empty list."""
        node = self.entries.get(key)
        return isinstance(node, Listing) and not node.entries

    def ids(self, key: str, read: Callable[[Node, int, Report], str | None] = read_id) -> Iterator[tuple[str, int]]:
        """Yield the ids of a list with their places, each once; report a second mention. `read` reads one id."""
        seen: set[str] = set()
        for node, place in self.entries_of(key):
            id_ = read(node, place, self._report)
            if id_ in seen:
                self._report.add(place, "duplicate-entry", f"`{id_}` is in this list twice")
            elif id_ is not None:
                seen.add(id_)
                yield id_, place

    def sorted_ids(self, key: str) -> tuple[str, ...]:
        """Return ids whose order has no meaning, sorted."""
        return tuple(sorted(result for result, _ in self.ids(key)))

    def tags(self, key: str) -> tuple[str, ...]:
        """Return at most `MAX_TAGS` tags, sorted."""
        count = len(self.entries_of(key)) if isinstance(self.entries.get(key), list | Listing) else 0
        if count > MAX_TAGS:
            self.problem(key, "too-many", f"must have at most {MAX_TAGS} entries, not {count:,}")
            return ()
        return self.sorted_ids(key)
