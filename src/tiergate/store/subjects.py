"""Customers and subscriptions, read from their rows; and the record that the feed carries of each customer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec
from sqlalchemy import or_, select

from tiergate.model import (
    Customer,
    Instant,
    Override,
    OverrideMode,
    SubjectRecord,
    SubjectType,
    Subscription,
    SubscriptionItem,
    SubscriptionStatus,
    Suspension,
    Term,
    Value,
)
from tiergate.model.redaction import redact_record
from tiergate.store.batches import in_batches
from tiergate.store.id_lists import is_among
from tiergate.store.tables import (
    CUSTOMERS,
    OVERRIDES,
    SUBSCRIPTION_ITEMS,
    SUBSCRIPTIONS,
    SUSPENSIONS,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy import ColumnElement, Connection, Row, Table
    from sqlmodel import Session

_MAX_IDS: Final = 5000  # in one statement: databases limit its parameters

# Statements are built once: building one costs about as much as running it.
_ITS_CUSTOMERS = select(CUSTOMERS).where(is_among(CUSTOMERS.c.id))
_ITS_CUSTOMERS_LOCKED = _ITS_CUSTOMERS.order_by(CUSTOMERS.c.id).with_for_update()
_OF_CUSTOMERS = select(SUBSCRIPTIONS).where(is_among(SUBSCRIPTIONS.c.customer))
_BY_ID = select(SUBSCRIPTIONS).where(is_among(SUBSCRIPTIONS.c.id))
_CUSTOMERS_OF = select(SUBSCRIPTIONS.c.id, SUBSCRIPTIONS.c.customer).where(is_among(SUBSCRIPTIONS.c.id))
_ITS_HELD = (
    select(
        SUBSCRIPTION_ITEMS.c.subscription,
        SUBSCRIPTION_ITEMS.c.item,
        SUBSCRIPTION_ITEMS.c.quantity,
        SUBSCRIPTION_ITEMS.c.version,
        SUBSCRIPTION_ITEMS.c.added_at,
        SUBSCRIPTION_ITEMS.c.start,
        SUBSCRIPTION_ITEMS.c.until,
    )
    .where(is_among(SUBSCRIPTION_ITEMS.c.subscription))
    .order_by(SUBSCRIPTION_ITEMS.c.subscription, SUBSCRIPTION_ITEMS.c.place)
)

_value = msgspec.json.Decoder(Value).decode
_tags = msgspec.json.Decoder(tuple[str, ...]).decode
_strings = msgspec.json.Decoder(dict[str, str]).decode
_record = msgspec.json.Decoder(SubjectRecord | None).decode
_term = msgspec.json.Decoder(Term).decode


class Stamp(NamedTuple):
    """The entity tag and the instants of a row."""

    etag: int
    created_at: Instant
    updated_at: Instant


class StoredSubscription(NamedTuple):
    """A subscription with its row's stamp."""

    subscription: Subscription
    stamp: Stamp


class StoredRecord(NamedTuple):
    """A customer with its row's stamp; `stamps` has those of its subscriptions, by id."""

    record: SubjectRecord
    stamp: Stamp
    erased_at: Instant | None
    stamps: dict[str, Stamp]

    @property
    def customer(self) -> Customer:
        """The customer itself."""
        return self.record.customer


def is_same_record(content: bytes, record: SubjectRecord | None) -> bool:
    """Return whether the JSON of a record, perhaps written by an earlier release, equals `record`."""
    return bool(_record(content) == record)


def read_record(session: Session, customer: str, *, public: bool) -> SubjectRecord | None:
    """Read a customer with all subscriptions, sorted by id; none if there is no such customer.

    `public`: redacted, as the feed carries it.
    """
    stored = read_stored(session, [customer]).get(customer)
    if stored is None:
        return None
    return redact_record(stored.record) if public else stored.record


def read_stored(
    session: Session, customers: Sequence[str], *, lock: bool = False, alone: bool = False
) -> dict[str, StoredRecord]:
    """Read those of some customers that exist, with their subscriptions, by id.

    `lock`: no other transaction can change them until this one ends; `alone`: without their subscriptions.
    """
    records: dict[str, StoredRecord] = {}
    for ids in in_batches(customers, _MAX_IDS):
        records.update(_read_batch(session.connection(), ids, lock=lock, alone=alone))
    return records


def read_subscriptions(session: Session, ids: Sequence[str]) -> dict[str, StoredSubscription]:
    """Read those of some subscriptions that exist, by id."""
    connection = session.connection()
    subscriptions: dict[str, StoredSubscription] = {}
    for part in in_batches(ids, _MAX_IDS):
        rows = connection.execute(_BY_ID, {"ids": part}).all()
        subscriptions.update((stored.subscription.id, stored) for stored in _subscriptions(connection, rows))
    return subscriptions


def customers_of(session: Session, subscriptions: Sequence[str]) -> dict[str, str]:
    """Return the customers, which never change, of those of some subscriptions that exist, by id."""
    found: dict[str, str] = {}
    for ids in in_batches(subscriptions, _MAX_IDS):
        found.update((row.id, row.customer) for row in session.connection().execute(_CUSTOMERS_OF, {"ids": ids}))
    return found


