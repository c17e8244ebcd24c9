"""The last entity tags of deleted rows, so that a new row with the same id does not start again at 1.

INVARIANT (an entity tag is given once): code that deletes a row with an entity tag buries the tag here, and code that
adds a row starts with the tag that `first_etags` returns. So a tag of a deleted row never fits a later one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import bindparam, delete, insert, select

from tiergate.store.batches import in_batches
from tiergate.store.id_lists import is_among
from tiergate.store.tables import TOMBSTONES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Connection, Table

CUSTOMER: Final = "customer"
SUBSCRIPTION: Final = "subscription"
FEATURE: Final = "feature"
ITEM: Final = "item"
RULE: Final = "rule"

_BURIED = select(TOMBSTONES.c.id, TOMBSTONES.c.etag).where(
    TOMBSTONES.c.kind == bindparam("row_kind"), is_among(TOMBSTONES.c.id)
)
_RAISE = delete(TOMBSTONES).where(TOMBSTONES.c.kind == bindparam("row_kind"), TOMBSTONES.c.id == bindparam("row_id"))
_BURY = insert(TOMBSTONES)


def first_etags(connection: Connection, kind: str, ids: Sequence[str]) -> dict[str, int]:
    """Return the first entity tag of each new row: 1, or the one after the last of a deleted row with its id."""
    etags = dict.fromkeys(ids, 1)
    for part in in_batches(ids):
        rows = connection.execute(_BURIED, {"row_kind": kind, "ids": part})
        etags.update((row.id, row.etag + 1) for row in rows)
    return etags


def bury_rows(connection: Connection, kind: str, table: Table, ids: Sequence[str]) -> None:
    """Keep the last entity tags of rows before their deletion."""
    if ids:
        rows = connection.execute(select(table.c.id, table.c.etag).where(table.c.id.in_(ids)))
        bury(connection, kind, {row.id: row.etag for row in rows})


def bury(connection: Connection, kind: str, etags: Mapping[str, int]) -> None:
    """Keep the last entity tags of deleted rows, by id."""
    if etags:
        connection.execute(_RAISE, [{"row_kind": kind, "row_id": id_} for id_ in etags])
        connection.execute(_BURY, [{"kind": kind, "id": id_, "etag": etag} for id_, etag in etags.items()])
