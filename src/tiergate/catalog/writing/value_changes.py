"""Compare two entries in the form of the files, value by value."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from tiergate.catalog.writing.printer import PlainData, to_json_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


class ValueChange(msgspec.Struct, frozen=True, omit_defaults=True):
    """One changed value: `path` inside the object, separated by `/`; `before` and `after` are JSON, or unset."""

    path: str
    before: msgspec.Raw | None = None
    after: msgspec.Raw | None = None


def compare_values(
    before: Mapping[str, PlainData], after: Mapping[str, PlainData], path: str = ""
) -> Iterator[ValueChange]:
    """Yield every changed value except `id`, sorted by path; `path`: the prefix."""
    for key in sorted(before.keys() | after.keys()):
        if key == "id" and not path:
            continue
        entry, other = before.get(key), after.get(key)
        if entry == other and type(entry) is type(other):
            continue
        if isinstance(entry, dict) and isinstance(other, dict):
            yield from compare_values(entry, other, f"{path}{key}/")
        else:
            yield ValueChange(
                path + key,
                None if key not in before else raw_json(entry),
                None if key not in after else raw_json(other),
            )


def raw_json(value: PlainData | None) -> msgspec.Raw | None:
    """Return raw JSON, so that exact numbers stay exact."""
    return None if value is None else msgspec.Raw(to_json_line(value).encode())
