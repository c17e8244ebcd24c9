"""String and entity literals of Cedar text: write them, and find them in an author's text."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tiergate.cedar import Uid

if TYPE_CHECKING:
    from collections.abc import Iterator

_NAMED_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t", "\0": "\\0"}
_UNREADABLE = re.compile(
    '["\\\\\x00-\x1f\x7f-\x9f\xad\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\uffff\U000e0000-\U000e0fff]'
)
"""Characters that would end the literal, break its line, or mislead: invisible characters and direction marks."""

_TOKEN = re.compile(
    r"""(?P<comment>//[^\n]*)"""
    r"""|(?P<entity>(?P<type>[A-Za-z_]\w*(?:\s*::\s*[A-Za-z_]\w*)*)\s*::\s*"(?P<id>(?:[^"\\]|\\.)*)")"""
    r"""|(?P<string>"(?:[^"\\]|\\.)*")"""
    r"""|(?P<word>[A-Za-z_]\w*(?:\s*::\s*[A-Za-z_]\w*)*)"""
    r"""|(?P<bracket>[][(){}<>])""",
    re.ASCII | re.DOTALL,
)
_ESCAPE = re.compile(r"\\(?:u\{([0-9A-Fa-f]{1,6})\}|x([0-9A-Fa-f]{2})|(.))", re.DOTALL)
_CLOSING = str.maketrans("({[<", ")}]>")
_NAMED = {"n": "\n", "r": "\r", "t": "\t", "0": "\0"}


def quote_string(text: str) -> str:
    """Write a string literal on one line that reads as intended.

    `text` must be encodable as UTF-8: no lone surrogate.
    """
    if _UNREADABLE.search(text) is None:
        return f'"{text}"'
    return f'"{_UNREADABLE.sub(_escape, text)}"'


def find_entity_literals(text: str) -> Iterator[tuple[int, Uid]]:
    """Yield the entity literals in policy text with their places; comments and strings have none."""
    for token in _TOKEN.finditer(text):
        if token["entity"] is not None:
            yield token.start(), Uid(_joined(token["type"]), _unescaped(token["id"]))


def find_identifiers(text: str) -> Iterator[tuple[int, str]]:
    """Yield the identifiers and paths in policy text outside entity literals, with their places."""
    for token in _TOKEN.finditer(text):
        if token["word"] is not None:
            yield token.start(), _joined(token["word"])


def nesting_depth(text: str, brackets: str = "({[") -> int:
    """Return the maximum nesting depth of brackets of these kinds."""
    depth = deepest = 0
    for token in _TOKEN.finditer(text):
        if token["bracket"] is not None:
            depth += (token["bracket"] in brackets) - (token["bracket"] in brackets.translate(_CLOSING))
            deepest = max(deepest, depth)
    return deepest


def _escape(match: re.Match[str]) -> str:
    character = match.group()
    return _NAMED_ESCAPES.get(character) or f"\\u{{{ord(character):x}}}"


def _unescaped(text: str) -> str:
    return _ESCAPE.sub(_character, text)


def _character(match: re.Match[str]) -> str:
    code = match[1] or match[2]
    if code is None:
        return _NAMED.get(match[3], match[3])
    return chr(min(int(code, 16), 0x10FFFF))


def _joined(path: str) -> str:
    return re.sub(r"\s+", "", path)
