"""Reads, updates and deletes many rows by their keys, with one statement whose text is always the same.

As in `row_inserts`, values pass through neither the compiler nor the types of SQLAlchemy: keys and values are texts,
integers, booleans and bytes. PostgreSQL gets an array for each column. SQLite gets a JSON list of keys to read, so keys
that are bytes are read one by one, and runs updates and deletes row by row, inside of one call.
"""

from __future__ import annotations

from functools import lru_cache
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final

import msgspec
from sqlalchemy import LargeBinary
from sqlalchemy.dialects import postgresql, sqlite

from tiergate.store.array_literals import array_literals
from tiergate.store.prepared_queries import execute_rows, execute_text
from tiergate.store.row_inserts import postgresql_insert, sqlite_insert

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Connection, Row, Table

_AT_ONCE: Final = 5_000
_LONGEST: Final = 3_800
"""Characters of statements that run as one: the driver parses longer ones again each time."""

_POSTGRESQL: Final = postgresql.dialect()  # type: ignore[no-untyped-call]
_SQLITE: Final = sqlite.dialect()

Key = tuple[Any, ...]


class RowWrites:
    """Inserts, updates and deletes of several tables, to run together: on PostgreSQL in one statement or two.

    Each row is written once, because the parts of that statement do not see each other.
    """

    def __init__(self) -> None:
        """Nothing to write yet."""
        self._parts: list[tuple[tuple[str, str], list[Key]]] = []

    def insert(self, table: Table, rows: Sequence[Mapping[str, object]]) -> None:
        """Insert rows. All have the same columns."""
        if rows:
            columns = tuple(rows[0])
            statements = sqlite_insert(table, columns), postgresql_insert(table, columns)
            self._parts.append((statements, list(map(itemgetter(*columns), rows))))

    def update(self, table: Table, columns: tuple[str, ...], rows: Sequence[Mapping[str, object]]) -> None:
        """Set the other columns of the rows whose `columns` have these values. All have the same columns."""
        if rows:
            values = tuple(name for name in rows[0] if name not in columns)
            statements = _sqlite_update(table, values, columns), _postgresql_update(table, values, columns)
            self._parts.append((statements, list(map(itemgetter(*values, *columns), rows))))

    def delete(self, table: Table, columns: tuple[str, ...], keys: Sequence[Key]) -> None:
        """Delete the rows whose `columns` have these values."""
        if keys:
            self._parts.append(((_sqlite_delete(table, columns), _postgresql_delete(table, columns)), list(keys)))

    def run(self, connection: Connection) -> None:
        """Write everything.

        Raises:
            DBAPIError: the database rejects it; as of any statement of SQLAlchemy.
        """
        if not self._parts:
            return
        if _is_sqlite(connection):
            for (statement, _), rows in self._parts:
                execute_rows(connection, statement, rows)
            return
        statements: list[str] = []
        arrays: list[str] = []
        for (_, statement), rows in self._parts:
            if statements and len(statement) + sum(map(len, statements)) > _LONGEST:
                _run_together(connection, statements, arrays)
                statements, arrays = [], []
            statements.append(statement)
            arrays += array_literals(rows)
        _run_together(connection, statements, arrays)


def _run_together(connection: Connection, statements: Sequence[str], arrays: Sequence[str]) -> None:
    parts = ", ".join(f"w{place} AS ({statement})" for place, statement in enumerate(statements))
    execute_text(connection, f"WITH {parts} SELECT 1", tuple(arrays))


def read_rows(
    connection: Connection, table: Table, columns: tuple[str, ...], keys: Sequence[Key], *, lock: bool = False
) -> list[Row[Any]]:
    """Return the rows whose `columns` have one of the values of `keys`, which differ from each other.

    `lock`: lock them until the end of the transaction, in the order of the keys, which must be the same everywhere.
    """
    if not keys:
        return []
    if _is_sqlite(connection):
        if isinstance(table.c[columns[0]].type, LargeBinary):
            statement = _select_one(table, columns)
            return [row for key in keys for row in connection.exec_driver_sql(statement, key)]
        values = msgspec.json.encode(keys).decode()
        return list(connection.exec_driver_sql(_sqlite_select(table, columns), (values,)))
    statement = _postgresql_select(table, columns, lock=lock)
    found: list[Row[Any]] = []
    for begin in range(0, len(keys), _AT_ONCE):
        found += connection.exec_driver_sql(statement, array_literals(keys[begin : begin + _AT_ONCE]))
    return found


def update_rows(
    connection: Connection, table: Table, columns: tuple[str, ...], rows: Sequence[Mapping[str, object]]
) -> int:
    """Set the other columns of the rows with these keys; all have the same columns. Return how many rows there were."""
    if not rows:
        return 0
    values = tuple(name for name in rows[0] if name not in columns)
    pick = itemgetter(*values, *columns)
    make = _sqlite_update if _is_sqlite(connection) else _postgresql_update
    return _execute(connection, make(table, values, columns), [pick(row) for row in rows])


