"""Transactions of the store: reads of one state, and changes that are made completely or not at all.

`Store.change` runs a function in one transaction. After a lost race it runs the function again, so the function must
have no effect but through its unit. At the end, in this order, the transaction builds the records of all customers
touched, locks the head of the feed, checks that no publication came after the one the work was based on, appends to the
feed, writes deliveries and the audit log, and commits. On SQLite, where a commit waits for the disk, brief changes that
wait for each other may share one (`tiergate.store.group_commit`).
"""

from __future__ import annotations

import random
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

import cachetools
import msgspec
from sqlalchemy import bindparam, delete, insert, select
from sqlalchemy.exc import DBAPIError, IntegrityError

from tiergate.errors import NotFoundError, ReadOnlyStoreError, StoreError
from tiergate.feed.lines import encode_record
from tiergate.model import Catalog, CatalogIndex, Instant, SubjectRecord, format_instant
from tiergate.store.batches import in_batches
from tiergate.store.blobs import find_blob, put_blobs
from tiergate.store.database import Database
from tiergate.store.database_errors import ConnectionLostError, first_line, is_passing
from tiergate.store.feed import FeedAppend, FeedHead, append, read_head
from tiergate.store.group_commit import UndoneError
from tiergate.store.identity import initialize_store, store_id
from tiergate.store.outbox import Event, enqueue
from tiergate.store.schema import SCHEMA_VERSION, check_schema, migrate, schema_version
from tiergate.store.subjects import is_same_record, read_record
from tiergate.store.tables import (
    AUDIT,
    BLOBS,
    CUSTOMERS,
    PUBLICATIONS,
    RECORDS,
)
from tiergate.wire.json import encode_sorted

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sqlmodel import Session

_ATTEMPTS: Final = 12
_ATTEMPTS_SECONDS: Final = 20.0
_RECONNECTS: Final = 2
_FIRST_PAUSE: Final = 0.005
_CACHED_CATALOGS: Final = 4

_KNOWN_RECORDS = select(RECORDS.c.customer, RECORDS.c.record).where(
    RECORDS.c.customer.in_(bindparam("ids", expanding=True))
)
_DROP_RECORDS = delete(RECORDS).where(RECORDS.c.customer.in_(bindparam("ids", expanding=True)))
_ADD_RECORDS = insert(RECORDS)
_ADD_AUDIT = insert(AUDIT)


T = TypeVar("T")


class Author(NamedTuple):
    """The author of changes: the id of a key or the subject of a token, and the kind of caller."""

    id: str
    kind: str = "key"


SYSTEM = Author("system", "system")
"""The control plane itself."""


class Publishing(NamedTuple):
    """A new publication: its row in `PUBLICATIONS`, and the JSON of its signed envelope."""

    row: Mapping[str, object]
    envelope: bytes


@dataclass(frozen=True, slots=True)
class PublishedCatalog:
    """A published state: sequence (0 before the first publication), revision, and the whole catalog."""

    sequence: int
    revision: str
    catalog: Catalog
    index: CatalogIndex


class _LostRaceError(Exception):
    """Another publication came first, so everything must be checked against it."""


class ReadUnit:
    """One reading transaction. `now` is the instant at which it began, in UTC milliseconds."""

    def __init__(self, store: Store, session: Session) -> None:
        self.store = store
        self.session = session
        self.now: Instant = store.clock()

    def head(self) -> FeedHead:
        """Read the head of the feed."""
        return read_head(self.session)

    @property
    def published(self) -> PublishedCatalog:
        """The active state."""
        return self.store.published_state(self.session, self.head().publication)

    def published_at(self, sequence: int) -> PublishedCatalog:
        """Return the state of a publication; 0 is the empty state before the first.

        Raises:
            NotFoundError: if there is no such publication.
        """
        return self.store.published_state(self.session, sequence)

    def blob(self, sha256: str) -> bytes:
        """Return the content of a blob.

        Raises:
            NotFoundError: if the store has no blob with this hash.
        """
        content = find_blob(self.session, sha256)
        if content is None:
            raise NotFoundError("blob", sha256)
        return content

    def record(self, customer: str, *, public: bool = False) -> SubjectRecord | None:
        """Read a customer with its subscriptions from the tables; `public`: without reasons and authors."""
        return read_record(self.session, customer, public=public)


