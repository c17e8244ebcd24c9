"""The database under the store: how it is opened, how transactions begin, and how commits are heard of.

SQLite is used in WAL mode with every commit synced, and writing transactions begin by taking the write lock, so that
none fails halfway because another one wrote in between; writers of one process wait for each other in a queue. On
PostgreSQL transactions are READ COMMITTED, and whoever needs more locks rows.
"""

from __future__ import annotations

import sqlite3
import time
import warnings
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, Final, TypeVar

from sqlalchemy import create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError, SAWarning
from sqlmodel import Session

from tiergate.errors import ReadOnlyStoreError, StoreError
from tiergate.store.database_errors import is_passing, translate_errors
from tiergate.store.group_commit import CommitQueue

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from sqlalchemy import URL, Connection, Dialect, Engine

CHANNEL: Final = "tiergate_feed"
"""The channel on which PostgreSQL tells every control plane that the feed has grown."""

T = TypeVar("T")

_BUSY_MS: Final = 15_000
_POOL_SECONDS: Final = 10.0

_PREPARE: Final = "prepare_threshold"
_MOST_DIGITS: Final = 4
_PORTS: Final = 65536
_POSTGRESQL: Final = {
    # A pooler that gives every transaction another server has none of the statements that an earlier one prepared.
    _PREPARE: None,
    # A host that is gone is noticed in seconds, whatever its kernel did not say.
    "connect_timeout": 10,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
}
"""What connections to PostgreSQL are made with, unless the URL says otherwise."""


