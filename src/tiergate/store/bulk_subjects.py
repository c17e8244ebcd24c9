"""Many subjects at once: read, locked and written with few statements.

It does what `customers.Account` does for one customer, and gives the same rows, entity tags and records.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import bindparam, select, update

from tiergate.errors import ConflictError
from tiergate.model import Customer, SubjectRecord, Subscription
from tiergate.model.redaction import redact_record
from tiergate.store import tombstones
from tiergate.store.batches import in_batches
from tiergate.store.id_lists import is_among
from tiergate.store.row_inserts import insert_rows
from tiergate.store.subject_writer import PartWriter, customer_columns, subscription_columns, without_parts
from tiergate.store.subjects import Stamp, StoredRecord, read_stored
from tiergate.store.tables import CUSTOMERS, SUBSCRIPTIONS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sqlalchemy import Table

    from tiergate.store.units import WriteUnit


_OWNERS = select(SUBSCRIPTIONS.c.id, SUBSCRIPTIONS.c.customer).where(is_among(SUBSCRIPTIONS.c.id))


@dataclass(frozen=True, slots=True)
class Upsert:
    """A customer before, if it exists, and after; `subscriptions` are only those that are written.

    `known`: all its subscriptions before, by id.
    """

    before: StoredRecord | None
    customer: Customer
    subscriptions: Sequence[Subscription]
    known: Mapping[str, Subscription]

    @classmethod
    def of(cls, before: StoredRecord | None, customer: Customer, subscriptions: Sequence[Subscription]) -> Upsert:
        """Return the upsert of a customer."""
        known = (
            {} if before is None else {subscription.id: subscription for subscription in before.record.subscriptions}
        )
        return cls(before, customer, subscriptions, known)

    def replaced(self, customer: Customer, subscriptions: Sequence[Subscription]) -> Upsert:
        """Return the upsert of something else to the same customer."""
        return Upsert(self.before, customer, subscriptions, self.known)

    def customer_before(self) -> Customer | None:
        """Return the customer before, if it exists."""
        return None if self.before is None else self.before.record.customer

    def record(self) -> SubjectRecord:
        """Return the record after, with the subscriptions that are not written."""
        after = {**self.known, **{subscription.id: subscription for subscription in self.subscriptions}}
        return SubjectRecord(self.customer, tuple(after[id_] for id_ in sorted(after)))

    def changed_subscriptions(self) -> list[Subscription]:
        """Return the subscriptions that are new or different."""
        before = self.known
        return [subscription for subscription in self.subscriptions if before.get(subscription.id) != subscription]


def lock_customers(
    unit: WriteUnit, customers: Mapping[str, Customer], subscriptions: Mapping[str, Sequence[Subscription]]
) -> list[Upsert]:
    """Lock and read those of the customers that exist; return all, by id.

    Raises:
        ConflictError: if another customer has a subscription with one of these ids.
    """
    stored = read_stored(unit.session, sorted(customers), lock=True)
    owners = {subscription.id: customer for customer, listed in subscriptions.items() for subscription in listed}
    for ids in in_batches(sorted(owners)):
        for id_, customer in unit.session.connection().execute(_OWNERS, {"ids": ids}):
            if customer != owners[id_]:
                message = f"the subscription `{id_}` belongs to another customer, not to `{owners[id_]}`"
                raise ConflictError("already-exists", message)
    return [Upsert.of(stored.get(id_), customers[id_], subscriptions.get(id_, ())) for id_ in sorted(customers)]


def write_subjects(unit: WriteUnit, upserts: Iterable[Upsert]) -> None:
    """Write customers that this transaction locked, and their records to the feed."""
    batch = _Batch(unit)
    for upsert in upserts:
        batch.add(upsert)
    batch.write()


class _Batch:
    def __init__(self, unit: WriteUnit) -> None:
        self._unit = unit
        self._new: dict[Table, list[dict[str, object]]] = {CUSTOMERS: [], SUBSCRIPTIONS: []}
        self._edits: dict[Table, list[dict[str, object]]] = {CUSTOMERS: [], SUBSCRIPTIONS: []}
        self._parts = PartWriter()

    def add(self, upsert: Upsert) -> None:
        stored, customer, before = upsert.before, upsert.customer, upsert.customer_before()
        if customer != before:
            stamp = None if stored is None else stored.stamp
            self._put(CUSTOMERS, customer.id, stamp, customer_columns(customer), {"erased_at": None})
            self._parts.change_customer(before or Customer(customer.id), customer)
        changed = upsert.changed_subscriptions()
        for subscription in changed:
            id_ = subscription.id
            stamp = None if stored is None else stored.stamps.get(id_)
            self._put(SUBSCRIPTIONS, id_, stamp, subscription_columns(subscription), {"customer": customer.id})
            self._parts.change_subscription(upsert.known.get(id_) or without_parts(subscription), subscription)
        if customer != before or changed:
            self._unit.replace_record(customer.id, redact_record(upsert.record()))

    def _put(
        self, table: Table, id_: str, stamp: Stamp | None, row: dict[str, object], if_new: dict[str, object]
    ) -> None:
        now = self._unit.now
        if stamp is None:
            self._new[table].append({"id": id_, **row, **if_new, **Stamp(1, now, now)._asdict()})
        else:
            self._edits[table].append({"row_id": id_, **row, "etag": stamp.etag + 1, "updated_at": now})

    def write(self) -> None:
        connection = self._unit.session.connection()
        for table, rows in self._edits.items():
            if rows:
                connection.execute(update(table).where(table.c.id == bindparam("row_id")), rows)
        self._parts.write(connection)
        for table, kind in ((CUSTOMERS, tombstones.CUSTOMER), (SUBSCRIPTIONS, tombstones.SUBSCRIPTION)):
            rows = self._new[table]
            if rows:
                etags = tombstones.first_etags(connection, kind, [str(row["id"]) for row in rows])
                insert_rows(connection, table, [row | {"etag": etags[str(row["id"])]} for row in rows])
