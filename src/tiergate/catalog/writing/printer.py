"""Print plain data as readable, line-oriented YAML, or as JSON.

The output parses to the same data, here and in any YAML 1.1 or 1.2 parser: ambiguous text is quoted.
"""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import Final

import msgspec

from tiergate.catalog.reading.scalars import read_plain
from tiergate.wire.json import encode

PlainData = dict[str, "PlainData"] | list["PlainData"] | str | bool | int | Decimal
"""Data without nulls, the content of the files."""

_WIDTH: Final = 120
_LONG_LISTS: Final = frozenset({"items", "subscriptions"})
"""Top-level lists whose entries are always written key by key."""

_VERSIONS: Final = "versions"
"""A list inside an item, likewise."""

_BARE = re.compile(r"[A-Za-z][A-Za-z0-9._/+-]*(?: [A-Za-z0-9._/+-]+)*")
_INSTANT = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d{3})?Z", re.ASCII)
_OTHER_CONSTANTS = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})
_ESCAPED = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")


def to_json_line(data: PlainData) -> str:
    """Return JSON on one line, with exact numbers."""
    return _ESCAPED.sub(_escape, encode(data).decode())


def to_json(data: PlainData) -> str:
    """Return JSON with an indentation of two spaces and a final line break."""
    return _ESCAPED.sub(_escape, msgspec.json.format(encode(data), indent=2).decode()) + "\n"


def to_yaml(data: dict[str, PlainData]) -> str:
    """Return YAML: short mappings and lists on one line, long ones in blocks."""
    lines: list[str] = []
    _mapping(data, "", lines)
    return "\n".join(lines) + "\n"


def _mapping(data: dict[str, PlainData], indent: str, lines: list[str], first: str | None = None) -> None:
    """Write entries, the first one after `first` instead of the indentation."""
    start = indent if first is None else first
    for key, value in data.items():
        label = f"{start}{_key(key)}:"
        start = indent
        flow = _flow(value)
        fits = len(label) + 1 + len(flow) <= _WIDTH
        if not isinstance(value, dict | list) or not value or (fits and indent and key != _VERSIONS):
            lines.append(f"{label} {flow}")
            continue
        lines.append(label)
        if isinstance(value, dict):
            _mapping(value, indent + "  ", lines)
        else:
            is_long = key == _VERSIONS or (not indent and key in _LONG_LISTS)
            _listing(value, indent + "  ", lines, is_long=is_long)


def _listing(entries: list[PlainData], indent: str, lines: list[str], *, is_long: bool) -> None:
    for entry in entries:
        flow = _flow(entry)
        if isinstance(entry, dict) and entry and (is_long or len(indent) + 2 + len(flow) > _WIDTH):
            _mapping(entry, indent + "  ", lines, first=indent + "- ")
        else:
            lines.append(f"{indent}- {flow}")


def _flow(value: PlainData) -> str:
    match value:
        case dict():
            return "{" + ", ".join(f"{_key(key)}: {_flow(inner)}" for key, inner in value.items()) + "}"
        case list():
            return "[" + ", ".join(map(_flow, value)) + "]"
        case bool():
            return "true" if value else "false"
        case int() | Decimal():
            return str(value)
        case str():
            return _text(value)


def _key(key: str) -> str:
    return key if _BARE.fullmatch(key) and key.lower() not in _OTHER_CONSTANTS else _quoted(key)


def _text(text: str) -> str:
    if _INSTANT.fullmatch(text):
        return text
    is_bare = _BARE.fullmatch(text) and text.lower() not in _OTHER_CONSTANTS and read_plain(text) == text
    return text if is_bare else _quoted(text)


def _quoted(text: str) -> str:
    return _ESCAPED.sub(_escape, json.dumps(text, ensure_ascii=False))


def _escape(match: re.Match[str]) -> str:
    return f"\\u{ord(match[0]):04x}"
