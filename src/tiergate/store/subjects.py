"""Customers and subscriptions: rows to the model and back, and the record that the feed carries of each customer.

Whether what is written makes sense (by the catalog, by the bounds of totals) is for the caller to have checked against
the published state of the same transaction.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec
from msgspec.structs import replace
from sqlalchemy import bindparam, delete, insert, or_, select

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
from tiergate.store.external_ids import ExternalIdChange, write_external_ids
from tiergate.store.tables import (
    CUSTOMER_TAGS,
    CUSTOMERS,
    OVERRIDES,
    SUBSCRIPTION_ITEMS,
    SUBSCRIPTIONS,
    SUSPENSIONS,
)
from tiergate.text_normalization import search_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from sqlalchemy import ColumnElement, Connection, Row, Table
    from sqlmodel import Session

DATES = ("start", "end", "trial_end", "grace_until", "resume_at")
"""The dates of a subscription."""


_MAX_IDS: Final = 5000  # in one statement: databases bound its parameters

# Statements are built once: building one costs about as much as running it.
_ITS_CUSTOMERS = select(CUSTOMERS).where(CUSTOMERS.c.id.in_(bindparam("ids", expanding=True)))
_ITS_CUSTOMERS_LOCKED = _ITS_CUSTOMERS.order_by(CUSTOMERS.c.id).with_for_update()
_OF_CUSTOMERS = select(SUBSCRIPTIONS).where(SUBSCRIPTIONS.c.customer.in_(bindparam("ids", expanding=True)))
_BY_ID = select(SUBSCRIPTIONS).where(SUBSCRIPTIONS.c.id.in_(bindparam("ids", expanding=True)))
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
    .where(SUBSCRIPTION_ITEMS.c.subscription.in_(bindparam("ids", expanding=True)))
    .order_by(SUBSCRIPTION_ITEMS.c.subscription, SUBSCRIPTION_ITEMS.c.place)
)
_DROP_TAGS = delete(CUSTOMER_TAGS).where(CUSTOMER_TAGS.c.customer == bindparam("id"))
_DROP_HELD = delete(SUBSCRIPTION_ITEMS).where(SUBSCRIPTION_ITEMS.c.subscription == bindparam("id"))
_ADD_TAGS, _ADD_HELD = insert(CUSTOMER_TAGS), insert(SUBSCRIPTION_ITEMS)

_value = msgspec.json.Decoder(Value).decode
_tags = msgspec.json.Decoder(tuple[str, ...]).decode
_strings = msgspec.json.Decoder(dict[str, str]).decode
_record = msgspec.json.Decoder(SubjectRecord | None).decode
_term = msgspec.json.Decoder(Term).decode
_encode = msgspec.json.Encoder().encode


class Stamp(NamedTuple):
    """What a row says of itself beside what it stands for."""

    etag: int
    created_at: Instant
    updated_at: Instant


class StoredSubscription(NamedTuple):
    """A subscription as it is stored."""

    subscription: Subscription
    stamp: Stamp


class StoredRecord(NamedTuple):
    """A customer as it is stored; `stamps` are of its subscriptions, by id."""

    record: SubjectRecord
    stamp: Stamp
    erased_at: Instant | None
    stamps: dict[str, Stamp]

    @property
    def customer(self) -> Customer:
        """The customer itself."""
        return self.record.customer


def is_same_record(content: bytes, record: SubjectRecord | None) -> bool:
    """Say whether the JSON of a record says the same as `record`, though a release before may have written it."""
    return bool(_record(content) == record)


# ── Reading ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def read_record(session: Session, customer: str, *, public: bool) -> SubjectRecord | None:
    """Read a customer with all subscriptions, sorted by id; none where there is no such customer.

    `public`: without what is for people alone, as the feed carries it.
    """
    stored = read_stored(session, [customer]).get(customer)
    if stored is None:
        return None
    return redact_record(stored.record) if public else stored.record


def read_stored(
    session: Session, customers: Sequence[str], *, lock: bool = False, alone: bool = False
) -> dict[str, StoredRecord]:
    """Read customers with all that they hold, by id; those that do not exist are left out.

    `lock` keeps others from changing them until the transaction ends; `alone`: without their subscriptions.
    """
    found: dict[str, StoredRecord] = {}
    for ids in in_batches(customers, _MAX_IDS):
        found.update(_read_part(session.connection(), ids, lock=lock, alone=alone))
    return found


def read_subscriptions(session: Session, ids: Sequence[str]) -> dict[str, StoredSubscription]:
    """Read subscriptions, by id; those that do not exist are left out."""
    connection = session.connection()
    found: dict[str, StoredSubscription] = {}
    for part in in_batches(ids, _MAX_IDS):
        rows = connection.execute(_BY_ID, {"ids": part}).all()
        found.update((one.subscription.id, one) for one in _subscriptions(connection, rows))
    return found


def _read_part(connection: Connection, ids: Sequence[str], *, lock: bool, alone: bool) -> dict[str, StoredRecord]:
    own = connection.execute(_ITS_CUSTOMERS_LOCKED if lock else _ITS_CUSTOMERS, {"ids": ids}).all()
    if not own:
        return {}
    rows = [] if alone else connection.execute(_OF_CUSTOMERS, {"ids": ids}).all()
    first = rows[:_MAX_IDS]
    exceptions = _Exceptions(connection, ids, [row.id for row in first])
    held: dict[str, list[StoredSubscription]] = {}
    for one in _subscriptions(connection, first, exceptions):
        held.setdefault(one.subscription.customer, []).append(one)
    for begin in range(_MAX_IDS, len(rows), _MAX_IDS):
        for one in _subscriptions(connection, rows[begin : begin + _MAX_IDS]):
            held.setdefault(one.subscription.customer, []).append(one)
    found = {}
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
        its = sorted(held.get(row.id, ()), key=lambda one: one.subscription.id)
        found[row.id] = StoredRecord(
            SubjectRecord(customer, tuple(one.subscription for one in its)),
            _stamp(row),
            row.erased_at,
            {one.subscription.id: one.stamp for one in its},
        )
    return found


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


def _holders(table: Table) -> ColumnElement[bool]:
    kind, holder = table.c.holder_type, table.c.holder
    return or_(
        (kind == SubjectType.CUSTOMER.value) & holder.in_(bindparam("customers", expanding=True)),
        (kind == SubjectType.SUBSCRIPTION.value) & holder.in_(bindparam("subscriptions", expanding=True)),
    )


_ITS_OVERRIDES = select(OVERRIDES).where(_holders(OVERRIDES)).order_by(OVERRIDES.c.place, OVERRIDES.c.id)
_ITS_SUSPENSIONS = select(SUSPENSIONS).where(_holders(SUSPENSIONS)).order_by(SUSPENSIONS.c.place)


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
        """Those of one subject."""
        key = (kind.value, id_)
        return tuple(self._overrides.get(key, ())), tuple(self._suspensions.get(key, ()))


# ── Writing ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def customer_columns(customer: Customer) -> dict[str, object]:
    """The columns of a customer's own row that follow from what it is."""
    texts = [customer.id, customer.name, *customer.external_ids.values(), *customer.tags]
    texts += customer.attributes.values()
    return {
        "tags": _encode(customer.tags).decode(),
        "attributes": _encode(customer.attributes).decode(),
        "name": customer.name,
        "metadata": _encode(customer.metadata).decode(),
        "external_ids": _encode(customer.external_ids).decode(),
        "search": _searched(texts),
    }


