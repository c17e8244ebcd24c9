"""Insert many rows at once, in the quickest way of each database.

SQLAlchemy binds each parameter of each row by its name and type, which takes several times as long as the database
takes for the row. The rows of the store are texts, integers, booleans and bytes, which both drivers take as they are:
SQLite a list of tuples, PostgreSQL, which answers each statement, one statement with an array for each column.
"""

from __future__ import annotations

from functools import lru_cache
from operator import itemgetter
from typing import TYPE_CHECKING, Final

from sqlalchemy.dialects import postgresql, sqlite

from tiergate.store.array_literals import array_literals
from tiergate.store.prepared_queries import execute_rows, execute_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Connection, Table

_AT_ONCE: Final = 5_000
_POSTGRESQL: Final = postgresql.dialect()  # type: ignore[no-untyped-call]
_SQLITE: Final = sqlite.dialect()


def insert_rows(
    connection: Connection, table: Table, rows: Sequence[Mapping[str, object]], *, replacing: str = ""
) -> None:
    """Insert rows, in their order. All have the same columns; columns that they do not have must have no default here.

    `replacing`: the column of the primary key; a row with the same value is replaced. Each value occurs once.

    Raises:
        DBAPIError: the database rejects them; as of any statement of SQLAlchemy.
    """
    if not rows:
        return
    columns = tuple(rows[0])
    pick = itemgetter(*columns) if len(columns) > 1 else lambda row: (row[columns[0]],)
    end = _replacing(columns, replacing) if replacing else ""
    if connection.dialect.name == _SQLITE.name:
        execute_rows(connection, sqlite_insert(table, columns) + end, [pick(row) for row in rows])
        return
    statement = postgresql_insert(table, columns) + end
    for begin in range(0, len(rows), _AT_ONCE):
        execute_text(connection, statement, array_literals(map(pick, rows[begin : begin + _AT_ONCE])))


@lru_cache(maxsize=100)
def _replacing(columns: tuple[str, ...], key: str) -> str:
    """Return how an insert of either database ends, if it replaces rows."""
    quote = _SQLITE.identifier_preparer.quote
    changes = ", ".join(f"{quote(name)} = excluded.{quote(name)}" for name in columns if name != key)
    return f" ON CONFLICT ({quote(key)}) DO UPDATE SET {changes}"


@lru_cache(maxsize=100)
def sqlite_insert(table: Table, columns: tuple[str, ...]) -> str:
    """Return the statement that inserts one row, with a parameter for each column."""
    quote = _SQLITE.identifier_preparer.quote
    names = ", ".join(quote(name) for name in columns)
    return f"INSERT INTO {quote(table.name)} ({names}) VALUES ({', '.join('?' * len(columns))})"  # noqa: S608


@lru_cache(maxsize=100)
def postgresql_insert(table: Table, columns: tuple[str, ...]) -> str:
    """Return the statement that inserts many rows, with an array for each column."""
    quote = _POSTGRESQL.identifier_preparer.quote
    names = ", ".join(quote(name) for name in columns)
    arrays = ", ".join(f"%s::{table.c[name].type.compile(_POSTGRESQL)}[]" for name in columns)
    return f"INSERT INTO {quote(table.name)} ({names}) SELECT * FROM unnest({arrays})"  # noqa: S608
