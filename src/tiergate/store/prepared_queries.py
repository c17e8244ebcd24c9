"""Queries that are compiled once, and run together past what SQLAlchemy does around each of them.

SQLAlchemy takes some 50 µs around a statement, about as long as the database for a few rows. On the way of brief
changes the same queries run in every transaction. So they are compiled to text once, executed by the driver, and return
plain named tuples.

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

    from sqlalchemy import Connection, Dialect, Select
    from sqlalchemy.sql import CompoundSelect

    Parameters = Mapping[str, object]

_encode = msgspec.json.Encoder().encode
_SQLITE = "sqlite"


class _Compiled(NamedTuple):
    """The text of a query for one kind of database; `parameters` makes of its parameters those of the driver."""

    text: str
    parameters: Callable[[Parameters], object]


class Query:
    """A query that is compiled once. Its columns are texts, integers, booleans and bytes, and so are its parameters.

    Lists of texts are parameters of `id_lists.is_among`.
    """

    def __init__(self, statement: Select[Any] | CompoundSelect[Any]) -> None:
        """Compile nothing yet."""
        self.statement = statement
        self._compiled: dict[str, _Compiled] = {}
        names = [column.name for column in statement.selected_columns]
        self.make_row: Callable[[Iterable[object]], Any] = namedtuple("Row", names)._make  # type: ignore[attr-defined]  # noqa: PYI024
        """Makes a named tuple of the values of a row; its names are those of the columns."""

    def compiled(self, dialect: Dialect) -> _Compiled:
        """Return the query as the driver of a dialect takes it."""
        found = self._compiled.get(dialect.name)
        if found is None:
            found = self._compiled[dialect.name] = _compile(self, dialect)
        return found


def _compile(query: Query, dialect: Dialect) -> _Compiled:
    compiled = query.statement.compile(dialect=dialect)
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
