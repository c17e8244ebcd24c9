"""The database's errors, sorted by who must act: the operator, for whom they become words, or whoever began a race.

What a database refuses because of what it is (away, failed over, read-only, full, of other privileges, behind a pooler)
is the operator's to mend, and no defect: a `StoreError`, which is 503 over HTTP and exit code 4 of a command. What a
statement of ours gets wrong stays as it is, and shows as the defect that it is.

PostgreSQL's codes: https://www.postgresql.org/docs/current/errcodes-appendix.html; SQLite's: https://sqlite.org/rescode.html
"""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from tiergate.errors import ReadOnlyStoreError, StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator

_PASSING_STATES: Final = frozenset({"40001", "40P01", "55P03"})  # serialization failure, deadlock, lock not available
_NOT_WRITTEN_STATES: Final = frozenset({"25006", "53100"})
_LOST_STATES: Final = frozenset({"57P01", "57P02", "57P03", "57P05"})  # shut down, crashed, starting up, idle too long
_LOST_CLASS: Final = "08"

_OPERATORS_CLASSES: Final = frozenset(
    {
        "08",  # connection
        "0A",  # not supported, by an older server or by a pooler
        "25",  # transaction state: read-only, idle for too long
        "26",  # a prepared statement that a pooler has not
        "28",  # authorization
        "3D",  # no such database
        "3F",  # no such schema
        "53",  # out of disk, memory, connections
        "55",  # not in the state for it
        "57",  # an operator intervenes: shutdown, statement timeout
        "58",  # the server's system: files, I/O
        "F0",  # its configuration
        "XX",  # internal, damaged
    }
)
_OPERATORS_STATES: Final = frozenset({"42501", "42P01", "42P05", "42703", "42704"})  # privilege, schema, prepared
_WORDS: Final = {
    "25006": "the database is read-only",
    "26000": "a pooler lost a prepared statement",
    "42P05": "a pooler mixes prepared statements of several clients",
    "28000": "the database refuses this user",
    "28P01": "the database refuses this user's password",
    "3D000": "there is no such database",
    "42501": "the database's user lacks a privilege",
    "42P01": "the schema is not this release's, or not the user's",
    "53100": "the database's disk is full",
    "53300": "the database has no connection left",
    "57014": "the database ended a statement that took too long",
    "57P01": "the database is shutting down, or failing over",
    "57P03": "the database is starting up",
}

_SQLITE_NOT_WRITTEN: Final = frozenset({8, 13})
_SQLITE_WORDS: Final = {
    8: "the database file or its folder is read-only",
    10: "the disk cannot be read or written",
    11: "the database file is damaged",
    13: "the disk is full",
    14: "the database file cannot be opened",
    26: "the file is no database",
}
_SQLITE_BUSY: Final = frozenset({5, 6})  # the database, or a table of it, is locked


class ConnectionLostError(StoreError):
    """The connection ended in the midst of a transaction, as when a database fails over."""


@contextmanager
def translate_errors(*, races: bool = False) -> Iterator[None]:
    """Raise what is the operator's to mend as `StoreError`. Defects pass through as they are.

    Lost races do too, for whoever begins again; with `races`, nobody does, and they are told as the rest.

    Raises:
        ReadOnlyStoreError: the database does not take changes now.
        ConnectionLostError: the connection ended.
        StoreError: it cannot be used for another reason.
    """
    try:
        yield
    except PoolTimeoutError as error:
        raise StoreError("the database cannot be used: all connections to it are in use") from error
    except DBAPIError as error:
        if races and is_passing(error):
            raise StoreError(f"the database is too busy: {first_line(error)}") from error
        found = _plainly(error)
        if found is None:
            raise
        raise found from error


def is_passing(error: SQLAlchemyError) -> bool:
    """Say whether the same transaction, begun again, can be expected to succeed: a lock, a deadlock, a lost race."""
    if not isinstance(error, DBAPIError):
        return False
    state = getattr(error.orig, "sqlstate", None)
    if state is not None:
        return state in _PASSING_STATES
    return _sqlite_code(error) in _SQLITE_BUSY


def first_line(error: DBAPIError) -> str:
    """What the driver says, without what it adds in further lines."""
    said = str(error.orig).strip().splitlines()
    return said[0] if said else type(error.orig).__name__


def _plainly(error: DBAPIError) -> StoreError | None:
    """The error of the operator that this is, if it is one."""
    if is_passing(error) or isinstance(error, IntegrityError | DataError):
        return None
    state = getattr(error.orig, "sqlstate", None)
    code = _sqlite_code(error)
    lost = error.connection_invalidated or state in _LOST_STATES or str(state).startswith(_LOST_CLASS)
    if isinstance(error.orig, sqlite3.Error):
        if code is None and not isinstance(error.orig, sqlite3.OperationalError):
            return None  # such as a parameter that the driver does not know
        words = _SQLITE_WORDS.get(code or 0)
    elif state is not None and not lost:
        if state[:2] not in _OPERATORS_CLASSES and state not in _OPERATORS_STATES:
            return None
        words = _WORDS.get(state)
    else:
        words = _WORDS.get(state or "")
    said = f"{words} ({first_line(error)})" if words else first_line(error)
    if state in _NOT_WRITTEN_STATES or code in _SQLITE_NOT_WRITTEN:
        return ReadOnlyStoreError(f"the database cannot be written: {said}")
    kind = ConnectionLostError if lost else StoreError
    return kind(f"the database cannot be used: {said}")


def _sqlite_code(error: DBAPIError) -> int | None:
    """The primary result code of SQLite, if it is one of SQLite's errors."""
    code = getattr(error.orig, "sqlite_errorcode", None)
    return None if code is None else int(code) & 0xFF
