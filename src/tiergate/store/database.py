"""The database under the store: how it is opened, how transactions begin, and how commits are heard of.

SQLite is used in WAL mode with every commit synced, and writing transactions begin by taking the write lock, so that
none fails halfway because another one wrote in between; writers of one process wait for each other in a queue. On
PostgreSQL transactions are READ COMMITTED, and whoever needs more locks rows.
"""

from __future__ import annotations

import sqlite3
import time
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, Final, TypeVar

from sqlalchemy import create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError, SQLAlchemyError
from sqlmodel import Session

from tiergate.errors import StoreError
from tiergate.store.together import Turns

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy import Connection, Engine

__all__ = ["CHANNEL", "Database", "is_passing"]

CHANNEL: Final = "tiergate_feed"
"""The channel on which PostgreSQL tells every control plane that the feed has grown."""

T = TypeVar("T")

_BUSY_MS: Final = 15_000
_PASSING_STATES: Final = frozenset({"40001", "40P01", "55P03"})  # serialization failure, deadlock, lock not available


class Database:
    """A connection pool, and the ways to begin a transaction on it."""

    def __init__(self, url: str, *, pool_size: int = 10) -> None:
        """Prepare; nothing is connected to yet. `url` as SQLAlchemy's, the driver may be left out.

        Raises:
            StoreError: the URL names no database that is supported.
        """
        try:
            parsed = make_url(url)
        except ArgumentError:
            raise StoreError("the database's URL is none, such as `sqlite:///tiergate.db`") from None
        backend = parsed.get_backend_name()
        if backend not in {"sqlite", "postgresql"}:
            raise StoreError(f"the database must be sqlite or postgresql, not `{backend}`")
        self.is_sqlite = backend == "sqlite"
        if self.is_sqlite:
            if parsed.database in {None, "", ":memory:"}:
                raise StoreError("the database must be a file: a store in memory would be lost")
            self.engine = create_engine(
                parsed.set(drivername="sqlite+pysqlite"),
                connect_args={"timeout": _BUSY_MS / 1000, "check_same_thread": False},
                hide_parameters=True,  # errors are logged, and parameters are people's data
                pool_size=pool_size,
                max_overflow=2 * pool_size,
            )
            event.listen(self.engine, "connect", _prepare_sqlite)
            event.listen(self.engine, "begin", _begin_sqlite)
        else:
            self.engine = create_engine(
                parsed.set(drivername="postgresql+psycopg"),
                pool_size=pool_size,
                max_overflow=2 * pool_size,
                hide_parameters=True,
                pool_pre_ping=True,
                pool_recycle=1800,
            )
        self.turns = Turns(self.engine, self.committed)
        self._listeners: list[Callable[[], None]] = []

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """A session whose transaction sees one state of the database and is rolled back at the end.

        Raises:
            StoreError: the database cannot be reached.
        """
        level = None if self.is_sqlite else "REPEATABLE READ"
        with self._session(write=False, level=level) as session:
            yield session

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """A session for one writing transaction, which the caller commits; what is left is rolled back.

        Raises:
            StoreError: the database cannot be reached.
        """
        with self.turns.alone() if self.is_sqlite else nullcontext(), self._session(write=True, level=None) as session:
            yield session

    def together(self, work: Callable[[Session], tuple[T, bool]]) -> T:
        """Run a brief change on SQLite, in one transaction with those that wait beside it; return once it is committed.

        `work` must not commit. It says beside its result whether it grew the feed, of which the listeners are told.

        Raises:
            UndoneError: begin again: another change lost the transaction for all.
            StoreError: the database cannot be used. What `work` raises passes through.
        """
        with _told_plainly():
            return self.turns.together(work)

    @contextmanager
    def _session(self, *, write: bool, level: str | None) -> Iterator[Session]:
        options: dict[str, Any] = {"tiergate_write": write}
        if level is not None:
            options["isolation_level"] = level
        with (
            _told_plainly(),
            self.engine.connect().execution_options(**options) as connection,
            Session(connection, autoflush=False, expire_on_commit=False) as session,
        ):
            yield session

    def listen(self, callback: Callable[[], None]) -> None:
        """Have `callback` called after each commit of this process that grew the feed, from the committing thread."""
        self._listeners.append(callback)

    def tell(self, session: Session) -> None:
        """Have all control planes on this database told when the transaction commits."""
        if not self.is_sqlite:
            session.connection().execute(text(f"SELECT pg_notify('{CHANNEL}', '')"))

    def committed(self) -> None:
        """Tell the listeners of this process that a commit grew the feed."""
        for callback in self._listeners:
            callback()

    def dispose(self) -> None:
        """Close all connections."""
        self.engine.dispose()


@contextmanager
def _told_plainly() -> Iterator[None]:
    try:
        yield
    except OperationalError as error:
        if is_passing(error):
            raise
        raise StoreError(f"the database cannot be used: {_said(error)}") from error


def is_passing(error: SQLAlchemyError) -> bool:
    """Say whether the same transaction, begun again, can be expected to succeed: a lock, a deadlock, a lost race."""
    if not isinstance(error, DBAPIError):
        return False
    state = getattr(error.orig, "sqlstate", None)
    if state is not None:
        return state in _PASSING_STATES
    return "database is locked" in str(error.orig) or "database table is locked" in str(error.orig)


def _said(error: DBAPIError) -> str:
    return str(error.orig).strip().splitlines()[0] if str(error.orig).strip() else type(error.orig).__name__


def _prepare_sqlite(connection: Any, _: object) -> None:  # noqa: ANN401 - the driver's
    connection.isolation_level = None  # transactions are begun by us
    for pragma in (f"busy_timeout = {_BUSY_MS}", "synchronous = FULL", "foreign_keys = ON"):
        connection.execute(f"PRAGMA {pragma}")
    _enter_wal(connection)


def _enter_wal(connection: Any) -> None:  # noqa: ANN401 - the driver's
    """Have the file in WAL mode. The first ones to open a new file meet here, and SQLite lets none of them wait."""
    until = time.monotonic() + _BUSY_MS / 1000
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError:
            if time.monotonic() > until:
                raise
            time.sleep(0.01)
        else:
            return


def _begin_sqlite(connection: Connection) -> None:
    write = connection.get_execution_options().get("tiergate_write", True)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")


def engine_of(url: str) -> Engine:
    """An engine for tools that need no more, such as migrations."""
    return Database(url).engine
