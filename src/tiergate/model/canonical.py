"""Canonical JSON: equal values are equal bytes, on every machine, and a changed field is a changed line."""

from __future__ import annotations

import msgspec

__all__ = ["canonical_json"]


def canonical_json(value: object) -> bytes:
    """Encode as UTF-8 JSON with sorted keys, two spaces of indentation and a final newline.

    `value` holds what msgspec encodes, but no floats: they have more than one written form.
    """
    return msgspec.json.format(msgspec.json.encode(value, order="sorted"), indent=2) + b"\n"
