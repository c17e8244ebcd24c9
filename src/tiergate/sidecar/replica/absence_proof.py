"""Proving that a subject is not in a replica, and not only hidden by a torn key.

A row whose key is damaged is found under no id: its subject would be told that it is unknown. Rows do not move, though,
and a search in a B-tree ends beside the row that misled it, or that it is looking for. So where nothing is found, the
rows before and after that place are held against the ids in their records: two short reads, for unknown subjects alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tiergate.errors import ReplicaError
from tiergate.model import SubjectType

if TYPE_CHECKING:
    from collections.abc import Callable
    from sqlite3 import Cursor

    from tiergate.model import Subject, SubjectRecord

_BESIDE: Final = (
    "SELECT {columns} FROM {table} WHERE id > ? ORDER BY id LIMIT 1",
    "SELECT {columns} FROM {table} WHERE id < ? ORDER BY id DESC LIMIT 1",
)


def prove_absent(
    find: Callable[..., Cursor], subject: Subject, columns: str, read: Callable[..., SubjectRecord | None]
) -> None:
    """See that a subject that was not found is not there.

    `find` runs a query. `columns` of `customers` hold a record, which `read` makes of them: none where there is none.

    Raises:
        ReplicaError: a row beside its place, or the one that names its customer, is torn. What the two raise passes.
    """
    if subject.type is SubjectType.CUSTOMER:
        for query in _BESIDE:
            row = find(query.format(columns=f"id, {columns}", table="customers"), (subject.id,)).fetchone()
            if row is not None:
                record = read(*row[1:])
                if record is not None and record.customer.id != row[0]:
                    raise ReplicaError("the key of a record is torn")
        return
    if find("SELECT 1 FROM subscriptions WHERE id = ?", (subject.id,)).fetchone() is not None:
        raise ReplicaError("a subscription's customer is missing")
    for query in _BESIDE:
        row = find(query.format(columns="id, customer", table="subscriptions"), (subject.id,)).fetchone()
        if row is None:
            continue
        held = find(f"SELECT {columns} FROM customers WHERE id = ?", (row[1],)).fetchone()  # noqa: S608 - our own
        record = None if held is None else read(*held)
        if held is None or (record is not None and all(it.id != row[0] for it in record.subscriptions)):
            raise ReplicaError("the key of a subscription is torn")
