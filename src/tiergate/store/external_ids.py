"""The ids of customers and subscriptions in other systems: unique in the store, and looked up.

An external id of a kind, `(system, value)`, belongs to one customer or to one subscription.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from sqlalchemy import bindparam, delete, select, tuple_

from tiergate.errors import ConflictError
from tiergate.store.batches import in_batches
from tiergate.store.row_inserts import insert_rows
from tiergate.store.tables import EXTERNAL_IDS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import ColumnElement, Connection
    from sqlmodel import Session

    from tiergate.model import SubjectType

_AT_ONCE: Final = 500

_BY_ID = select(EXTERNAL_IDS.c.holder).where(
    EXTERNAL_IDS.c.kind == bindparam("kind"),
    EXTERNAL_IDS.c.system == bindparam("system"),
    EXTERNAL_IDS.c.value == bindparam("value"),
)
_DROP = delete(EXTERNAL_IDS).where(
    EXTERNAL_IDS.c.kind == bindparam("row_kind"),
    EXTERNAL_IDS.c.system == bindparam("row_system"),
    EXTERNAL_IDS.c.value == bindparam("row_id"),
)


class ExternalIdChange(NamedTuple):
    """The external ids of one customer or subscription, by system, before and after."""

    holder: str
    before: Mapping[str, str]
    after: Mapping[str, str]


def by_external_id(session: Session, kind: SubjectType, system: str, value: str) -> str | None:
    """Return the customer or subscription with this id in a system; none if there is none."""
    key = {"kind": kind.value, "system": system, "value": value}
    holder: str | None = session.connection().execute(_BY_ID, key).scalar_one_or_none()
    return holder


def has_external_id(kind: SubjectType, holder: ColumnElement[str], system: str, value: str) -> ColumnElement[bool]:
    """Return the condition that the subject in a column has this external id; any id of the system if `value` is ''."""
    query = select(EXTERNAL_IDS.c.holder).where(EXTERNAL_IDS.c.kind == kind.value, EXTERNAL_IDS.c.system == system)
    return holder.in_(query.where(EXTERNAL_IDS.c.value == value) if value else query)


def write_external_ids(connection: Connection, kind: SubjectType, changes: Sequence[ExternalIdChange]) -> None:
    """Write the external ids of some subjects of one kind.

    Raises:
        ConflictError: if another subject has one of these external ids.
    """
    stale: list[dict[str, str]] = []
    fresh: dict[tuple[str, str], str] = {}
    for holder, before, after in changes:
        stale += [
            {"row_kind": kind.value, "row_system": system, "row_id": value}
            for system, value in before.items()
            if after.get(system) != value
        ]
        for key in after.items():
            if before.get(key[0]) == key[1]:
                continue
            if fresh.setdefault(key, holder) != holder:
                raise _conflict(kind, key, fresh[key])
    if stale:
        connection.execute(_DROP, stale)
    for keys in in_batches(fresh, _AT_ONCE):
        pair = tuple_(EXTERNAL_IDS.c.system, EXTERNAL_IDS.c.value)
        query = select(EXTERNAL_IDS.c.system, EXTERNAL_IDS.c.value, EXTERNAL_IDS.c.holder).where(
            EXTERNAL_IDS.c.kind == kind.value
        )
        row = connection.execute(query.where(pair.in_(keys)).limit(1)).first()
        if row is not None:
            raise _conflict(kind, (row.system, row.value), row.holder)
    if fresh:
        rows = [
            {"kind": kind.value, "system": system, "value": value, "holder": holder}
            for (system, value), holder in fresh.items()
        ]
        insert_rows(connection, EXTERNAL_IDS, rows)


def _conflict(kind: SubjectType, key: tuple[str, str], holder: str) -> ConflictError:
    system, value = key
    return ConflictError(
        "external-id-taken", f"the {kind.value} `{holder}` already has the external id `{value}` of `{system}`"
    )
