"""Statements that are compiled once, and run past what SQLAlchemy does around each of them.

SQLAlchemy takes some 50 µs around a statement, about as long as the database for a few rows. On the way of brief
changes the same statements run in every transaction. So they are compiled to text once, and executed by the driver.
Queries run together, and return plain named tuples.

Errors of the driver are raised as SQLAlchemy raises them, so that they mean the same everywhere (`database_errors`).
"""

from __future__ import annotations

from collections import namedtuple
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
from sqlalchemy.exc import DBAPIError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from sqlalchemy import Connection, Delete, Dialect, Select, Update
    from sqlalchemy.sql import CompoundSelect

    Parameters = Mapping[str, object]

_encode = msgspec.json.Encoder().encode
_SQLITE = "sqlite"


class _Compiled(NamedTuple):
    """The text of a query for one kind of database; `parameters` makes of its parameters those of the driver."""

    text: str
    parameters: Callable[[Parameters], object]


class PreparedStatement:
    """A statement that is compiled once. Its values are texts, integers, booleans and bytes.

    Lists of texts are parameters of `id_lists.is_among`.
    """

    def __init__(self, statement: Select[Any] | CompoundSelect[Any] | Update | Delete) -> None:
        """Compile nothing yet."""
        self.statement = statement
        self._compiled: dict[str, _Compiled] = {}

    def compiled(self, dialect: Dialect) -> _Compiled:
        """Return the statement as the driver of a dialect takes it."""
        found = self._compiled.get(dialect.name)
        if found is None:
            found = self._compiled[dialect.name] = _compile(self, dialect)
        return found


class Query(PreparedStatement):
    """A query that is compiled once."""

    def __init__(self, statement: Select[Any] | CompoundSelect[Any]) -> None:
        """Compile nothing yet."""
        super().__init__(statement)
        names = [column.name for column in statement.selected_columns]
        self.make_row: Callable[[Iterable[object]], Any] = namedtuple("Row", names)._make  # type: ignore[attr-defined]  # noqa: PYI024
        """Makes a named tuple of the values of a row; its names are those of the columns."""


def _compile(prepared: PreparedStatement, dialect: Dialect) -> _Compiled:
    compiled = prepared.statement.compile(dialect=dialect)
    fixed = {name: value for name, value in compiled.params.items() if value is not None}
    places = compiled.positiontup if dialect.name == _SQLITE else None
    if places is None:
        return _Compiled(str(compiled), lambda given: {**fixed, **given})
    order = tuple(places)

    def by_place(given: Parameters) -> list[object]:
        listed = {key: _encode(it).decode() if isinstance(it, list) else it for key, it in given.items()}
        return [listed[name] if name in listed else fixed[name] for name in order]

    return _Compiled(str(compiled), by_place)


def fetch_together(connection: Connection, queries: Sequence[tuple[Query, Parameters]]) -> list[list[Any]]:
    """Run queries in their order, and return the rows of each as named tuples.

    Raises:
        DBAPIError: the database rejects one; as of any statement of SQLAlchemy.
    """
    dialect, driver = connection.dialect, connection.connection.driver_connection
    statements = [(query.compiled(dialect), parameters) for query, parameters in queries]
    with _translated(connection):
        found = [driver.execute(text, bind(given)).fetchall() for (text, bind), given in statements]  # type: ignore[union-attr]
    return [list(map(query.make_row, rows)) for (query, _), rows in zip(queries, found, strict=True)]


def execute_prepared(connection: Connection, prepared: PreparedStatement, parameters: Parameters) -> Any:  # noqa: ANN401 - the driver's cursor
    """Run one statement, and return the driver's cursor. Raises as `fetch_together`."""
    text, bind = prepared.compiled(connection.dialect)
    return execute_text(connection, text, bind(parameters))


def execute_text(connection: Connection, text: str, parameters: object) -> Any:  # noqa: ANN401 - the driver's cursor
    """Run the text of a statement, as the driver takes it, and return its cursor. Raises as `fetch_together`."""
    with _translated(connection):
        return connection.connection.driver_connection.execute(text, parameters)  # type: ignore[union-attr]


def execute_rows(connection: Connection, text: str, rows: Sequence[Sequence[object]]) -> int:
    """Run the text of a statement for each row of its parameters; return how many rows it changed.

    Only on SQLite, where that is quicker than one statement. Raises as `fetch_together`.
    """
    with _translated(connection):
        cursor = connection.connection.driver_connection.executemany(text, rows)  # type: ignore[union-attr]
    return int(cursor.rowcount)


@contextmanager
def _translated(connection: Connection) -> Iterator[None]:
    """Raise the errors of the driver as SQLAlchemy does, and close a connection that is lost."""
    dialect = connection.dialect
    errors = dialect.loaded_dbapi.Error
    try:
        yield
    except errors as error:
        is_lost = dialect.is_disconnect(error, connection.connection.dbapi_connection, None)
        if is_lost:
            connection.invalidate(error)
        raise DBAPIError.instance(
            "", None, error, errors, hide_parameters=True, connection_invalidated=is_lost, dialect=dialect
        ) from error
