"""Proving that a subject is not in a replica, rather than hidden by a damaged key.

A row whose key is damaged is found under no id, and its subject would be reported as unknown. But rows do not move, and
a search in a B-tree ends next to the row that misled it, or that it looks for. So if nothing is found, the keys of the
rows before and after that place are compared with the ids in their records: two short reads, for unknown subjects only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tiergate.errors import ReplicaError
from tiergate.model import SubjectType

if TYPE_CHECKING:
    from collections.abc import Callable
    from sqlite3 import Cursor

    from tiergate.model import Subject, SubjectRecord

_NEIGHBOURS: Final = (
    "SELECT {columns} FROM {table} WHERE id > ? ORDER BY id LIMIT 1",
    "SELECT {columns} FROM {table} WHERE id < ? ORDER BY id DESC LIMIT 1",
)


def prove_absent(
    find: Callable[..., Cursor], subject: Subject, columns: str, decode: Callable[..., SubjectRecord | None]
) -> None:
    """Check that a subject that was not found is not there.

    `find` runs a query. `decode` makes a record of the `columns` of `customers`, or `None` of a quarantined one. Raises
    `ReplicaError` if a neighbouring row, or the one that names its customer, is damaged. Errors of the two pass.
    """
    if subject.type is SubjectType.CUSTOMER:
        for query in _NEIGHBOURS:
            row = find(query.format(columns=f"id, {columns}", table="customers"), (subject.id,)).fetchone()
            if row is not None:
                record = decode(*row[1:])
                if record is not None and record.customer.id != row[0]:
                    raise ReplicaError("the key of a record is damaged")
        return
    if find("SELECT 1 FROM subscriptions WHERE id = ?", (subject.id,)).fetchone() is not None:
        raise ReplicaError("a subscription's customer is missing")
    for query in _NEIGHBOURS:
        row = find(query.format(columns="id, customer", table="subscriptions"), (subject.id,)).fetchone()
        if row is None:
            continue
        customer = find(f"SELECT {columns} FROM customers WHERE id = ?", (row[1],)).fetchone()  # noqa: S608 - our own
        record = None if customer is None else decode(*customer)
        if customer is None or (record is not None and all(sub.id != row[0] for sub in record.subscriptions)):
            raise ReplicaError("the key of a subscription is damaged")