def _parsed(url: str) -> URL:
    """A URL of a database that is supported.

    Raises:
        StoreError: it is none.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):  # its words may show a password
        parsed = None
    if parsed is None or (parsed.port is not None and not 0 < parsed.port < _PORTS):
        raise StoreError(
            "the database's URL must be one such as `sqlite:///tiergate.db` or `postgresql://user@host:5432/name`"
        )
    backend = parsed.get_backend_name()
    if backend not in {"sqlite", "postgresql"}:
        raise StoreError(f"the database must be sqlite or postgresql, not `{backend}`")
    if backend == "sqlite" and parsed.database in {None, "", ":memory:"}:
        raise StoreError("the database must be a file: a store in memory would be lost")
    return parsed


def _sqlite(url: URL, pool_size: int) -> Engine:
    return create_engine(
        url.set(drivername="sqlite+pysqlite"),
        connect_args={"timeout": _BUSY_MS / 1000, "check_same_thread": False},
        hide_parameters=True,  # errors are logged, and parameters are people's data
        pool_size=pool_size,
        max_overflow=2 * pool_size,
        pool_timeout=_POOL_SECONDS,
    )


def _postgresql(url: URL, pool_size: int) -> Engine:
    return create_engine(
        url.set(drivername="postgresql+psycopg").difference_update_query([_PREPARE]),
        connect_args=_options(url.query),
        pool_size=pool_size,
        max_overflow=2 * pool_size,
        pool_timeout=_POOL_SECONDS,
        hide_parameters=True,
        pool_pre_ping=True,
        pool_recycle=1800,
    )


def _options(said: Mapping[str, str | tuple[str, ...]]) -> dict[str, object]:
    """What connections to PostgreSQL are made with, beside what the URL says.

    Raises:
        StoreError: it says it wrong.
    """
    found: dict[str, object] = {name: value for name, value in _POSTGRESQL.items() if name not in said}
    threshold = said.get(_PREPARE)
    if threshold is not None:
        if not isinstance(threshold, str) or not threshold.isdecimal() or len(threshold) > _MOST_DIGITS:
            raise StoreError(f"`{_PREPARE}` in the database's URL must be a number, such as 5")
        found[_PREPARE] = int(threshold)
    return found


class Database:
    """A connection pool, and the ways to begin a transaction on it."""

    def __init__(self, url: str, *, pool_size: int = 10) -> None:
        """Prepare; nothing is connected to yet. `url` as SQLAlchemy's, the driver may be left out.

        Raises:
            StoreError: the URL names no database that is supported.
        """
        parsed = _parsed(url)
        self.is_sqlite = parsed.get_backend_name() == "sqlite"
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", SAWarning)  # what SQLite's driver does not take is only warned of
                self.engine = _sqlite(parsed, pool_size) if self.is_sqlite else _postgresql(parsed, pool_size)
        except (SAWarning, ValueError, TypeError) as error:
            said = str(error).partition(";")[0]
            raise StoreError(f"the database's URL has something that the driver does not take: {said}") from None
        if self.is_sqlite:
            event.listen(self.engine, "connect", _prepare_sqlite)
            event.listen(self.engine, "begin", _begin_sqlite)
        _connecting(self.engine)
        self.queue = CommitQueue(self.engine, self.notify_committed)
        self._listeners: list[Callable[[], None]] = []
        self.read_only_error: ReadOnlyStoreError | None = None
        """Why the database takes no changes now, as far as it is known."""

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """A session whose transaction sees one state of the database and is rolled back at the end.

        Raises:
            StoreError: the database cannot be used; `ReadOnlyStoreError` where it takes no changes.
        """
        level = None if self.is_sqlite else "REPEATABLE READ"
        with translate_errors(races=True), self._session(write=False, level=level) as session:
            yield session

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """A session for one writing transaction, which the caller commits; what is left is rolled back.

        Raises:
            StoreError: the database cannot be used; `ReadOnlyStoreError` where it takes no changes.
        """
        with (
            self.queue.exclusive() if self.is_sqlite else nullcontext(),
            self._session(write=True, level=None) as session,
        ):
            yield session

    def run_grouped(self, work: Callable[[Session], tuple[T, bool]]) -> T:
        """Run a brief change on SQLite, in one transaction with those that wait beside it; return once it is committed.

        `work` must not commit. It says beside its result whether it grew the feed, of which the listeners are told.

        Raises:
            UndoneError: begin again: another change lost the transaction for all.
            StoreError: the database cannot be used. What `work` raises passes through.
        """
        with translate_errors():
            return self.queue.run(work)

    @contextmanager
    def _session(self, *, write: bool, level: str | None) -> Iterator[Session]:
        options: dict[str, Any] = {"tiergate_write": write}
        if level is not None:
            options["isolation_level"] = level
        with (
            translate_errors(),
            self.engine.connect().execution_options(**options) as connection,
            Session(connection, autoflush=False, expire_on_commit=False) as session,
        ):
            yield session

    def on_commit(self, callback: Callable[[], None]) -> None:
        """Have `callback` called after each commit of this process that grew the feed, from the committing thread."""
        self._listeners.append(callback)

    def notify_feed(self, session: Session) -> None:
        """Have all control planes on this database told when the transaction commits."""
        if not self.is_sqlite:
            session.connection().execute(text(f"SELECT pg_notify('{CHANNEL}', '')"))

    def notify_committed(self) -> None:
        """Tell the listeners of this process that a commit grew the feed."""
        for callback in self._listeners:
            callback()

    def set_read_only(self) -> None:
        """Take note that the database says it is read-only; `probe` finds out when it no longer is."""
        if self.read_only_error is None:
            self.read_only_error = ReadOnlyStoreError("the database cannot be written: it is read-only")

    def probe(self) -> None:
        """See whether the database takes changes, by one that changes nothing; keep the answer in `read_only_error`.

        Raises:
            StoreError: it cannot be used at all.
        """
        try:
            with self.writing() as session:
                session.connection().execute(text("UPDATE feed_head SET position = position"))
                session.commit()
        except ReadOnlyStoreError as error:
            self.read_only_error = error
        except DBAPIError as error:
            if not is_passing(error):
                raise
        else:
            self.read_only_error = None

    def send_test_notification(self) -> None:
        """Have all control planes on this PostgreSQL notified of nothing, to see that notifications arrive.

        Raises:
            StoreError: the database cannot be used, or takes no changes.
        """
        with translate_errors(races=True), self.engine.connect() as connection:
            connection.execute(text(f"SELECT pg_notify('{CHANNEL}', '')"))
            connection.commit()

    def dispose(self) -> None:
        """Close all connections."""
        self.engine.dispose()


def _connecting(engine: Engine) -> None:
    """Have what the driver does not take of a URL told plainly, when the first connection is made."""

    @event.listens_for(engine, "do_connect")
    def connect(dialect: Dialect, _: object, arguments: list[Any], options: dict[str, Any]) -> object:
        try:
            return dialect.connect(*arguments, **options)
        except (TypeError, ValueError) as error:
            raise StoreError(f"the database's URL has something that the driver does not take: {error}") from None


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