class WriteUnit(ReadUnit):
    """One writing transaction, by an `actor`, for a `reason`, during a request."""

    def __init__(self, store: Store, session: Session, actor: Author, request_id: str, reason: str) -> None:
        super().__init__(store, session)
        self.actor = actor
        self.request_id = request_id
        self.reason = reason
        self._touched: set[str] = set()
        self._records: dict[str, SubjectRecord | None] = {}
        self._events: list[Event] = []
        self._audit: list[dict[str, object]] = []
        self._based_on: int | None = None
        self._head: FeedHead | None = None
        self._publish: Callable[[int, int, Instant], Publishing] | None = None
        self.grown = False
        self.is_brief = False
        self.is_committing = False
        self.changes_access = False
        """Whether it revokes a key, or activates a publication, which may have other roles."""

    def head(self) -> FeedHead:
        """Read the head of the feed. On SQLite no other transaction can move it until this one ends."""
        if self._head is None or not self.store.database.is_sqlite:
            self._head = read_head(self.session)
        return self._head

    @property
    def published(self) -> PublishedCatalog:
        """The active state. If another publication comes first, this transaction starts again."""
        sequence = self.head().publication if self._based_on is None else self._based_on
        self._based_on = sequence
        return self.store.published_state(self.session, sequence)

    def touch(self, customer: str) -> None:
        """Lock a customer; at the end, its record goes to the feed if it changed.

        Call it before any read on which the change depends. Lock several customers in the order of their ids.
        """
        if customer not in self._touched:
            query = select(CUSTOMERS.c.id).where(CUSTOMERS.c.id == customer).with_for_update()
            self.session.connection().execute(query)
            self._touched.add(customer)

    def replace_record(self, customer: str, record: SubjectRecord | None) -> None:
        """Set the record, without reasons and authors, that the tables will have; the caller has the lock."""
        self._touched.add(customer)
        self._records[customer] = record

    def audit(
        self,
        action: str,
        kind: str,
        resource: str,
        *,
        before: object = None,
        after: object = None,
        customer: str | None = None,
    ) -> None:
        """Add an entry to the audit log; `before` and `after` are JSON values, `customer` the one concerned, if any."""
        self._audit.append(
            {
                "at": self.now,
                "actor": self.actor.id,
                "actor_kind": self.actor.kind,
                "action": action,
                "kind": kind,
                "resource": resource,
                "customer": customer,
                "before": None if before is None else encode_sorted(before).decode(),
                "after": None if after is None else encode_sorted(after).decode(),
                "reason": self.reason,
                "request_id": self.request_id,
                "redacted": False,
            }
        )

    def emit(self, type_: str, data: Mapping[str, object]) -> None:
        """Send an event to the webhooks that subscribe to its type, once this is committed."""
        self._events.append(Event(type_, data))

    def put_blob(self, sha256: str, content: bytes) -> None:
        """Store immutable bytes under their hash, which the caller computed; an existing blob stays."""
        put_blobs(self, {sha256: content})

    def append_publication(self, based_on: int, make: Callable[[int, int, Instant], Publishing]) -> None:
        """Activate a publication at the end of this transaction.

        `based_on`: the sequence it was built on; if another one is active by then, the transaction starts again.
        `make` gets the new sequence, its position and the instant, under the feed's lock, and returns row and envelope.
        """
        if self.is_brief:  # INVARIANT (kept is committed): no other change reads and caches what may yet be undone
            raise RuntimeError("a change that publishes cannot be brief")
        self._based_on = based_on
        self._publish = make
        self.changes_access = True

    def finish(self) -> None:
        """Settle and commit. Only the store calls it."""
        self.settle()
        self.is_committing = True
        self.session.commit()
        if self.grown:
            self.store.database.notify_committed()

    def settle(self) -> None:
        """Write feed, deliveries and audit log before the commit. Only the store calls it."""
        self.session.flush()
        changes = self._changes()
        if changes or self._publish is not None:
            self._grow(changes)
        connection = self.session.connection()
        if self._events:
            enqueue(self.session, self._events, self.now)
        if self._audit:
            connection.execute(_ADD_AUDIT, self._audit)

    def _changes(self) -> list[tuple[str, bytes]]:
        """Return the customers whose record differs from the last one in the feed, with the new one as JSON."""
        connection = self.session.connection()
        touched = sorted(self._touched)
        known: dict[str, bytes] = {}
        for part in in_batches(touched):
            rows = connection.execute(_KNOWN_RECORDS, {"ids": part})
            known.update((row.customer, bytes(row.record)) for row in rows)
        changed: list[tuple[str, bytes]] = []
        for customer in touched:
            if customer in self._records:
                record = self._records[customer]
            else:
                record = read_record(self.session, customer, public=True)
            content = encode_record(record)
            before = known.get(customer, b"null")
            if before != content and not is_same_record(before, record):
                changed.append((customer, content))
        return changed

    def _grow(self, changed: list[tuple[str, bytes]]) -> None:
        head = self.head() if self.store.database.is_sqlite else read_head(self.session, lock=True)
        if self._based_on is not None and head.publication != self._based_on:
            raise _LostRaceError
        changes = [FeedAppend(customer, None, content) for customer, content in changed]
        if self._publish is not None:
            sequence, position = head.publication + 1, head.position + len(changes) + 1
            publishing = self._publish(sequence, position, self.now)
            self.session.connection().execute(insert(PUBLICATIONS), [publishing.row])
            changes.append(FeedAppend(None, sequence, publishing.envelope))
            self._events.append(
                Event("publication.created", {"publication": sequence, "revision": publishing.row["revision"]})
            )
        append(self.session, head, changes, self.now)
        self._write_records(changed, head.position)
        self._events += [
            Event("customer.entitlements_changed", {"customer": customer, "at": format_instant(self.now)})
            for customer, _ in changed
        ]
        self.store.database.notify_feed(self.session)
        self.grown = True

    def _write_records(self, changed: list[tuple[str, bytes]], position: int) -> None:
        if not changed:
            return
        connection = self.session.connection()
        for part in in_batches(changed):
            connection.execute(_DROP_RECORDS, {"ids": [customer for customer, _ in part]})
        rows = [
            {"customer": customer, "position": position + place, "record": content}
            for place, (customer, content) in enumerate(changed, start=1)
            if content != b"null"
        ]
        if rows:
            connection.execute(_ADD_RECORDS, rows)


