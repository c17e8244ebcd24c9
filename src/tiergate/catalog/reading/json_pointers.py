"""Convert places in a JSON text into JSON Pointers (RFC 6901), for the problems of a body.

Works by the marks alone, up to where the text stops being JSON: invalid parts need a pointer, too.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"?|[{}\[\],:]|[^\s{}\[\],:"]+', re.DOTALL)


def escape_pointer(part: str) -> str:
    """Return one key as it appears in a pointer."""
    return part.replace("~", "~0").replace("/", "~1")


def find_pointers(text: str, places: Iterable[int]) -> dict[int, str]:
    """Return for each place the pointer of its value or key; for a mark, of the enclosing value."""
    waiting = sorted(set(places), reverse=True)
    result: dict[int, str] = {}
    last: tuple[str | int, ...] = ()
    for end, path in _tokens(text):
        last = path
        while waiting and waiting[-1] < end:
            result[waiting.pop()] = _pointer(path)
        if not waiting:
            break
    result.update(dict.fromkeys(waiting, _pointer(last)))
    return result


def _pointer(path: tuple[str | int, ...]) -> str:
    return "".join("/" + escape_pointer(str(part)) for part in path)


def _tokens(text: str) -> Iterator[tuple[int, tuple[str | int, ...]]]:
    """Yield each token's end and path. The last part of a path is `None` between the entries of an object."""
    path: list[str | int | None] = []
    for match in _TOKEN.finditer(text):
        mark = match[0]
        if mark in "}]" and path:
            path.pop()
        elif mark == ",":
            if path:
                path[-1] = path[-1] + 1 if isinstance(path[-1], int) else None
        elif mark[0] == '"' and path and path[-1] is None:
            path[-1] = _key(mark)
        yield match.end(), tuple(part for part in path if part is not None)
        if mark == "{":
            path.append(None)
        elif mark == "[":
            path.append(0)


def _key(written: str) -> str:
    try:
        return str(json.loads(written))
    except ValueError:
        return written.strip('"')
