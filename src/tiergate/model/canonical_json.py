"""Canonical JSON: equal values give equal bytes on every machine, and a changed field changes one line."""

from __future__ import annotations

from functools import cache

import msgspec


def canonical_json(value: object) -> bytes:
    """Encode as UTF-8 JSON with sorted keys, an indentation of two spaces and a final newline.

    `value` may contain everything that msgspec encodes except floats, which have several written forms. Fields that
    equal their default are omitted in structures that omit defaults; unset fields are always omitted.
    """
    return msgspec.json.format(msgspec.json.encode(_plain(value), order="sorted"), indent=2) + b"\n"


_LEAVES = frozenset({str, int, bool, type(None)})  # there are thousands of them


def _plain(value: object) -> object:
    """Convert structures into mappings. msgspec alone omits a default only if it is the identical object."""
    if isinstance(value, dict):
        return {key: entry if entry.__class__ in _LEAVES else _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    if isinstance(value, msgspec.Struct) and not value.__struct_config__.array_like:
        fields: dict[str, object] = {}
        for name, default in _fields(type(value)):
            entry = getattr(value, name)
            if entry is not default and entry is not msgspec.UNSET and entry != default:
                fields[name] = entry if entry.__class__ in _LEAVES else _plain(entry)
        return fields
    return value


@cache
def _fields(kind: type[msgspec.Struct]) -> list[tuple[str, object]]:
    """Return the fields of a structure with the defaults to omit."""
    result: list[tuple[str, object]] = []
    for field in msgspec.structs.fields(kind):
        default = field.default
        if field.default_factory is not msgspec.NODEFAULT:
            default = field.default_factory()
        result.append((field.name, default if kind.__struct_config__.omit_defaults else msgspec.NODEFAULT))
    return result
