"""The store: reads of one state, and changes that are made completely or not at all.

`Store.change` runs a function in one transaction. After a lost race it runs the function again, so the function must
have no effect but through its unit. At the end, in this order, the transaction builds the records of all customers
touched, locks the head of the feed, checks that no publication came after the one the work was based on, appends to the
feed, writes deliveries and the audit log, and commits. Brief changes that wait for each other share a transaction
(`tiergate.store.change_queue`).
"""

from __future__ import annotations

import random
import threading
import time
from typing import TYPE_CHECKING, Final, TypeVar

import cachetools
import msgspec
from sqlalchemy import select
from sqlalchemy.exc import DBAPIError, IntegrityError

from tiergate.errors import NotFoundError, ReadOnlyStoreError, StoreError
from tiergate.model import Catalog, Instant
from tiergate.store.change_queue import Change, ChangeQueue
from tiergate.store.database import Database
from tiergate.store.database_errors import ConnectionLostError, first_line, is_passing
from tiergate.store.identity import initialize_store, store_id
from tiergate.store.schema import SCHEMA_VERSION, check_schema, migrate, schema_version
from tiergate.store.shared_changes import LostRaceError, SharedChanges
from tiergate.store.tables import BLOBS, PUBLICATIONS
from tiergate.store.units import PublishedCatalog, ReadUnit, WriteUnit
from tiergate.store.working_catalog import RecentWorkingState

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlmodel import Session

    from tiergate.store.change_queue import Outcome
    from tiergate.store.shared_changes import LimitsWatch, RecordsWatch
    from tiergate.store.units import Author

_ATTEMPTS: Final = 12
_ATTEMPTS_SECONDS: Final = 20.0
_RECONNECTS: Final = 2
_FIRST_PAUSE: Final = 0.005
_CACHED_CATALOGS: Final = 4

T = TypeVar("T")


class Store:
    """The store on one database. Safe to use from several threads."""

    def __init__(self, database: Database, clock: Callable[[], Instant]) -> None:
        """Use `open`."""
        self.database = database
        self.clock = clock
        self._published: cachetools.LRUCache[int, PublishedCatalog] = cachetools.LRUCache(_CACHED_CATALOGS)
        self._lock = threading.Lock()
        self.id = ""
        self._queue = ChangeQueue(self, self._run_alone)
        self.working = RecentWorkingState()
        self.records_watch: RecordsWatch | None = None
        """Called before the commit of a change of customers, for its events."""
        self.limits_watch: LimitsWatch | None = None
        """Called before the commit of a change of customers, whose limits of usage may have moved."""
        self.access_version = 0
        """How often this process has revoked a key or published."""

    @classmethod
    def open(cls, url: str, *, clock: Callable[[], Instant] | None = None, migrating: bool = False) -> Store:
        """Open the store of a database; `migrating`: first create its schema or bring it up to this version.

        Raises:
            StoreError: if the database cannot be reached, or has another schema.
        """
        store = cls(Database(url), _now if clock is None else clock)
        try:
            if migrating and schema_version(store.database) != SCHEMA_VERSION:
                migrate(store.database)
            if migrating:
                initialize_store(store.database, store.clock())
            else:
                check_schema(store.database)
            store.id = store.read(lambda unit: store_id(unit.session))
        except BaseException:
            store.close()
            raise
        return store

    def read(self, work: Callable[[ReadUnit], T]) -> T:
        """Run `work` in one transaction that sees one state.

        Raises:
            StoreError: if the database cannot be used. Errors of `work` pass through.
        """
        with self.database.reading() as session:
            return work(ReadUnit(self, session))

    def change(
        self,
        work: Callable[[WriteUnit], T],
        actor: Author,
        *,
        request_id: str = "",
        reason: str = "",
        brief: bool = False,
    ) -> T:
        """Run `work` in one transaction and commit it; after a lost race, run it again.

        `brief`: it takes milliseconds and publishes nothing, so that others can wait for it and share its transaction.

        Raises:
            StoreError: if the database cannot be used, or too many races are lost. Errors of `work` pass through.
        """
        change = Change(work=work, actor=actor, request_id=request_id, reason=reason)
        return self._queue.run(change) if brief else self._run_alone(change)

    def submit(self, change: Change[T], finished: Callable[[Outcome[T]], None]) -> None:
        """Run a brief change soon, as `ChangeQueue.submit`."""
        self._queue.submit(change, finished)

    @property
    def waiting_changes(self) -> int:
        """The number of brief changes that wait for their turn."""
        return self._queue.waiting

    def _run_alone(self, change: Change[T]) -> T:
        """Run a change in a transaction of its own."""
        self._queue.reject_nesting()
        pause = _FIRST_PAUSE
        until = time.monotonic() + _ATTEMPTS_SECONDS
        for attempt in range(_ATTEMPTS):
            try:
                return self._change_once(change)
            except LostRaceError:
                pass
            except ConnectionLostError:
                if attempt >= _RECONNECTS:
                    raise
            except DBAPIError as error:
                if not is_passing(error) and not isinstance(error, IntegrityError):
                    raise
                if isinstance(error, IntegrityError) and pause > _FIRST_PAUSE:
                    raise StoreError(f"the database rejects the change: {first_line(error)}") from error
            if time.monotonic() > until:
                break
            time.sleep(random.uniform(0, pause))  # noqa: S311 - only spreads the attempts
            pause *= 2
        raise StoreError("the database is too busy: the change lost every race")

    def _change_once(self, change: Change[T]) -> T:
        is_committing = False
        try:
            with self.database.writing() as session:
                shared = SharedChanges(self.database, session, self.limits_watch, self.records_watch)
                unit = WriteUnit(self, shared, change.actor, change.request_id, change.reason)
                result = change.work(unit)
                unit.settle()
                shared.write()
                is_committing = True
                self.database.commit(session)
        except ReadOnlyStoreError as error:
            self.database.read_only_error = error
            raise
        except ConnectionLostError as error:
            # INVARIANT (once): a change that may have been committed is not run again.
            if is_committing:
                raise StoreError(
                    f"the connection was lost during the commit; the change may be committed: {error}"
                ) from error
            raise
        self.database.read_only_error = None
        if unit.changes_access:
            with self._lock:
                self.access_version += 1
        self.database.notify_committed(grown=shared.grown, delivers=shared.delivers)
        return result

    def published_state(self, session: Session, sequence: int) -> PublishedCatalog:
        """Return the state of a publication, from a small cache.

        Raises:
            NotFoundError: if there is no such publication.
        """
        with self._lock:
            state = self._published.get(sequence)
        if state is None:
            state = _read_published(session, sequence)
            with self._lock:
                self._published[sequence] = state
        return state

    def close(self) -> None:
        """Finish waiting changes, and close all connections."""
        self._queue.close()
        self.database.dispose()


def _read_published(session: Session, sequence: int) -> PublishedCatalog:
    if not sequence:
        empty = Catalog({}, {})
        return PublishedCatalog(0, "", empty, empty.index())
    query = (
        select(PUBLICATIONS.c.revision, BLOBS.c.content)
        .join(BLOBS, BLOBS.c.sha256 == PUBLICATIONS.c.catalog)
        .where(PUBLICATIONS.c.sequence == sequence)
    )
    row = session.connection().execute(query).one_or_none()
    if row is None:
        raise NotFoundError("publication", str(sequence))
    catalog = msgspec.json.decode(row.content, type=Catalog)
    return PublishedCatalog(sequence, row.revision, catalog, catalog.index())


def _now() -> Instant:
    return time.time_ns() // 1_000_000
