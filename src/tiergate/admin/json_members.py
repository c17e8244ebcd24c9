"""Look at the members of a JSON object before it is read and validated, and apply merge patches to parts of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from tiergate.catalog import merge_patch
from tiergate.naming import parse_subject_id

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tiergate.catalog import PlainData

_read_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_read_text = msgspec.json.Decoder(str).decode


def members(text: bytes) -> dict[str, msgspec.Raw]:
    """Return the members of a JSON object; an empty dict if the text is none."""
    try:
        return _read_object(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}


def member_names(text: bytes) -> frozenset[str]:
    """Return the keys of a JSON object."""
    return frozenset(members(text))


def subject_id_at(text: bytes, key: str) -> str:
    """Return the id of a subject under a key of a JSON object; '', which no subject has, if there is none."""
    try:
        return parse_subject_id(_read_text(members(text).get(key, msgspec.Raw(b"null"))))
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError):
        return ""


def merge_parts(
    patch: bytes, onto: dict[str, PlainData], parts: Iterable[str]
) -> tuple[dict[str, PlainData], frozenset[str]]:
    """Apply a merge patch, leaving out the `parts` that it does not name; return the data and these parts.

    A part that the patch does not name is not read again: what was valid once does not block other changes. A patch
    that is not a JSON object is a `BodyError`.
    """
    named = members(patch)
    kept = frozenset(part for part in parts if part not in named)
    return merge_patch(patch, {key: value for key, value in onto.items() if key not in kept}), kept