def subscription_columns(subscription: Subscription) -> dict[str, object]:
    """The columns of a subscription's own row that follow from what it is; its customer is not among them."""
    return {
        "status": subscription.status.value,
        **{date: getattr(subscription, date) for date in DATES},
        "resumes_as": None if subscription.resumes_as is None else subscription.resumes_as.value,
        "term": None if subscription.term is None else _encode(subscription.term).decode(),
        "metadata": _encode(subscription.metadata).decode(),
        "external_ids": _encode(subscription.external_ids).decode(),
        "search": _searched([subscription.id, *subscription.external_ids.values()]),
    }


def without_parts(subscription: Subscription) -> Subscription:
    """A subscription without the parts that have rows of their own."""
    return replace(subscription, items=(), overrides=(), suspensions=(), external_ids={})


def _searched(texts: Iterable[str]) -> str:
    return "\n".join(dict.fromkeys(search_key(text) for text in texts if text))


def write_customer_parts(session: Session, customer: Customer, before: Customer | None = None) -> None:
    """Make the rows below a customer what it says: tags, overrides, suspensions, external ids.

    Its own row is the caller's.

    `before`: what they say now, where that is known; only what differs is then written.
    """
    connection = session.connection()
    if before is None or before.tags != customer.tags:
        if before is None or before.tags:
            connection.execute(_DROP_TAGS, {"id": customer.id})
        if customer.tags:
            connection.execute(_ADD_TAGS, [{"tag": tag, "customer": customer.id} for tag in customer.tags])
    known = {} if before is None else before.external_ids
    if known != customer.external_ids:
        relabel = ExternalIdChange(customer.id, known, customer.external_ids)
        write_external_ids(connection, SubjectType.CUSTOMER, [relabel])
    _write_exceptions(connection, SubjectType.CUSTOMER, customer, before)