class Store:
    """The store on one database. Safe to use from several threads."""

    def __init__(self, database: Database, clock: Callable[[], Instant]) -> None:
        """Use `open`."""
        self.database = database
        self.clock = clock
        self._published: cachetools.LRUCache[int, PublishedCatalog] = cachetools.LRUCache(_CACHED_CATALOGS)
        self._lock = threading.Lock()
        self.id = ""
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

        `brief`: it takes milliseconds and publishes nothing, so that others can wait for it and share its commit.

        Raises:
            StoreError: if the database cannot be used, or too many races are lost. Errors of `work` pass through.
        """

        def begin(session: Session) -> WriteUnit:
            return WriteUnit(self, session, actor, request_id, reason)

        shares = brief and self.database.is_sqlite
        pause = _FIRST_PAUSE
        until = time.monotonic() + _ATTEMPTS_SECONDS
        for attempt in range(_ATTEMPTS):
            try:
                return self._change_once(work, begin, shares=shares)
            except UndoneError:
                shares = False  # so that only its own errors can undo it
                continue
            except _LostRaceError:
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

    def _change_once(self, work: Callable[[WriteUnit], T], begin: Callable[[Session], WriteUnit], *, shares: bool) -> T:
        unit: WriteUnit | None = None

        def once(session: Session) -> tuple[T, bool]:
            unit = begin(session)
            unit.is_brief = True
            result = work(unit)
            unit.settle()
            return result, unit.grown

        try:
            if shares:
                result = self.database.run_grouped(once)
            else:
                with self.database.writing() as session:
                    unit = begin(session)
                    result = work(unit)
                    unit.finish()
                if unit.changes_access:
                    with self._lock:
                        self.access_version += 1
        except ReadOnlyStoreError as error:
            self.database.read_only_error = error
            raise
        except ConnectionLostError as error:
            # INVARIANT (once): a change that may have been committed is not run again.
            if unit is not None and unit.is_committing:
                raise StoreError(
                    f"the connection was lost during the commit; the change may be committed: {error}"
                ) from error
            raise
        self.database.read_only_error = None
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
        """Close all connections."""
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