def _read_batch(connection: Connection, ids: Sequence[str], *, lock: bool, alone: bool) -> dict[str, StoredRecord]:
    own = connection.execute(_ITS_CUSTOMERS_LOCKED if lock else _ITS_CUSTOMERS, {"ids": ids}).all()
    if not own:
        return {}
    rows = [] if alone else connection.execute(_OF_CUSTOMERS, {"ids": ids}).all()
    first = rows[:_MAX_IDS]
    exceptions = _Exceptions(connection, ids, [row.id for row in first])
    by_customer: dict[str, list[StoredSubscription]] = {}
    for stored in _subscriptions(connection, first, exceptions):
        by_customer.setdefault(stored.subscription.customer, []).append(stored)
    for part in in_batches(rows[_MAX_IDS:], _MAX_IDS):
        for stored in _subscriptions(connection, part):
            by_customer.setdefault(stored.subscription.customer, []).append(stored)
    records = {}
    for row in own:
        customer = Customer(
            row.id,
            _tags(row.tags),
            _strings(row.attributes),
            *exceptions.of(SubjectType.CUSTOMER, row.id),
            name=row.name,
            metadata=_strings(row.metadata),
            external_ids=_strings(row.external_ids),
        )
        subscriptions = sorted(by_customer.get(row.id, ()), key=lambda stored: stored.subscription.id)
        records[row.id] = StoredRecord(
            SubjectRecord(customer, tuple(stored.subscription for stored in subscriptions)),
            _stamp(row),
            row.erased_at,
            {stored.subscription.id: stored.stamp for stored in subscriptions},
        )
    return records


def _subscriptions(
    connection: Connection, rows: Sequence[Row[tuple[object, ...]]], exceptions: _Exceptions | None = None
) -> Iterator[StoredSubscription]:
    if not rows:
        return
    ids = [row.id for row in rows]
    items: dict[str, list[SubscriptionItem]] = {}
    for subscription, *rest in connection.execute(_ITS_HELD, {"ids": ids}):
        items.setdefault(subscription, []).append(SubscriptionItem(*rest))
    exceptions = _Exceptions(connection, (), ids) if exceptions is None else exceptions
    for row in rows:
        subscription = Subscription(
            row.id,
            row.customer,
            SubscriptionStatus(row.status),
            tuple(items.get(row.id, ())),
            row.start,
            row.end,
            row.trial_end,
            row.grace_until,
            row.resume_at,
            *exceptions.of(SubjectType.SUBSCRIPTION, row.id),
            resumes_as=None if row.resumes_as is None else SubscriptionStatus(row.resumes_as),
            term=None if row.term is None else _term(row.term),
            metadata=_strings(row.metadata),
            external_ids=_strings(row.external_ids),
        )
        yield StoredSubscription(subscription, _stamp(row))


def _stamp(row: Row[tuple[object, ...]]) -> Stamp:
    return Stamp(row.etag, row.created_at, row.updated_at)


def _of_subjects(table: Table) -> ColumnElement[bool]:
    kind, holder = table.c.holder_type, table.c.holder
    return or_(
        (kind == SubjectType.CUSTOMER.value) & is_among(holder, "customers"),
        (kind == SubjectType.SUBSCRIPTION.value) & is_among(holder, "subscriptions"),
    )


_ITS_OVERRIDES = select(OVERRIDES).where(_of_subjects(OVERRIDES)).order_by(OVERRIDES.c.place, OVERRIDES.c.id)
_ITS_SUSPENSIONS = select(SUSPENSIONS).where(_of_subjects(SUSPENSIONS)).order_by(SUSPENSIONS.c.place)


class _Exceptions:
    """The overrides and suspensions of some customers and subscriptions."""

    def __init__(self, connection: Connection, customers: Sequence[str], subscriptions: Sequence[str]) -> None:
        ids = {"customers": customers, "subscriptions": subscriptions}
        self._overrides: dict[tuple[str, str], list[Override]] = {}
        for row in connection.execute(_ITS_OVERRIDES, ids):
            override = Override(
                row.id,
                row.feature,
                OverrideMode(row.mode),
                None if row.value is None else _value(row.value),
                row.start,
                row.until,
                row.author,
                row.reason,
            )
            self._overrides.setdefault((row.holder_type, row.holder), []).append(override)
        self._suspensions: dict[tuple[str, str], list[Suspension]] = {}
        for row in connection.execute(_ITS_SUSPENSIONS, ids):
            suspension = Suspension(row.feature, row.start, row.until, row.reason)
            self._suspensions.setdefault((row.holder_type, row.holder), []).append(suspension)

    def of(self, kind: SubjectType, id_: str) -> tuple[tuple[Override, ...], tuple[Suspension, ...]]:
        """Return those of one subject."""
        key = (kind.value, id_)
        return tuple(self._overrides.get(key, ())), tuple(self._suspensions.get(key, ()))
