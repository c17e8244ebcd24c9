"""What the changes of one writing transaction share: what was read, and what is written at the end, for all of them.

A transaction has one change, or several brief ones, one after the other (`change_queue`). Customers are read and locked
together before, and rows of subjects, the feed, deliveries and the audit log are written together at the end, because a
statement costs more than a row.

INVARIANT (later changes see earlier ones): a change reads a customer as the change before it left it. Before a change
uses the session itself, everything about subjects that earlier ones left to be written is written.

INVARIANT (one falls alone): the changes of a unit reach this object only after the unit has succeeded, and what a unit
wrote at once is undone to its savepoint.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from sqlalchemy import delete, insert, select

from tiergate.model import SubjectType, format_instant
from tiergate.store.batches import in_batches
from tiergate.store.feed import LOCK_HEAD, READ_HEAD, FeedAppend, FeedHead, append, head_of, read_head
from tiergate.store.id_lists import is_among
from tiergate.store.outbox import SUBSCRIBED, Event, write_events
from tiergate.store.prepared_queries import PreparedStatement, Query, execute_prepared, fetch_together
from tiergate.store.row_differences import write_differences
from tiergate.store.row_inserts import insert_rows
from tiergate.store.subjects import CUSTOMERS_OF, customers_of, read_stored, stored_queries, stored_records
from tiergate.store.tables import AUDIT, PUBLICATIONS, RECORDS
from tiergate.store.write_order import APPLIED, applied_writes, writes_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from sqlalchemy import Connection
    from sqlmodel import Session

    from tiergate.model import Instant
    from tiergate.store.database import Database
    from tiergate.store.subjects import StoredRecord
    from tiergate.store.write_order import AppliedWrite, Side

_KNOWN_RECORDS = Query(
    select(RECORDS.c.customer, RECORDS.c.record, RECORDS.c.next_at).where(is_among(RECORDS.c.customer))
)
_DROP_RECORDS = PreparedStatement(delete(RECORDS).where(is_among(RECORDS.c.customer)))

ABSENT: Final = b"null"
"""The record of a customer that does not exist."""


class LostRaceError(Exception):
    """Another publication came first, so everything must be checked against it."""


class UndoneError(Exception):
    """The transaction was lost with all its changes: each must run again."""


class Publishing(NamedTuple):
    """A new publication: its row in `PUBLICATIONS`, and the JSON of its signed envelope."""

    row: Mapping[str, object]
    envelope: bytes


class LimitsWatch(Protocol):
    """Learns which customers a transaction has changed, after it has written them; returns events that this causes."""

    def __call__(self, session: Session, customers: Collection[str]) -> Sequence[tuple[Instant, Event]]:
        """Act in the transaction. An error undoes it."""


class RecordMove(NamedTuple):
    """The record of a customer before and after a change at an instant, as JSON (`ABSENT`: there was or is none).

    `next_at`: when something in the record before begins or ends, the first of what was not told; `None`: nothing does.
    """

    customer: str
    at: Instant
    before: bytes
    after: bytes
    next_at: Instant | None


class WatchedRecord(NamedTuple):
    """What follows from a move: events that were due `earlier`, its own event, the `next_at` of the record after."""

    earlier: Sequence[Event]
    event: Event
    next_at: Instant | None


class RecordsWatch(Protocol):
    """Learns how records move, before the commit."""

    def __call__(self, session: Session, sequence: int, moves: Sequence[RecordMove]) -> Sequence[WatchedRecord]:
        """Return what follows from each. `sequence`: the publication in force. An error undoes the transaction."""


class PendingPublication(NamedTuple):
    """A publication to activate at the end; `make` gets sequence, position and instant, under the feed's lock."""

    at: Instant
    make: Callable[[int, int, Instant], Publishing]


class FinishedChange(NamedTuple):
    """What a change leaves to be written at the end of the transaction.

    `subjects`: customers as it leaves them; `records`: those that differ in the feed, as JSON, after and before;
    `events` and `audit`: rows in their order; `based_on`: the publication that it was checked against, if any;
    `statuses`: the reports of features that changed, as JSON.
    """

    at: Instant
    subjects: Mapping[str, StoredRecord]
    records: Sequence[tuple[str, bytes, bytes]]
    events: Sequence[Event]
    audit: Sequence[dict[str, object]]
    based_on: int | None
    publication: PendingPublication | None = None
    statuses: Sequence[tuple[str, bytes]] = ()


