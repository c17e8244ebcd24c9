"""Errors of the database, sorted into operator problems, lost races and defects.

Errors that follow from the database's state (away, failed over, read-only, full, missing privileges, a pooler) are for
the operator: a `StoreError`, which is 503 over HTTP and exit code 4 of a command. Errors of our statements pass
through, because they are defects.

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

_RETRY_STATES: Final = frozenset({"40001", "40P01", "55P03"})  # serialization failure, deadlock, lock not available
_NOT_WRITTEN_STATES: Final = frozenset({"25006", "53100"})
_LOST_STATES: Final = frozenset({"57P01", "57P02", "57P03", "57P05"})  # shut down, crashed, starting up, idle too long
_LOST_CLASS: Final = "08"

_OPERATOR_CLASSES: Final = frozenset(
    {
        "08",  # connection
        "0A",  # not supported, by an older server or by a pooler
        "25",  # transaction state: read-only, idle for too long
        "26",  # a prepared statement that a pooler lost
        "28",  # authorization
        "3D",  # no such database
        "3F",  # no such schema
        "53",  # out of disk, memory, connections
        "55",  # object not in the required state
        "57",  # operator intervention: shutdown, statement timeout
        "58",  # system of the server: files, I/O
        "F0",  # configuration
        "XX",  # internal, damaged
    }
)
_OPERATOR_STATES: Final = frozenset({"42501", "42P01", "42P05", "42703", "42704"})  # privilege, schema, prepared
_REASONS: Final = {
    "25006": "the database is read-only",
    "26000": "a pooler lost a prepared statement",
    "42P05": "a pooler mixes prepared statements of several clients",
    "28000": "the database rejects this user",
    "28P01": "the database rejects this user's password",
    "3D000": "there is no such database",
    "42501": "the database's user lacks a privilege",
    "42P01": "a table of this release is missing, or belongs to another user",
    "53100": "the database's disk is full",
    "53300": "the database has no connection left",
    "57014": "the database ended a statement that took too long",
    "57P01": "the database is shutting down, or failing over",
    "57P03": "the database is starting up",
}

_SQLITE_NOT_WRITTEN: Final = frozenset({8, 13})
_SQLITE_REASONS: Final = {
    8: "the database file or its folder is read-only",
    10: "the disk cannot be read or written",
    11: "the database file is damaged",
    13: "the disk is full",
    14: "the database file cannot be opened",
    26: "the file is no database",
}
_SQLITE_BUSY: Final = frozenset({5, 6})  # the database, or a table of it, is locked


class ConnectionLostError(StoreError):
    """The connection was lost during a transaction, as when a database fails over."""


@contextmanager
def translate_errors(*, races: bool = False) -> Iterator[None]:
    """Raise operator problems as `StoreError`. Defects pass through, and so do lost races, unless `races` is set.

    Raises:
        ReadOnlyStoreError: if the database is read-only.
        ConnectionLostError: if the connection is lost.
        StoreError: if it cannot be used for another reason.
    """
    try:
        yield
    except PoolTimeoutError as error:
        raise StoreError("the database cannot be used: all connections to it are in use") from error
    except DBAPIError as error:
        if races and is_passing(error):
            raise StoreError(f"the database is too busy: {first_line(error)}") from error
        translated = _translate(error)
        if translated is None:
            raise
        raise translated from error


def is_passing(error: SQLAlchemyError) -> bool:
    """Return whether the same transaction can succeed when it runs again: after a lock, a deadlock, a lost race."""
    if not isinstance(error, DBAPIError):
        return False
    state = getattr(error.orig, "sqlstate", None)
    if state is not None:
        return state in _RETRY_STATES
    return _sqlite_code(error) in _SQLITE_BUSY


def first_line(error: DBAPIError) -> str:
    """Return the first line of the driver's message."""
    lines = str(error.orig).strip().splitlines()
    return lines[0] if lines else type(error.orig).__name__


def _translate(error: DBAPIError) -> StoreError | None:
    if is_passing(error) or isinstance(error, IntegrityError | DataError):
        return None
    state = getattr(error.orig, "sqlstate", None)
    code = _sqlite_code(error)
    is_lost = error.connection_invalidated or state in _LOST_STATES or str(state).startswith(_LOST_CLASS)
    if isinstance(error.orig, sqlite3.Error):
        if code is None and not isinstance(error.orig, sqlite3.OperationalError):
            return None  # such as an unknown parameter of the driver
        reason = _SQLITE_REASONS.get(code or 0)
    elif state is not None and not is_lost:
        if state[:2] not in _OPERATOR_CLASSES and state not in _OPERATOR_STATES:
            return None
        reason = _REASONS.get(state)
    else:
        reason = _REASONS.get(state or "")
    message = f"{reason} ({first_line(error)})" if reason else first_line(error)
    if state in _NOT_WRITTEN_STATES or code in _SQLITE_NOT_WRITTEN:
        return ReadOnlyStoreError(f"the database cannot be written: {message}")
    kind = ConnectionLostError if is_lost else StoreError
    return kind(f"the database cannot be used: {message}")


def _sqlite_code(error: DBAPIError) -> int | None:
    code = getattr(error.orig, "sqlite_errorcode", None)
    return None if code is None else int(code) & 0xFF
