"""Units: what a function that reads or changes the store gets, one for each use of a transaction.

A `WriteUnit` first leaves everything to be written at the end, with what other brief changes of the same transaction
leave (`shared_changes`). If it uses the session itself, it writes at once from then on, after a savepoint.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from tiergate.errors import NotFoundError
from tiergate.feed.lines import encode_record
from tiergate.model.redaction import redact_record
from tiergate.store.blobs import find_blob, put_blobs
from tiergate.store.feed import FeedHead, read_head
from tiergate.store.outbox import Event
from tiergate.store.row_differences import write_differences
from tiergate.store.shared_changes import ABSENT, FinishedChange, PendingPublication, Publishing, UndoneError
from tiergate.store.subjects import customers_of, is_same_record, read_record, read_stored
from tiergate.store.tables import CUSTOMERS
from tiergate.store.write_order import applied_writes
from tiergate.wire.json import encode_sorted

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sqlmodel import Session

    from tiergate.model import Catalog, CatalogIndex, Instant, SubjectRecord, SubjectType
    from tiergate.store.shared_changes import SharedChanges
    from tiergate.store.subjects import StoredRecord
    from tiergate.store.transactions import Store
    from tiergate.store.write_order import AppliedWrite, Side


class Author(NamedTuple):
    """The author of changes: the id of a key or the subject of a token, and the kind of caller."""

    id: str
    kind: str = "key"


SYSTEM = Author("system", "system")
"""The control plane itself."""


@dataclass(frozen=True, slots=True, eq=False)
class PublishedCatalog:
    """A published state: sequence (0 before the first publication), revision, and the whole catalog.

    It equals itself alone, so that what is derived from it can be kept by it.
    """

    sequence: int
    revision: str
    catalog: Catalog
    index: CatalogIndex


class ReadUnit:
    """One reading transaction. `now` is the instant at which it began, in UTC milliseconds."""

    def __init__(self, store: Store, session: Session) -> None:
        self.store = store
        self._session = session
        self.now: Instant = store.clock()

    @property
    def session(self) -> Session:
        """The session of the transaction."""
        return self._session

    @property
    def side_session(self) -> Session:
        """The session, to read tables that have no rows of customers and subscriptions themselves."""
        return self._session

    def head(self) -> FeedHead:
        """Read the head of the feed."""
        return read_head(self._session)

    @property
    def published(self) -> PublishedCatalog:
        """The active state."""
        return self.store.published_state(self._session, self.head().publication)

    def published_at(self, sequence: int) -> PublishedCatalog:
        """Return the state of a publication; 0 is the empty state before the first.

        Raises:
            NotFoundError: if there is no such publication.
        """
        return self.store.published_state(self._session, sequence)

    def blob(self, sha256: str) -> bytes:
        """Return the content of a blob.

        Raises:
            NotFoundError: if the store has no blob with this hash.
        """
        content = find_blob(self._session, sha256)
        if content is None:
            raise NotFoundError("blob", sha256)
        return content

    def record(self, customer: str, *, public: bool = False) -> SubjectRecord | None:
        """Read a customer with its subscriptions from the tables; `public`: without reasons and authors."""
        return read_record(self.session, customer, public=public)

    def applied_writes(self, kind: SubjectType, ids: Sequence[str]) -> Mapping[str, Mapping[Side, AppliedWrite]]:
        """Return the last writes with `as_of` of some subjects, by id and side."""
        return applied_writes(self._session, kind, ids)

    def customer_of(self, subscription: str) -> str | None:
        """Return the customer of a subscription, which never changes; none if there is no such subscription."""
        return customers_of(self.session, [subscription]).get(subscription)


class WriteUnit(ReadUnit):
    """One change, by an `actor`, for a `reason`, during a request.

    `brief`: others may share the transaction, so that it publishes nothing and can be undone alone.
    """

    def __init__(
        self,
        store: Store,
        shared: SharedChanges,
        actor: Author,
        request_id: str,
        reason: str,
        *,
        brief: bool = False,
    ) -> None:
        super().__init__(store, shared.session)
        self.actor = actor
        self.request_id = request_id
        self.reason = reason
        self.is_brief = brief
        self.changes_access = False
        """Whether it revokes a key, or activates a publication, which may have other roles."""
        self._shared = shared
        self._writes_at_once = not brief
        self._saved: Mapping[str, StoredRecord] | None = None
        self._subjects: dict[str, StoredRecord] = {}
        self._touched: set[str] = set()
        self._records: dict[str, SubjectRecord | None] = {}
        self._events: list[Event] = []
        self._audit: list[dict[str, object]] = []
        self._statuses: list[tuple[str, bytes]] = []
        self._based_on: int | None = None
        self._published: PublishedCatalog | None = None
        self._publication: PendingPublication | None = None

    @property
    def session(self) -> Session:
        """The session of the transaction. Whoever uses it reads everything that was changed before."""
        self.write_at_once()
        return self._session

    def write_at_once(self) -> None:
        """Write what was left to be written, and from now on every change of this unit at once."""
        if self._writes_at_once:
            return
        self._writes_at_once = True
        self._save()
        self._shared.write_subjects()
        changed = [(before, self._subjects[id_]) for id_, before in self._subjects_before().items()]
        write_differences(self._session.connection(), changed)

    def _subjects_before(self) -> dict[str, StoredRecord]:
        """Return the subjects that this unit has changed, as the changes before left them."""
        found = {id_: self._shared.subject(id_) for id_ in self._subjects}
        return {id_: stored for id_, stored in found.items() if stored is not None}

    def _save(self) -> None:
        if self._saved is None:
            self._saved = self._shared.save()

    @property
    def side_writing_session(self) -> Session:
        """The session, to write tables that have no rows of customers and subscriptions themselves, such as `as_of`."""
        if self.is_brief:
            self._save()
        return self._session

    def head(self) -> FeedHead:
        """Read the head of the feed, without what this transaction adds.

        On SQLite no other transaction can move it until this one ends.
        """
        return self._shared.head if self.is_brief or self.store.database.is_sqlite else read_head(self._session)

    @property
    def published(self) -> PublishedCatalog:
        """The active state. If another publication comes first, this transaction starts again."""
        if self._published is None or self._published.sequence != self._based_on:
            sequence = self.head().publication if self._based_on is None else self._based_on
            self._based_on = sequence
            self._published = self.store.published_state(self._session, sequence)
        return self._published

    # ── Subjects ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def applied_writes(self, kind: SubjectType, ids: Sequence[str]) -> Mapping[str, Mapping[Side, AppliedWrite]]:
        """Return the last writes with `as_of` of some subjects, by id and side."""
        return self._shared.applied_writes(kind, ids) if self.is_brief else super().applied_writes(kind, ids)

    def customer_of(self, subscription: str) -> str | None:
        """Return the customer of a subscription; none if there is no such subscription."""
        if self._writes_at_once:
            return super().customer_of(subscription)
        return self._shared.customer_of(subscription)

    def subject(self, customer: str) -> StoredRecord | None:
        """Lock a customer, and return it with its subscriptions; none if there is no such customer."""
        if self._writes_at_once:
            return read_stored(self._session, [customer], lock=True).get(customer)
        return self._subjects.get(customer) or self._shared.subject(customer)

    def record(self, customer: str, *, public: bool = False) -> SubjectRecord | None:
        """Return a customer with its subscriptions, as this unit has left it; `public`: without reasons and authors."""
        if self._writes_at_once:
            return super().record(customer, public=public)
        stored = self.subject(customer)
        if stored is None:
            return None
        return redact_record(stored.record) if public else stored.record

    def write_subject(self, before: StoredRecord, after: StoredRecord) -> None:
        """Write a customer that was read with `subject`: the same subscriptions, other content.

        Raises:
            ConflictError: if another subject has one of its external ids.
        """
        if self._writes_at_once:
            write_differences(self._session.connection(), [(before, after)])
        else:
            self._subjects[after.customer.id] = after
        self.replace_record(after.customer.id, redact_record(after.record))

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

    # ── Audit log, events, publications ──────────────────────────────────────────────────────────────────────────────

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

    def emit(self, type_: str, data: Mapping[str, object], at: Instant | None = None) -> None:
        """Record an event, and send it to the webhooks that subscribe to its type, once this is committed.

        `at`: its own instant, by default now.
        """
        self._events.append(Event(type_, data, at))

    def replace_status(self, feature: str, reports: bytes) -> None:
        """Send the reports on a feature's status to the feed; `reports`: from `feed.status_reports.encode_reports`."""
        self._statuses.append((feature, reports))

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
        self._publication = PendingPublication(self.now, make)
        self.changes_access = True

    # ── The end ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def settle(self) -> None:
        """Leave feed, events and audit log to be written at the end of the transaction. Only the store calls it."""
        records = self._changed_records()
        wrote_at_once = self.is_brief and self._writes_at_once
        if self._saved is not None:
            self._shared.release()
        if wrote_at_once:
            self._shared.forget_subjects()
        subjects = {} if self._writes_at_once else self._subjects
        self._shared.add(
            FinishedChange(
                self.now,
                subjects,
                records,
                self._events,
                self._audit,
                self._based_on,
                self._publication,
                self._statuses,
            )
        )

    def undo(self) -> None:
        """Undo everything, if the unit is brief. Only the store calls it.

        Raises:
            UndoneError: the database has ended the transaction, with all its changes.
        """
        if self._saved is not None:
            try:
                self._shared.undo(self._saved)
            except SQLAlchemyError as error:  # as on SQLite, when the disk is full
                raise UndoneError from error

    def _changed_records(self) -> list[tuple[str, bytes, bytes]]:
        """Return the customers whose record differs from the last one in the feed, with the new one and that."""
        touched = sorted(self._touched)
        known = self._shared.known_records(touched)
        changed: list[tuple[str, bytes, bytes]] = []
        for customer in touched:
            if customer in self._records:
                record = self._records[customer]
            else:
                record = read_record(self.session, customer, public=True)
            content = encode_record(record)
            before = known.get(customer, ABSENT)
            if before != content and not is_same_record(before, record):
                changed.append((customer, content, before))
        return changed