class SharedChanges:
    """The state of one writing transaction. Belongs to one thread."""

    def __init__(
        self,
        database: Database,
        session: Session,
        limits_watch: LimitsWatch | None = None,
        records_watch: RecordsWatch | None = None,
    ) -> None:
        """Read nothing yet."""
        self._records_watch = records_watch
        self._next_at: dict[str, Instant | None] = {}
        self.session = session
        self._limits_watch = limits_watch
        self.grown = False
        """Whether the feed grows, known after `write`."""
        self.delivers = False
        """Whether events are delivered to webhooks, known after `write`."""
        self._database = database
        self._head: FeedHead | None = None
        self._customer_of: dict[str, str] = {}
        self._rows: dict[str, StoredRecord] = {}
        self._latest: dict[str, StoredRecord] = {}
        self._records: dict[str, bytes] = {}
        self._writes: dict[tuple[SubjectType, str], Mapping[Side, AppliedWrite]] = {}
        self._finished: list[FinishedChange] = []

    @cached_property
    def connection(self) -> Connection:
        """The connection of the transaction: the session takes 20 µs each time to name it."""
        return self.session.connection()

    @property
    def has_changes(self) -> bool:
        """Whether any change has succeeded."""
        return bool(self._finished)

    @property
    def head(self) -> FeedHead:
        """The head of the feed, as it was first read in this transaction."""
        if self._head is None:
            self._head = read_head(self.session)
        return self._head

    # ── Subjects ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def read_ahead(self, customers: Collection[str], subscriptions: Collection[str]) -> None:
        """Lock and read customers, and the customers of subscriptions, in few statements; unknown ones are left out."""
        if subscriptions:
            self._read_owners(sorted(subscriptions))
        named = {self._customer_of[id_] for id_ in subscriptions if id_ in self._customer_of}
        wanted = sorted({*customers, *named} - self._latest.keys())
        if wanted:
            known_records: tuple[Query, dict[str, object]] = (_KNOWN_RECORDS, {"ids": wanted})
            queries = [*stored_queries(wanted, lock=True), known_records]
            *rows, records = fetch_together(self.connection, queries)
            found = stored_records(rows)
            self._keep(found)
            known = {row.customer: bytes(row.record) for row in records}
            self._next_at |= {row.customer: row.next_at for row in records if row.customer not in self._records}
            self._records |= {id_: known.get(id_, ABSENT) for id_ in found if id_ not in self._records}

    def _read_owners(self, subscriptions: list[str]) -> None:
        """Read the customers of some subscriptions and their last writes, and the head, if they are not known."""
        kind = SubjectType.SUBSCRIPTION
        unknown = [id_ for id_ in subscriptions if id_ not in self._customer_of]
        unread = [id_ for id_ in subscriptions if (kind, id_) not in self._writes]
        queries: list[tuple[Query, dict[str, object]]] = [(CUSTOMERS_OF, {"ids": unknown})]
        queries.append((APPLIED, {"kind": kind.value, "ids": unread}))
        if self._head is None:
            queries.append((READ_HEAD, {}))
        owners, applied, *head = fetch_together(self.connection, queries)
        self._customer_of.update(owners)
        writes = writes_of(applied)
        self._writes |= {(kind, id_): writes.get(id_, {}) for id_ in unread}
        if head:
            self._head = head_of(head[0])

    def subject(self, customer: str) -> StoredRecord | None:
        """Return a customer as the changes before left it, locked; none if it does not exist."""
        if customer not in self._latest:
            self._keep(read_stored(self.session, [customer], lock=True))
        return self._latest.get(customer)

    def customer_of(self, subscription: str) -> str | None:
        """Return the customer of a subscription; none if it does not exist."""
        if subscription not in self._customer_of:
            self._customer_of |= customers_of(self.session, [subscription])
        return self._customer_of.get(subscription)

    def applied_writes(self, kind: SubjectType, ids: Sequence[str]) -> Mapping[str, Mapping[Side, AppliedWrite]]:
        """Return the last writes with `as_of` of some subjects, by id and side."""
        unknown = [id_ for id_ in ids if (kind, id_) not in self._writes]
        if unknown:
            found = applied_writes(self.session, kind, unknown)
            self._writes |= {(kind, id_): found.get(id_, {}) for id_ in unknown}
        return {id_: self._writes[kind, id_] for id_ in ids if self._writes[kind, id_]}

    def _keep(self, stored: Mapping[str, StoredRecord]) -> None:
        self._rows |= stored
        self._latest |= stored
        self._customer_of |= {id_: customer for customer, record in stored.items() for id_ in record.stamps}

    def write_subjects(self) -> None:
        """Write the rows of all subjects that finished changes have changed."""
        changed = [(self._rows[id_], after) for id_, after in self._latest.items() if after is not self._rows[id_]]
        if changed:
            write_differences(self.connection, changed)
            self._rows = dict(self._latest)

    # ── Changes that use the session themselves ──────────────────────────────────────────────────────────────────────

    def save(self) -> Mapping[str, StoredRecord]:
        """Set the savepoint of a change, which writes at once from now on; return what `undo` needs."""
        self._writes = {}
        self.connection.exec_driver_sql("SAVEPOINT change")
        return dict(self._rows)

    def release(self) -> None:
        """Keep what was done after the savepoint."""
        self._writes = {}
        self.connection.exec_driver_sql("RELEASE SAVEPOINT change")

    def undo(self, saved: Mapping[str, StoredRecord]) -> None:
        """Undo what was done after the savepoint.

        Raises:
            SQLAlchemyError: the database has ended the transaction already.
        """
        self.connection.exec_driver_sql("ROLLBACK TO SAVEPOINT change")
        self.release()
        self._rows, self._writes = dict(saved), {}

    def forget_subjects(self) -> None:
        """Forget what was read: a change has written rows of any subject. Nothing may be left to be written."""
        self._rows, self._latest, self._customer_of, self._writes = {}, {}, {}, {}

    # ── The end of a change ──────────────────────────────────────────────────────────────────────────────────────────

    def known_records(self, customers: Sequence[str]) -> Mapping[str, bytes]:
        """Return the last records of some customers in the feed, with those of finished changes."""
        unknown = [id_ for id_ in customers if id_ not in self._records]
        for part in in_batches(unknown):
            self._records.update(dict.fromkeys(part, ABSENT))
            rows = fetch_together(self.connection, [(_KNOWN_RECORDS, {"ids": part})])[0]
            self._records.update((row.customer, bytes(row.record)) for row in rows)
            self._next_at.update((row.customer, row.next_at) for row in rows)
        return self._records

    def add(self, change: FinishedChange) -> None:
        """Add a change that has succeeded, to be written at the end."""
        self._finished.append(change)
        self._latest.update(change.subjects)
        self._records.update((customer, content) for customer, content, _ in change.records)

    # ── The end of the transaction ───────────────────────────────────────────────────────────────────────────────────

    def write(self) -> None:
        """Write everything that changes have left, before the commit.

        Raises:
            LostRaceError: if another publication became active than the one that changes were checked against.
        """
        self.write_subjects()
        watched = self._watch_records()
        events = [(event.at or 0, event) for record in watched for event in record.earlier]
        events += [
            (change.at if event.at is None else event.at, event) for change in self._finished for event in change.events
        ]
        publications = [change.publication for change in self._finished if change.publication is not None]
        changed = {customer for change in self._finished for customer, _, _ in change.records}
        if changed and self._limits_watch is not None:  # before the feed's lock, as whoever has locks of usage
            events += self._limits_watch(self.session, changed)
        entries = [
            (change.at, FeedAppend(customer, None, content))
            for change in self._finished
            for customer, content, _ in change.records
        ]
        next_at = {entry.customer: record.next_at for (_, entry), record in zip(entries, watched, strict=False)}
        entries += [
            (change.at, FeedAppend(None, None, content, feature))
            for change in self._finished
            for feature, content in change.statuses
        ]
        head: FeedHead | None = None
        subscribed: Sequence[tuple[str, str]] = ()
        if entries or publications:
            head, subscribed = self._lock_head()
            for publication in publications:  # one at most: what publishes does not share its transaction
                entry, event = self._publish(publication, head, len(entries))
                entries.append((publication.at, entry))
                events.append((publication.at, event))
        elif events:
            subscribed = fetch_together(self.connection, [(SUBSCRIBED, {})])[0]
        audit = [row for change in self._finished for row in change.audit]
        if head is not None:
            self._write_feed(head, entries, next_at)
        own = [(at, entry.customer) for at, entry in entries if entry.customer is not None]
        if watched:
            events += [(at, record.event) for (at, _), record in zip(own, watched, strict=True)]
        else:
            events += [(at, _record_event(customer, at)) for at, customer in own]
        self._write_audit(audit)
        if events:  # last, because all transactions with events wait for this lock
            recorded_at = max(change.at for change in self._finished)
            self.delivers = write_events(self.connection, events, recorded_at, subscribed)

    def _lock_head(self) -> tuple[FeedHead, Sequence[tuple[str, str]]]:
        """Return the head, locked, and the webhooks that events go to."""
        connection = self.connection
        if self._database.is_sqlite:  # nobody else can have moved the head since this transaction began
            head, subscribed = self.head, fetch_together(connection, [(SUBSCRIBED, {})])[0]
        else:
            locked, subscribed = fetch_together(connection, [(LOCK_HEAD, {}), (SUBSCRIBED, {})])
            head = head_of(locked)
        if any(change.based_on not in (None, head.publication) for change in self._finished):
            raise LostRaceError
        return head, subscribed

    def _publish(self, publication: PendingPublication, head: FeedHead, before: int) -> tuple[FeedAppend, Event]:
        sequence = head.publication + 1
        publishing = publication.make(sequence, head.position + before + 1, publication.at)
        self.connection.execute(insert(PUBLICATIONS), [publishing.row])
        event = Event("publication.created", {"publication": sequence, "revision": publishing.row["revision"]})
        return FeedAppend(None, sequence, publishing.envelope), event

    def _watch_records(self) -> Sequence[WatchedRecord]:
        """Return what follows from each record that changes, in their order; nothing if nobody watches."""
        moves = [
            RecordMove(customer, change.at, before, after, self._next_at.get(customer))
            for change in self._finished
            for customer, after, before in change.records
        ]
        if not moves or self._records_watch is None:
            return ()
        return self._records_watch(self.session, self.head.publication, moves)

    def _write_feed(
        self,
        head: FeedHead,
        entries: Sequence[tuple[Instant, FeedAppend]],
        next_at: Mapping[str | None, Instant | None],
    ) -> None:
        append(self.connection, head, entries)
        self._write_records(entries, head.position, next_at)
        self._database.notify_feed(self.session)
        self.grown = True

    def _write_audit(self, rows: Sequence[dict[str, object]]) -> None:
        insert_rows(self.connection, AUDIT, rows)

    def _write_records(
        self,
        entries: Iterable[tuple[Instant, FeedAppend]],
        position: int,
        next_at: Mapping[str | None, Instant | None],
    ) -> None:
        rows: dict[str, dict[str, object]] = {}
        for place, (_, entry) in enumerate(entries, start=position + 1):
            if entry.customer is not None:
                rows[entry.customer] = {
                    "customer": entry.customer,
                    "position": place,
                    "record": entry.content,
                    "next_at": next_at.get(entry.customer, 0),
                }
        connection = self.connection
        gone = [customer for customer, row in rows.items() if row["record"] == ABSENT]
        for part in in_batches(gone):
            execute_prepared(connection, _DROP_RECORDS, {"ids": part})
        present = [row for row in rows.values() if row["record"] != ABSENT]
        insert_rows(connection, RECORDS, present, replacing="customer")


def _record_event(customer: str, at: Instant) -> Event:
    return Event("customer.entitlements_changed", {"customer": customer, "at": format_instant(at)})
