"""Ids for the keys of a pricing: the key itself where it can be one, else a readable, unique and stable one.

Stable means that the id of a key follows from the key alone, as far as ids that must differ allow: neither the order of
the keys nor a key that is added later changes it. That is why an id that is made always carries a hash of its key, even
where the readable part alone would be free today.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from typing import TYPE_CHECKING

from tiergate.naming import is_id

if TYPE_CHECKING:
    from collections.abc import Sequence

_MAX_ID = 100
_MAX_SERVICE = 40
_MAX_VERSION = 30
_HASH = 6
_UNFIT = re.compile(r"[^A-Za-z0-9._]+")


def assign_ids(keys: Sequence[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """Give each (kind, key) an id; a key of several kinds is the id of the first kind, and the others get their own.

    `24/7Support` becomes `24-7Support-29846f`; the add-on beside a plan `pro` becomes `pro-addon-4a0a37`.
    """
    ids: dict[tuple[str, str], str] = {}
    taken: set[str] = set()
    for kind, key in keys:
        if is_id(key) and key not in taken:
            ids[kind, key] = key
            taken.add(key)
    for kind, key in sorted(set(keys) - ids.keys()):
        readable = f"{key[: _MAX_ID - 30]}-{kind}" if is_id(key) else slug(key) or kind
        digest = _digest(kind, key)
        length = _HASH
        while (made := f"{readable[: _MAX_ID - 1 - length]}-{digest[:length]}") in taken:
            length += 2
        ids[kind, key] = made
        taken.add(made)
    return ids


def prefix_of(service: str, version: str) -> str:
    """`box-2023-11-20`: what `--prefix` puts before every id of a pricing."""
    return f"{_part(service.lower(), _MAX_SERVICE)}-{_part(version, _MAX_VERSION)}"


def prefixed(prefix: str, id_: str) -> str:
    """Put a prefix before an id; what gets too long is cut, and told apart by a hash of the whole."""
    whole = f"{prefix}-{id_}"
    if len(whole) <= _MAX_ID:
        return whole
    return f"{whole[: _MAX_ID - 9]}-{_digest(whole)[:8]}"


def slug(text: str) -> str:
    """The letters and digits of a text that an id can hold, with `-` for what stands between them; may be empty."""
    letters = (letter for letter in unicodedata.normalize("NFKD", text) if not unicodedata.combining(letter))
    return _UNFIT.sub("-", "".join(letters)).strip("-._")


def _part(text: str, most: int) -> str:
    """A part of a prefix: a slug of at most `most` characters."""
    readable = slug(text)
    if not readable:
        return _digest(text)[:8]
    return readable if len(readable) <= most else f"{readable[: most - 9]}-{_digest(text)[:8]}"


def _digest(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()
