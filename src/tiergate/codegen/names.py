"""Identifiers for ids and levels, which may be any text: stable, distinct, and allowed in every language."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import Counter
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

_PART: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_DIGEST: Final = 6


def upper_snake(text: str) -> str:
    """`watch-party` → `WATCH_PARTY`."""
    return "_".join(_parts(text)).upper()


def pascal(text: str) -> str:
    """`watch-party` → `WatchParty`."""
    return "".join(part[:1].upper() + part[1:].lower() for part in _parts(text))


def identifiers(texts: Iterable[str], style: Callable[[str], str], taken: Collection[str] = ()) -> dict[str, str]:
    """Return text → identifier, in the order given; none of `taken`.

    A text that would share its identifier with another one gets a digest of its own behind it, and so does the other
    one: which of the two it means is then said by neither.
    """
    wanted = {text: style(text) for text in texts}
    count = Counter(wanted.values())
    return {
        text: name if count[name] == 1 and name and name not in taken else _told_apart(text, name)
        for text, name in wanted.items()
    }


def _parts(text: str) -> list[str]:
    # `ä` becomes `a`; what has no letters of this kind is left to the digest.
    plain = unicodedata.normalize("NFKD", text)
    parts = _PART.findall("".join(letter for letter in plain if not unicodedata.combining(letter)))
    return [f"n{parts[0]}", *parts[1:]] if parts and parts[0][0].isdigit() else parts


def _told_apart(text: str, name: str) -> str:
    digest = hashlib.sha256(text.encode()).hexdigest()[:_DIGEST]
    return f"{name or 'X'}_{digest}"
