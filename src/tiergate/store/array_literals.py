"""Arrays as PostgreSQL reads them: one text for each column of many rows.

The driver writes an array value by value, which takes several times as long as the database takes for the row. See
https://www.postgresql.org/docs/current/arrays.html#ARRAYS-IO
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def array_literals(rows: Iterable[Sequence[object]]) -> tuple[str, ...]:
    """Return an array for each column of rows, of which there is at least one. Values are as in `array_literal`."""
    return tuple(map(array_literal, zip(*rows, strict=True)))


def array_literal(values: Sequence[object]) -> str:
    """Return an array of texts, integers, booleans, bytes and `None`.

    Raises:
        TypeError: for another type.
    """
    types = set(map(type, values))
    if types == {int}:
        return "{" + ",".join(map(str, values)) + "}"
    if types == {str}:
        joined = '","'.join(values)  # type: ignore[arg-type]  # they are texts
        if joined.count('"') == 2 * (len(values) - 1) and "\\" not in joined:
            return '{"' + joined + '"}'
    return "{" + ",".join([_element(value) for value in values]) + "}"


def _element(value: object) -> str:
    if isinstance(value, str):
        if "\\" in value or '"' in value:
            value = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{value}"'
    if value is None:
        return "NULL"
    if isinstance(value, int):  # a boolean too
        return str(value)
    if isinstance(value, bytes):
        return f'"\\\\x{value.hex()}"'
    msg = f"a column cannot have a {type(value).__name__}"
    raise TypeError(msg)
