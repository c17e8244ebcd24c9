"""Make ids from the keys of a pricing: the key itself if it is a valid id, else a readable, unique and stable one.

Stable: the id depends on the key alone, as far as uniqueness allows; neither the order of the keys nor a later key
changes it. So a generated id always has a hash of its key, even if the readable part alone would be free today.
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
    """Give each (kind, key) an id; a key of several kinds is the id of the first kind, the others get generated ids.

    `24/7Support` becomes `24-7Support-29846f`; the add-on next to a plan `pro` becomes `pro-addon-4a0a37`.
    """
    ids: dict[tuple[str, str], str] = {}
    taken: set[str] = set()
    for kind, key in keys:
        if is_id(key) and key not in taken:
            ids[kind, key] = key
            taken.add(key)
    for kind, key in sorted(set(keys) - ids.keys()):
        readable = f"{key[: _MAX_ID - 30]}-{kind}" if is_id(key) else make_slug(key) or kind
        digest = _digest(kind, key)
        length = _HASH
        while (made := f"{readable[: _MAX_ID - 1 - length]}-{digest[:length]}") in taken:
            length += 2
        ids[kind, key] = made
        taken.add(made)
    return ids


def make_prefix(service: str, version: str) -> str:
    """Return the prefix that `--prefix` adds to every id of a pricing, such as `box-2023-11-20`."""
    return f"{_part(service.lower(), _MAX_SERVICE)}-{_part(version, _MAX_VERSION)}"


def add_prefix(prefix: str, id_: str) -> str:
    """Add a prefix to an id; an id that is too long is cut, and ends with a hash of the whole."""
    whole = f"{prefix}-{id_}"
    if len(whole) <= _MAX_ID:
        return whole
    return f"{whole[: _MAX_ID - 9]}-{_digest(whole)[:8]}"


def make_slug(text: str) -> str:
    """Return the letters and digits of a text that an id allows, with `-` for the others; may be empty."""
    letters = (letter for letter in unicodedata.normalize("NFKD", text) if not unicodedata.combining(letter))
    return _UNFIT.sub("-", "".join(letters)).strip("-._")


def _part(text: str, most: int) -> str:
    """Return a part of a prefix: a slug of at most `most` characters."""
    readable = make_slug(text)
    if not readable:
        return _digest(text)[:8]
    return readable if len(readable) <= most else f"{readable[: most - 9]}-{_digest(text)[:8]}"


def _digest(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()