def delete_rows(connection: Connection, table: Table, columns: tuple[str, ...], keys: Sequence[Key]) -> int:
    """Delete the rows with these keys. Return how many there were."""
    make = _sqlite_delete if _is_sqlite(connection) else _postgresql_delete
    return _execute(connection, make(table, columns), keys)


def _execute(connection: Connection, statement: str, rows: Sequence[Key]) -> int:
    if not rows:
        return 0
    if _is_sqlite(connection):
        return execute_rows(connection, statement, rows)
    parts = (rows[begin : begin + _AT_ONCE] for begin in range(0, len(rows), _AT_ONCE))
    return sum(execute_text(connection, statement, array_literals(part)).rowcount for part in parts)


def _is_sqlite(connection: Connection) -> bool:
    return connection.dialect.name == _SQLITE.name


@lru_cache(maxsize=100)
def _select_one(table: Table, columns: tuple[str, ...]) -> str:
    quote = _SQLITE.identifier_preparer.quote
    return f"SELECT * FROM {quote(table.name)} WHERE {_are_given(columns)}"  # noqa: S608


@lru_cache(maxsize=100)
def _sqlite_select(table: Table, columns: tuple[str, ...]) -> str:
    quote = _SQLITE.identifier_preparer.quote
    condition = " AND ".join(
        f"t.{quote(name)} = json_extract(k.value, '$[{place}]')" for place, name in enumerate(columns)
    )
    # CROSS JOIN: the keys first, and then each row by its key.
    return f"SELECT t.* FROM json_each(?) AS k CROSS JOIN {quote(table.name)} AS t ON {condition}"  # noqa: S608


@lru_cache(maxsize=100)
def _sqlite_update(table: Table, values: tuple[str, ...], columns: tuple[str, ...]) -> str:
    quote = _SQLITE.identifier_preparer.quote
    changes = ", ".join(f"{quote(name)} = ?" for name in values)
    return f"UPDATE {quote(table.name)} SET {changes} WHERE {_are_given(columns)}"  # noqa: S608


@lru_cache(maxsize=100)
def _sqlite_delete(table: Table, columns: tuple[str, ...]) -> str:
    return f"DELETE FROM {_SQLITE.identifier_preparer.quote(table.name)} WHERE {_are_given(columns)}"  # noqa: S608


def _are_given(columns: tuple[str, ...]) -> str:
    return " AND ".join(f"{_SQLITE.identifier_preparer.quote(name)} = ?" for name in columns)


@lru_cache(maxsize=100)
def _postgresql_select(table: Table, columns: tuple[str, ...], *, lock: bool) -> str:
    quote = _POSTGRESQL.identifier_preparer.quote
    names = ", ".join(quote(name) for name in columns)
    end = " ORDER BY k.place FOR UPDATE OF t" if lock else ""
    return (
        f"SELECT t.* FROM unnest({_parameters(table, columns)}) WITH ORDINALITY AS k ({names}, place) "  # noqa: S608
        f"JOIN {quote(table.name)} AS t ON {_are_equal(columns)}{end}"
    )


@lru_cache(maxsize=100)
def _postgresql_update(table: Table, values: tuple[str, ...], columns: tuple[str, ...]) -> str:
    quote = _POSTGRESQL.identifier_preparer.quote
    names = ", ".join(quote(name) for name in values + columns)
    changes = ", ".join(f"{quote(name)} = k.{quote(name)}" for name in values)
    return (
        f"UPDATE {quote(table.name)} AS t SET {changes} "  # noqa: S608
        f"FROM unnest({_parameters(table, values + columns)}) AS k ({names}) WHERE {_are_equal(columns)}"
    )


@lru_cache(maxsize=100)
def _postgresql_delete(table: Table, columns: tuple[str, ...]) -> str:
    quote = _POSTGRESQL.identifier_preparer.quote
    names = ", ".join(quote(name) for name in columns)
    return (
        f"DELETE FROM {quote(table.name)} AS t USING unnest({_parameters(table, columns)}) AS k ({names}) "  # noqa: S608
        f"WHERE {_are_equal(columns)}"
    )


def _parameters(table: Table, columns: tuple[str, ...]) -> str:
    return ", ".join(f"%s::{table.c[name].type.compile(_POSTGRESQL)}[]" for name in columns)


def _are_equal(columns: tuple[str, ...]) -> str:
    quote = _POSTGRESQL.identifier_preparer.quote
    return " AND ".join(f"t.{quote(name)} = k.{quote(name)}" for name in columns)
