"""Customers: opened for changes one at a time, and searched.

An :class:`Account` is a customer with all its subscriptions, locked until the transaction ends. Every single change
goes through one, so that the rows, the record in the feed and the entity tags agree.

Callers validate, authorize and audit changes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import bindparam, delete, exists, insert, select

from tiergate.errors import ConflictError, NotFoundError
from tiergate.model import Customer, SubjectRecord, SubjectType, Subscription
from tiergate.model.redaction import redact_record
from tiergate.store import tombstones
from tiergate.store.external_ids import has_external_id
from tiergate.store.scheduled_endings import drop_ending
from tiergate.store.state_conditions import has_status
from tiergate.store.subject_writer import (
    customer_columns,
    subscription_columns,
    without_parts,
    write_customer_parts,
    write_subscription_parts,
)
from tiergate.store.subjects import Stamp, StoredRecord, StoredSubscription, read_stored
from tiergate.store.tables import CUSTOMER_TAGS, CUSTOMERS, OVERRIDES, SUBSCRIPTION_ITEMS, SUBSCRIPTIONS
from tiergate.text_normalization import search_key

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import ColumnElement
    from sqlmodel import Session

    from tiergate.model import Instant, SubscriptionStatus
    from tiergate.store.units import WriteUnit


_ADD_CUSTOMER, _ADD_SUBSCRIPTION = insert(CUSTOMERS), insert(SUBSCRIPTIONS)
_DROP_CUSTOMER = delete(CUSTOMERS).where(CUSTOMERS.c.id == bindparam("row_id"))
_DROP_SUBSCRIPTION = delete(SUBSCRIPTIONS).where(SUBSCRIPTIONS.c.id == bindparam("row_id"))
_HOLDER_OF = select(SUBSCRIPTIONS.c.customer).where(SUBSCRIPTIONS.c.id == bindparam("row_id"))


def lock_customers(unit: WriteUnit, customers: Iterable[str]) -> None:
    """Lock customers, in the order of their ids."""
    query = select(CUSTOMERS.c.id).where(CUSTOMERS.c.id.in_(sorted(customers))).order_by(CUSTOMERS.c.id)
    unit.session.connection().execute(query.with_for_update()).all()


def open_account(unit: WriteUnit, customer: str) -> Account:
    """Lock a customer, and read it with its subscriptions.

    Raises:
        NotFoundError: if there is no such customer.
    """
    stored = unit.subject(customer)
    if stored is None:
        raise NotFoundError("customer", customer)
    return Account(unit, stored)


class Account:
    """A customer with its subscriptions, locked for the rest of a transaction."""

    def __init__(self, unit: WriteUnit, stored: StoredRecord) -> None:
        """Use `open_account` or `create`."""
        self._unit = unit
        self._stored = stored

    @property
    def customer(self) -> Customer:
        """The customer itself."""
        return self._stored.customer

    @property
    def stamp(self) -> Stamp:
        """The entity tag and the instants of the customer."""
        return self._stored.stamp

    @property
    def erased_at(self) -> Instant | None:
        """The instant at which the customer was erased, if it was."""
        return self._stored.erased_at

    @classmethod
    def create(cls, unit: WriteUnit, customer: Customer) -> Account:
        """Add a customer.

        Raises:
            ConflictError: if there is a customer with this id.
        """
        if read_stored(unit.session, [customer.id], alone=True):
            raise ConflictError("already-exists", f"the customer `{customer.id}` already exists")
        connection = unit.session.connection()
        etag = tombstones.first_etags(connection, tombstones.CUSTOMER, [customer.id])[customer.id]
        stamp = Stamp(etag, unit.now, unit.now)
        row = {"id": customer.id, **customer_columns(customer), **stamp._asdict(), "erased_at": None}
        connection.execute(_ADD_CUSTOMER, row)
        write_customer_parts(unit.session, customer, Customer(customer.id))
        account = cls(unit, StoredRecord(SubjectRecord(customer), stamp, None, {}))
        account._set(account._stored)
        return account

    @property
    def record(self) -> SubjectRecord:
        """The customer and its subscriptions, with reasons and authors."""
        return self._stored.record

    def subscription(self, id_: str) -> StoredSubscription:
        """Return one of its subscriptions.

        Raises:
            NotFoundError: if it has none with this id.
        """
        stored = self._find(id_)
        if stored is None:
            raise NotFoundError("subscription", id_)
        return stored

    def has_subscription(self, id_: str) -> bool:
        """Return whether it has a subscription with this id."""
        return id_ in self._stored.stamps

    def _find(self, id_: str) -> StoredSubscription | None:
        stamp = self._stored.stamps.get(id_)
        if stamp is None:
            return None
        for subscription in self._stored.record.subscriptions:
            if subscription.id == id_:
                return StoredSubscription(subscription, stamp)
        return None

    def write_customer(self, customer: Customer) -> bool:
        """Write the customer, and return whether it differs from before.

        Raises:
            ConflictError: if another customer has one of its external ids.
        """
        before = self._stored
        if customer == before.customer:
            return False
        if customer.external_ids != before.customer.external_ids:
            self._unit.write_at_once()  # so that a conflict is this change's error
        record = SubjectRecord(customer, before.record.subscriptions)
        self._write(before._replace(record=record, stamp=self._next(before.stamp)))
        return True

    def write_subscription(self, subscription: Subscription) -> bool:
        """Add or replace one of its subscriptions, and return whether it differs from before.

        Raises:
            ConflictError: if another customer has a subscription with this id, or another subscription has one of its
                external ids.
        """
        known = self._find(subscription.id)
        if known is None:
            self._add_subscription(subscription)
            return True
        before, stamp = known
        if subscription == before:
            return False
        if subscription.external_ids != before.external_ids:
            self._unit.write_at_once()
        self._write(self._with_subscription(subscription, self._next(stamp)))
        return True

    def _add_subscription(self, subscription: Subscription) -> None:
        session = self._unit.session
        connection = session.connection()
        if connection.execute(_HOLDER_OF, {"row_id": subscription.id}).first() is not None:
            raise ConflictError("already-exists", f"the subscription `{subscription.id}` already exists")
        first = tombstones.first_etags(connection, tombstones.SUBSCRIPTION, [subscription.id])
        stamp = Stamp(first[subscription.id], self._unit.now, self._unit.now)
        columns = subscription_columns(subscription)
        row = {"id": subscription.id, "customer": self.customer.id, **columns, **stamp._asdict()}
        connection.execute(_ADD_SUBSCRIPTION, row)
        write_subscription_parts(session, subscription, without_parts(subscription))
        self._set(self._with_subscription(subscription, stamp))

    def remove_subscription(self, id_: str) -> None:
        """Delete one of its subscriptions.

        Raises:
            NotFoundError: if it has none with this id.
        """
        before, stamp = self.subscription(id_)
        write_subscription_parts(self._unit.session, without_parts(before), before)
        connection = self._unit.session.connection()
        connection.execute(_DROP_SUBSCRIPTION, {"row_id": id_})
        drop_ending(connection, id_)
        tombstones.bury(connection, tombstones.SUBSCRIPTION, {id_: stamp.etag})
        stored = self._stored
        rest = tuple(it for it in stored.record.subscriptions if it.id != id_)
        stamps = {known: it for known, it in stored.stamps.items() if known != id_}
        self._set(stored._replace(record=SubjectRecord(self.customer, rest), stamps=stamps))

    def remove(self) -> None:
        """Delete the customer.

        Raises:
            ConflictError: if it has subscriptions.
        """
        count = len(self._stored.stamps)
        if count:
            message = f"the customer `{self.customer.id}` has {count} subscriptions: delete these first"
            raise ConflictError("has-subscriptions", message)
        write_customer_parts(self._unit.session, Customer(self.customer.id), self.customer)
        connection = self._unit.session.connection()
        connection.execute(_DROP_CUSTOMER, {"row_id": self.customer.id})
        tombstones.bury(connection, tombstones.CUSTOMER, {self.customer.id: self.stamp.etag})
        self._unit.replace_record(self.customer.id, None)

    def _next(self, stamp: Stamp) -> Stamp:
        return Stamp(stamp.etag + 1, stamp.created_at, self._unit.now)

    def _with_subscription(self, subscription: Subscription, stamp: Stamp) -> StoredRecord:
        stored = self._stored
        by_id = {it.id: it for it in stored.record.subscriptions} | {subscription.id: subscription}
        record = SubjectRecord(self.customer, tuple(by_id[id_] for id_ in sorted(by_id)))
        return stored._replace(record=record, stamps=stored.stamps | {subscription.id: stamp})

    def _write(self, after: StoredRecord) -> None:
        self._unit.write_subject(self._stored, after)
        self._stored = after

    def _set(self, stored: StoredRecord) -> None:
        """Take over what was written already."""
        self._stored = stored
        self._unit.replace_record(self.customer.id, redact_record(stored.record))


class CustomerFilter(NamedTuple):
    """Conditions on customers, all of which must hold; empty and none are no conditions.

    `tags`: all of them. `text` is in the id, the name, an external id, a tag, an attribute or metadata.
    `feature`: the customer or a subscription has an override of it. `item`, `statuses`: of one and the same
    subscription, as for `SubscriptionFilter`. `external_id`: the system, and the id there, or '' for any.
    """

    tags: tuple[str, ...] = ()
    text: str = ""
    feature: str | None = None
    item: str | None = None
    statuses: tuple[SubscriptionStatus, ...] = ()
    external_id: tuple[str, str] | None = None
    now: Instant = 0


def search_customers(session: Session, wanted: CustomerFilter, after: str, limit: int) -> list[StoredRecord]:
    """Find up to `limit` customers, without their subscriptions, by id, those after an id."""
    conditions = [CUSTOMERS.c.id > after] if after else []
    conditions += _conditions(wanted)
    query = select(CUSTOMERS.c.id).where(*conditions).order_by(CUSTOMERS.c.id).limit(limit)
    ids = session.connection().execute(query).scalars().all()
    records = read_stored(session, ids, alone=True)
    return [records[id_] for id_ in ids]


def is_customer(column: ColumnElement[str], wanted: CustomerFilter) -> ColumnElement[bool]:
    """Return the condition that a column names a customer with the conditions of a filter."""
    return column.in_(select(CUSTOMERS.c.id).where(*_conditions(wanted)))


def _conditions(wanted: CustomerFilter) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = [
        exists().where(CUSTOMER_TAGS.c.tag == tag, CUSTOMER_TAGS.c.customer == CUSTOMERS.c.id) for tag in wanted.tags
    ]
    if wanted.text:
        conditions.append(matches_search(CUSTOMERS.c.search, wanted.text))
    if wanted.external_id is not None:
        conditions.append(has_external_id(SubjectType.CUSTOMER, CUSTOMERS.c.id, *wanted.external_id))
    if wanted.feature is not None:
        conditions.append(_overridden(wanted.feature))
    subscription = [SUBSCRIPTIONS.c.customer == CUSTOMERS.c.id]
    if wanted.statuses:
        subscription.append(has_status(SUBSCRIPTIONS, wanted.statuses, wanted.now, even_ended=False))
    if wanted.item is not None:
        subscription.append(
            exists().where(
                SUBSCRIPTION_ITEMS.c.subscription == SUBSCRIPTIONS.c.id, SUBSCRIPTION_ITEMS.c.item == wanted.item
            )
        )
    if len(subscription) > 1:
        conditions.append(exists().where(*subscription))
    return conditions


def _overridden(feature: str) -> ColumnElement[bool]:
    columns = OVERRIDES.c
    of_customer = (columns.holder_type == SubjectType.CUSTOMER.value) & (columns.holder == CUSTOMERS.c.id)
    subscription = (
        select(SUBSCRIPTIONS.c.id)
        .where(SUBSCRIPTIONS.c.customer == CUSTOMERS.c.id, SUBSCRIPTIONS.c.id == columns.holder)
        .correlate(CUSTOMERS, OVERRIDES)
    )
    of_subscription = (columns.holder_type == SubjectType.SUBSCRIPTION.value) & subscription.exists()
    return exists().where(columns.feature == feature, of_customer | of_subscription)


def matches_search(column: ColumnElement[str], text: str) -> ColumnElement[bool]:
    """Return the condition that a column of search keys contains a text."""
    return column.contains(search_key(text), autoescape=True)
