"""Writes how customers and their subscriptions have changed: only rows that differ, those of many subjects together.

Rows of customers and subscriptions are only edited here. `customers.Account` adds and removes them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tiergate.store.keyed_rows import update_rows
from tiergate.store.subject_writer import PartWriter, customer_columns, subscription_columns
from tiergate.store.tables import CUSTOMERS, SUBSCRIPTIONS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import Connection

    from tiergate.store.subjects import Stamp, StoredRecord


def write_differences(connection: Connection, changes: Iterable[tuple[StoredRecord, StoredRecord]]) -> None:
    """Write records, from how their rows are to how they become; each pair has the same subscriptions.

    Raises:
        ConflictError: if another subject has one of the external ids.
    """
    customers: list[dict[str, object]] = []
    subscriptions: list[dict[str, object]] = []
    parts = PartWriter()
    for before, after in changes:
        if after.customer != before.customer:
            customers.append({**_key(after.customer.id, after.stamp), **customer_columns(after.customer)})
            parts.change_customer(before.customer, after.customer)
        for old, new in zip(before.record.subscriptions, after.record.subscriptions, strict=True):
            if new is not old and new != old:
                subscriptions.append({**_key(new.id, after.stamps[new.id]), **subscription_columns(new)})
                parts.change_subscription(old, new)
    update_rows(connection, CUSTOMERS, ("id",), customers)
    update_rows(connection, SUBSCRIPTIONS, ("id",), subscriptions)
    parts.write(connection)


def _key(id_: str, stamp: Stamp) -> dict[str, object]:
    return {"id": id_, "etag": stamp.etag, "updated_at": stamp.updated_at}
