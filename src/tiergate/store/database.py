"""The database under the store: connections, the start of transactions, and notifications of commits.

SQLite runs in WAL mode and syncs every commit. A writing transaction takes the write lock at its start, so that it
cannot fail halfway because of another one; writers of one process wait in a queue. PostgreSQL transactions are READ
COMMITTED, and code that needs more locks rows.
"""

from __future__ import annotations

import sqlite3
import threading
import time
import warnings
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError, SAWarning
from sqlmodel import Session

from tiergate.errors import ReadOnlyStoreError, StoreError
from tiergate.store.database_errors import is_passing, translate_errors
from tiergate.store.prepared_queries import execute_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from sqlalchemy import URL, Connection, Dialect, Engine

CHANNEL: Final = "tiergate_feed"
"""The channel on which PostgreSQL notifies every control plane that the feed has grown."""

_BUSY_MS: Final = 15_000
_POOL_SECONDS: Final = 10.0

_PREPARE: Final = "prepare_threshold"
_MOST_DIGITS: Final = 4
_PORTS: Final = 65536
_POSTGRESQL: Final = {
    # A pooler that gives every transaction another server loses prepared statements.
    _PREPARE: None,
    # These detect a lost host within seconds.
    "connect_timeout": 10,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
}
"""Options of connections to PostgreSQL; the URL overrides them."""


def _parsed(url: str) -> URL:
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):  # the message may contain a password
        parsed = None
    if parsed is None or (parsed.port is not None and not 0 < parsed.port < _PORTS):
        raise StoreError("the database URL must be like `sqlite:///tiergate.db` or `postgresql://user@host:5432/name`")
    backend = parsed.get_backend_name()
    if backend not in {"sqlite", "postgresql"}:
        raise StoreError(f"the database must be sqlite or postgresql, not `{backend}`")
    if backend == "sqlite" and parsed.database in {None, "", ":memory:"}:
        raise StoreError("the SQLite database must be a file: an in-memory store would be lost")
    return parsed


def _sqlite(url: URL, pool_size: int) -> Engine:
    return create_engine(
        url.set(drivername="sqlite+pysqlite"),
        connect_args={"timeout": _BUSY_MS / 1000, "check_same_thread": False},
        hide_parameters=True,  # errors are logged, and parameters contain personal data
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


def _options(query: Mapping[str, str | tuple[str, ...]]) -> dict[str, object]:
    options: dict[str, object] = {name: value for name, value in _POSTGRESQL.items() if name not in query}
    threshold = query.get(_PREPARE)
    if threshold is not None:
        if not isinstance(threshold, str) or not threshold.isdecimal() or len(threshold) > _MOST_DIGITS:
            raise StoreError(f"`{_PREPARE}` in the database URL must be a number, such as 5")
        options[_PREPARE] = int(threshold)
    return options


class Database:
    """A connection pool, and the ways to start a transaction on it."""

    def __init__(self, url: str, *, pool_size: int = 10) -> None:
        """Prepare without connecting. `url` is as for SQLAlchemy, the driver can be omitted.

        Raises:
            StoreError: if the URL does not name a supported database.
        """
        parsed = _parsed(url)
        self.is_sqlite = parsed.get_backend_name() == "sqlite"
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", SAWarning)  # SQLite's driver only warns of unknown parameters
                self.engine = _sqlite(parsed, pool_size) if self.is_sqlite else _postgresql(parsed, pool_size)
        except (SAWarning, ValueError, TypeError) as error:
            reason = str(error).partition(";")[0]
            raise StoreError(f"the database URL has a parameter that the driver rejects: {reason}") from None
        if self.is_sqlite:
            event.listen(self.engine, "connect", _prepare_sqlite)
            event.listen(self.engine, "begin", _begin_sqlite)
        _translate_connect_errors(self.engine)
        self._turn = threading.Lock()
        self._listeners: list[Callable[[], None]] = []
        self._delivery_listeners: list[Callable[[], None]] = []
        self.read_only_error: ReadOnlyStoreError | None = None
        """The reason why the database is read-only, if it is known to be."""

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """Open a session whose transaction sees one state of the database and is rolled back at the end.

        Raises:
            StoreError: if the database cannot be used; `ReadOnlyStoreError` if it is read-only.
        """
        level = None if self.is_sqlite else "REPEATABLE READ"
        with translate_errors(races=True), self._session(write=False, level=level) as session:
            yield session

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """Open a session for one writing transaction. The caller commits it; otherwise it is rolled back.

        Raises:
            StoreError: if the database cannot be used; `ReadOnlyStoreError` if it is read-only.
        """
        with (
            self._turn if self.is_sqlite else nullcontext(),
            self._session(write=True, level=None) as session,
        ):
            yield session

    def commit(self, session: Session) -> None:
        """Commit the transaction of a session. If this fails, the connection is closed, with whatever it left open."""
        connection = session.connection()
        try:
            session.commit()
        except BaseException:
            connection.invalidate()
            raise

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
        """Call `callback` after each commit of this process that grows the feed, from the committing thread."""
        self._listeners.append(callback)

    def on_deliveries(self, callback: Callable[[], None]) -> None:
        """Call `callback` after each commit of this process that wrote deliveries to webhooks, as `on_commit`."""
        self._delivery_listeners.append(callback)

    def notify_feed(self, session: Session) -> None:
        """Notify all control planes on this database when the transaction commits."""
        if not self.is_sqlite:
            execute_text(session.connection(), f"SELECT pg_notify('{CHANNEL}', '')", None)

    def notify_committed(self, *, grown: bool, delivers: bool) -> None:
        """Call the listeners of this process after a commit that grew the feed, or wrote deliveries."""
        for callback in self._listeners if grown else ():
            callback()
        for callback in self._delivery_listeners if delivers else ():
            callback()

    def set_read_only(self) -> None:
        """Record that the database is read-only, until `probe` succeeds."""
        if self.read_only_error is None:
            self.read_only_error = ReadOnlyStoreError("the database is read-only")

    def probe(self) -> None:
        """Test by a write without effect whether the database is read-only; set `read_only_error`.

        Raises:
            StoreError: if it cannot be used at all.
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
        """Send a notification to all control planes on this PostgreSQL, to test that notifications arrive.

        Raises:
            StoreError: if the database cannot be used, or is read-only.
        """
        with translate_errors(races=True), self.engine.connect() as connection:
            connection.execute(text(f"SELECT pg_notify('{CHANNEL}', '')"))
            connection.commit()

    def dispose(self) -> None:
        """Close all connections."""
        self.engine.dispose()


def _translate_connect_errors(engine: Engine) -> None:
    """Translate the driver's errors about the URL when the first connection is made."""

    @event.listens_for(engine, "do_connect")
    def connect(dialect: Dialect, _: object, arguments: list[Any], options: dict[str, Any]) -> object:
        try:
            return dialect.connect(*arguments, **options)
        except (TypeError, ValueError) as error:
            raise StoreError(f"the database URL has a parameter that the driver rejects: {error}") from None


def _prepare_sqlite(connection: Any, _: object) -> None:  # noqa: ANN401 - the driver's
    connection.isolation_level = None  # this module begins transactions
    for pragma in (f"busy_timeout = {_BUSY_MS}", "synchronous = FULL", "foreign_keys = ON"):
        connection.execute(f"PRAGMA {pragma}")
    _enter_wal(connection)


def _enter_wal(connection: Any) -> None:  # noqa: ANN401 - the driver's
    """Switch the file to WAL mode. SQLite does not wait while another connection does it, so this retries."""
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
