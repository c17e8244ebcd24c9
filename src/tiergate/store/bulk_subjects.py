"""Many subjects at once: read, locked and written with few statements, however many they are.

What `customers.Account` does for one customer, with the same rows, entity tags and records as its result.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import bindparam, delete, insert, select, update

from tiergate.errors import ConflictError
from tiergate.model import Customer, SubjectRecord, SubjectType, Subscription
from tiergate.model.redaction import redact_record
from tiergate.store import tombstones
from tiergate.store.batches import in_batches
from tiergate.store.external_ids import ExternalIdChange, write_external_ids
from tiergate.store.subjects import (
    Stamp,
    StoredRecord,
    customer_columns,
    item_rows,
    override_rows,
    read_stored,
    subscription_columns,
    suspension_rows,
    without_parts,
)
from tiergate.store.tables import (
    CUSTOMER_TAGS,
    CUSTOMERS,
    OVERRIDES,
    SUBSCRIPTION_ITEMS,
    SUBSCRIPTIONS,
    SUSPENSIONS,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sqlalchemy import Table

    from tiergate.store.transactions import WriteUnit


class Upsert(NamedTuple):
    """A customer as it was, if it was, and what it becomes; of its subscriptions, only those that are written."""

    before: StoredRecord | None
    customer: Customer
    subscriptions: Sequence[Subscription]

    def owner(self) -> Customer | None:
        """The customer as it was, if it was."""
        return None if self.before is None else self.before.record.customer

    def held(self, id_: str) -> Subscription | None:
        """A subscription as it was, if it was."""
        its = () if self.before is None else self.before.record.subscriptions
        return next((one for one in its if one.id == id_), None)

    def record(self) -> SubjectRecord:
        """What the customer then is, with the subscriptions that are not written."""
        held = {} if self.before is None else {one.id: one for one in self.before.record.subscriptions}
        held |= {one.id: one for one in self.subscriptions}
        return SubjectRecord(self.customer, tuple(held[id_] for id_ in sorted(held)))

    def changed(self) -> list[Subscription]:
        """The subscriptions that are new or different."""
        known = {} if self.before is None else {one.id: one for one in self.before.record.subscriptions}
        return [one for one in self.subscriptions if known.get(one.id) != one]


def lock_customers(
    unit: WriteUnit, customers: Mapping[str, Customer], subscriptions: Mapping[str, Sequence[Subscription]]
) -> list[Upsert]:
    """Lock those of the customers that exist, and say what each was; by id.

    Raises:
        ConflictError: another customer has a subscription of one of these ids.
    """
    stored = read_stored(unit.session, sorted(customers), lock=True)
    owners = {one.id: customer for customer, its in subscriptions.items() for one in its}
    connection = unit.session.connection()
    for ids in in_batches(sorted(owners)):
        query = select(SUBSCRIPTIONS.c.id, SUBSCRIPTIONS.c.customer).where(SUBSCRIPTIONS.c.id.in_(ids))
        for id_, customer in connection.execute(query):
            if customer != owners[id_]:
                said = f"the subscription `{id_}` is another customer's, not `{owners[id_]}`'s"
                raise ConflictError("already-exists", said)
    return [Upsert(stored.get(id_), customers[id_], subscriptions.get(id_, ())) for id_ in sorted(customers)]


def write_subjects(unit: WriteUnit, upserts: Iterable[Upsert]) -> None:
    """Write customers that were locked in this transaction, and have the feed say of each what it has become."""
    batch = _Batch(unit)
    for upsert in upserts:
        batch.take(upsert)
    batch.write()


class _Batch:
    """Rows to be written, by table."""

    def __init__(self, unit: WriteUnit) -> None:
        self._unit = unit
        self._new: dict[Table, list[dict[str, object]]] = {}
        self._edits: dict[Table, list[dict[str, object]]] = {CUSTOMERS: [], SUBSCRIPTIONS: []}
        self._stale: dict[tuple[Table, SubjectType], list[str]] = {}
        self._relabels: dict[SubjectType, list[ExternalIdChange]] = {}

    def take(self, upsert: Upsert) -> None:
        before, customer = upsert.before, upsert.customer
        known = None if before is None else before.record.customer
        if before is None or customer != known:
            row = customer_columns(customer)
            self._put(CUSTOMERS, customer.id, None if before is None else before.stamp, row, {"erased_at": None})
            ids = {} if known is None else known.external_ids
            self._relabel(SubjectType.CUSTOMER, ExternalIdChange(customer.id, ids, customer.external_ids))
            old_tags = () if known is None else known.tags
            if old_tags != customer.tags:
                if old_tags:
                    self._stale.setdefault((CUSTOMER_TAGS, SubjectType.CUSTOMER), []).append(customer.id)
                self._add(CUSTOMER_TAGS, [{"tag": tag, "customer": customer.id} for tag in customer.tags])
            self._exceptions(SubjectType.CUSTOMER, known or Customer(customer.id), customer)
        held = {} if before is None else {one.id: one for one in before.record.subscriptions}
        changed = upsert.changed()
        for one in changed:
            stamp = None if before is None else before.stamps.get(one.id)
            self._put(SUBSCRIPTIONS, one.id, stamp, subscription_columns(one), {"customer": customer.id})
            old = held.get(one.id) or without_parts(one)
            self._relabel(SubjectType.SUBSCRIPTION, ExternalIdChange(one.id, old.external_ids, one.external_ids))
            if old.items != one.items:
                if old.items:
                    self._stale.setdefault((SUBSCRIPTION_ITEMS, SubjectType.SUBSCRIPTION), []).append(one.id)
                self._add(SUBSCRIPTION_ITEMS, item_rows(one))
            self._exceptions(SubjectType.SUBSCRIPTION, old, one)
        if before is None or customer != known or changed:
            self._unit.replace_record(customer.id, redact_record(upsert.record()))

    def _put(
        self, table: Table, id_: str, stamp: Stamp | None, row: dict[str, object], once: dict[str, object]
    ) -> None:
        now = self._unit.now
        if stamp is None:
            self._add(table, [{"id": id_, **row, **once, **Stamp(1, now, now)._asdict()}])
        else:
            self._edits[table].append({"its": id_, **row, "etag": stamp.etag + 1, "updated_at": now})

    def _exceptions(self, kind: SubjectType, old: Customer | Subscription, new: Customer | Subscription) -> None:
        if old.overrides != new.overrides:
            if old.overrides:
                self._stale.setdefault((OVERRIDES, kind), []).append(new.id)
            self._add(OVERRIDES, override_rows(kind, new))
        if old.suspensions != new.suspensions:
            if old.suspensions:
                self._stale.setdefault((SUSPENSIONS, kind), []).append(new.id)
            self._add(SUSPENSIONS, suspension_rows(kind, new))

    def _relabel(self, kind: SubjectType, change: ExternalIdChange) -> None:
        if change.before != change.after:
            self._relabels.setdefault(kind, []).append(change)

    def _add(self, table: Table, rows: list[dict[str, object]]) -> None:
        self._new.setdefault(table, []).extend(rows)

    def write(self) -> None:
        connection = self._unit.session.connection()
        for (table, kind), ids in self._stale.items():
            for part in in_batches(ids):
                if table is CUSTOMER_TAGS:
                    connection.execute(delete(table).where(table.c.customer.in_(part)))
                elif table is SUBSCRIPTION_ITEMS:
                    connection.execute(delete(table).where(table.c.subscription.in_(part)))
                else:
                    its = (table.c.holder_type == kind.value) & table.c.holder.in_(part)
                    connection.execute(delete(table).where(its))
        for table, rows in self._edits.items():
            if rows:
                connection.execute(update(table).where(table.c.id == bindparam("its")), rows)
        for kind, relabels in self._relabels.items():
            write_external_ids(connection, kind, relabels)
        for table, kind_of in ((CUSTOMERS, tombstones.CUSTOMER), (SUBSCRIPTIONS, tombstones.SUBSCRIPTION)):
            rows = self._new.get(table, [])
            first = tombstones.first_etags(connection, kind_of, [str(row["id"]) for row in rows])
            for row in rows:
                row["etag"] = first[str(row["id"])]
        for table, rows in self._new.items():
            if rows:
                connection.execute(insert(table), rows)