def write_subscription_parts(session: Session, subscription: Subscription, before: Subscription | None = None) -> None:
    """Make the rows below a subscription what it says: items, overrides, suspensions, external ids.

    Its own row is the caller's. `before`: as for a customer.
    """
    connection = session.connection()
    if before is None or before.items != subscription.items:
        if before is None or before.items:
            connection.execute(_DROP_HELD, {"id": subscription.id})
        if subscription.items:
            connection.execute(_ADD_HELD, item_rows(subscription))
    known = {} if before is None else before.external_ids
    if known != subscription.external_ids:
        relabel = ExternalIdChange(subscription.id, known, subscription.external_ids)
        write_external_ids(connection, SubjectType.SUBSCRIPTION, [relabel])
    _write_exceptions(connection, SubjectType.SUBSCRIPTION, subscription, before)


def item_rows(subscription: Subscription) -> list[dict[str, object]]:
    """The rows of the items of a subscription."""
    return [
        {"subscription": subscription.id, "place": place, **msgspec.structs.asdict(held)}
        for place, held in enumerate(subscription.items)
    ]


def override_rows(kind: SubjectType, holder: Customer | Subscription) -> list[dict[str, object]]:
    """The rows of the overrides of a subject."""
    return [
        {
            "holder_type": kind.value,
            "holder": holder.id,
            **msgspec.structs.asdict(override),
            "place": place,
            "mode": override.mode.value,
            "value": None if override.value is None else _encode(override.value).decode(),
        }
        for place, override in enumerate(holder.overrides)
    ]


def suspension_rows(kind: SubjectType, holder: Customer | Subscription) -> list[dict[str, object]]:
    """The rows of the suspensions of a subject."""
    return [
        {"holder_type": kind.value, "holder": holder.id, **msgspec.structs.asdict(suspension), "place": place}
        for place, suspension in enumerate(holder.suspensions)
    ]


def _write_exceptions(
    connection: Connection,
    kind: SubjectType,
    holder: Customer | Subscription,
    before: Customer | Subscription | None,
) -> None:
    key = {"type": kind.value, "id": holder.id}
    if before is None or before.overrides != holder.overrides:
        if before is None or before.overrides:
            connection.execute(_DROP[OVERRIDES], key)
        if holder.overrides:
            connection.execute(_ADD[OVERRIDES], override_rows(kind, holder))
    if before is None or before.suspensions != holder.suspensions:
        if before is None or before.suspensions:
            connection.execute(_DROP[SUSPENSIONS], key)
        if holder.suspensions:
            connection.execute(_ADD[SUSPENSIONS], suspension_rows(kind, holder))


_DROP = {
    table: delete(table).where(table.c.holder_type == bindparam("type"), table.c.holder == bindparam("id"))
    for table in (OVERRIDES, SUSPENSIONS)
}
_ADD = {table: insert(table) for table in (OVERRIDES, SUSPENSIONS)}
