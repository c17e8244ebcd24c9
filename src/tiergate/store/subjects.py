"""Customers and subscriptions, read from their rows; and the record that the feed carries of each customer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec
from sqlalchemy import select

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
from tiergate.store.prepared_queries import Query, fetch_together
from tiergate.store.tables import (
    CUSTOMERS,
    OVERRIDES,
    SUBSCRIPTION_ITEMS,
    SUBSCRIPTIONS,
    SUSPENSIONS,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy import Column, Select, Table
    from sqlalchemy.sql import CompoundSelect
    from sqlmodel import Session

_MAX_IDS: Final = 5000  # in one statement: databases limit its parameters


def _with_owner(table: Table, owner: Column[str]) -> CompoundSelect[Any]:
    """Return the query of the overrides or suspensions of some customers and of their subscriptions."""
    kind, holder = table.c.holder_type, table.c.holder
    own = select(table).where(kind == SubjectType.CUSTOMER.value, is_among(holder))
    of_subscription = (kind == SubjectType.SUBSCRIPTION.value) & (holder == SUBSCRIPTIONS.c.id)
    theirs = select(table).join(SUBSCRIPTIONS, of_subscription).where(is_among(owner))
    return own.union_all(theirs)


def _of_kind(table: Table, kind: SubjectType) -> Select[Any]:
    return select(table).where(table.c.holder_type == kind.value, is_among(table.c.holder))


_HELD = select(
    SUBSCRIPTION_ITEMS.c.subscription,
    SUBSCRIPTION_ITEMS.c.item,
    SUBSCRIPTION_ITEMS.c.quantity,
    SUBSCRIPTION_ITEMS.c.version,
    SUBSCRIPTION_ITEMS.c.added_at,
    SUBSCRIPTION_ITEMS.c.start,
    SUBSCRIPTION_ITEMS.c.until,
).order_by(SUBSCRIPTION_ITEMS.c.subscription, SUBSCRIPTION_ITEMS.c.place)

_CUSTOMERS = select(CUSTOMERS).where(is_among(CUSTOMERS.c.id))
_ITS_CUSTOMERS = Query(_CUSTOMERS)
_ITS_CUSTOMERS_LOCKED = Query(_CUSTOMERS.order_by(CUSTOMERS.c.id).with_for_update())
CUSTOMERS_OF: Final = Query(select(SUBSCRIPTIONS.c.id, SUBSCRIPTIONS.c.customer).where(is_among(SUBSCRIPTIONS.c.id)))
"""The customers of some subscriptions (`ids`)."""

_OF_CUSTOMERS = (
    Query(select(SUBSCRIPTIONS).where(is_among(SUBSCRIPTIONS.c.customer))),
    Query(
        _HELD.join(SUBSCRIPTIONS, SUBSCRIPTIONS.c.id == SUBSCRIPTION_ITEMS.c.subscription).where(
            is_among(SUBSCRIPTIONS.c.customer)
        )
    ),
    Query(_with_owner(OVERRIDES, SUBSCRIPTIONS.c.customer).order_by("place", "id")),
    Query(_with_owner(SUSPENSIONS, SUBSCRIPTIONS.c.customer).order_by("place")),
)
_OF_CUSTOMERS_ALONE = (
    Query(_of_kind(OVERRIDES, SubjectType.CUSTOMER).order_by("place", "id")),
    Query(_of_kind(SUSPENSIONS, SubjectType.CUSTOMER).order_by("place")),
)
_BY_ID = (
    Query(select(SUBSCRIPTIONS).where(is_among(SUBSCRIPTIONS.c.id))),
    Query(_HELD.where(is_among(SUBSCRIPTION_ITEMS.c.subscription))),
    Query(_of_kind(OVERRIDES, SubjectType.SUBSCRIPTION).order_by("place", "id")),
    Query(_of_kind(SUSPENSIONS, SubjectType.SUBSCRIPTION).order_by("place")),
)
"""Subscriptions, their items, overrides and suspensions; above, those of some customers, with the customers' own."""

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
        found = fetch_together(session.connection(), stored_queries(ids, lock=lock, alone=alone))
        records |= stored_records(found, alone=alone)
    return records


def stored_queries(ids: list[str], *, lock: bool, alone: bool = False) -> list[tuple[Query, dict[str, object]]]:
    """Return the queries whose rows `stored_records` takes, of at most `_MAX_IDS` customers; `lock` as `read_stored`.

    The customers come first: what belongs to them is read under their lock.
    """
    own = _ITS_CUSTOMERS_LOCKED if lock else _ITS_CUSTOMERS
    return [(query, {"ids": ids}) for query in (own, *(_OF_CUSTOMERS_ALONE if alone else _OF_CUSTOMERS))]


def stored_records(found: Sequence[list[Any]], *, alone: bool = False) -> dict[str, StoredRecord]:
    """Return customers with their subscriptions, by id, from the rows of `stored_queries`."""
    own, *parts = found
    rows, items = ([], []) if alone else parts[:2]
    exceptions = _Exceptions(*parts[-2:])
    by_customer: dict[str, list[StoredSubscription]] = {}
    for stored in _subscriptions(rows, items, exceptions):
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


def read_subscriptions(session: Session, ids: Sequence[str]) -> dict[str, StoredSubscription]:
    """Read those of some subscriptions that exist, by id."""
    subscriptions: dict[str, StoredSubscription] = {}
    for part in in_batches(ids, _MAX_IDS):
        rows, items, *others = fetch_together(session.connection(), [(query, {"ids": part}) for query in _BY_ID])
        stored = _subscriptions(rows, items, _Exceptions(*others))
        subscriptions.update((one.subscription.id, one) for one in stored)
    return subscriptions


def customers_of(session: Session, subscriptions: Sequence[str]) -> dict[str, str]:
    """Return the customers, which never change, of those of some subscriptions that exist, by id."""
    found: dict[str, str] = {}
    for ids in in_batches(subscriptions, _MAX_IDS):
        found.update(fetch_together(session.connection(), [(CUSTOMERS_OF, {"ids": ids})])[0])
    return found


def _subscriptions(
    rows: Sequence[Any], item_rows: Sequence[Any], exceptions: _Exceptions
) -> Iterator[StoredSubscription]:
    items: dict[str, list[SubscriptionItem]] = {}
    for subscription, *rest in item_rows:
        items.setdefault(subscription, []).append(SubscriptionItem(*rest))
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


def _stamp(row: Any) -> Stamp:  # noqa: ANN401 - a row
    return Stamp(row.etag, row.created_at, row.updated_at)


class _Exceptions:
    """The overrides and suspensions of some customers and subscriptions, from their rows."""

    def __init__(self, overrides: Sequence[Any], suspensions: Sequence[Any]) -> None:
        self._overrides: dict[tuple[str, str], list[Override]] = {}
        for row in overrides:
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
        for row in suspensions:
            suspension = Suspension(row.feature, row.start, row.until, row.reason)
            self._suspensions.setdefault((row.holder_type, row.holder), []).append(suspension)

    def of(self, kind: SubjectType, id_: str) -> tuple[tuple[Override, ...], tuple[Suspension, ...]]:
        """Return those of one subject."""
        key = (kind.value, id_)
        return tuple(self._overrides.get(key, ())), tuple(self._suspensions.get(key, ()))
