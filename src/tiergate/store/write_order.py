"""The instants (`as_of`) of the last writes of customers and subscriptions, as the writers reported them.

Other systems report what they know in events, which arrive twice and out of order. The `as_of` of a write is recorded
here, so that an older write that arrives later is recognized. Billing's part of a subscription and people's part are
two sides, each with its own instant; a customer has people's alone.

A deletion leaves a mark with its instant, so that older writes do not create the subject again. The mark is a row of a
side of its own, beside those of both owners. It is removed when the id exists again; the other instants stay.

A caller that reads here in order to write holds the customer's lock (`store.customers.Account`).
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sqlalchemy import bindparam, delete, insert, select

from tiergate.model import SubjectType
from tiergate.store.batches import in_batches
from tiergate.store.id_lists import is_among
from tiergate.store.prepared_queries import Query, fetch_together
from tiergate.store.tables import AS_OF

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from sqlmodel import Session

    from tiergate.model import Instant

_MOST_DROPPED: Final = 5_000
_DELETED: Final = "deleted"
_OF = (AS_OF.c.kind == bindparam("kind")) & is_among(AS_OF.c.id)
APPLIED: Final = Query(select(AS_OF).where(_OF, AS_OF.c.side != _DELETED))
"""The last writes with `as_of` of some subjects (`ids`) of a `kind`; `writes_of` takes its rows."""

_GONE = select(AS_OF.c.id, AS_OF.c.as_of).where(_OF, AS_OF.c.side == _DELETED)
_LONG_GONE = select(AS_OF.c.kind, AS_OF.c.id).where(AS_OF.c.side == _DELETED, AS_OF.c.written_at < bindparam("before"))
_DROP_SIDE = delete(AS_OF).where(
    AS_OF.c.kind == bindparam("row_kind"), AS_OF.c.id == bindparam("row_id"), AS_OF.c.side == bindparam("row_side")
)
_DROP = delete(AS_OF).where(AS_OF.c.kind == bindparam("row_kind"), AS_OF.c.id == bindparam("row_id"))
_ADD = insert(AS_OF)


class Side(StrEnum):
    """The owner of a part of a subject."""

    BILLING = "billing"
    PEOPLE = "people"


EVERY_SIDE: Final = frozenset(Side)
"""Both sides."""


class AppliedWrite(NamedTuple):
    """The `as_of` of the last write of a side, and the instant at which it was written."""

    as_of: Instant
    written_at: Instant


def applied_writes(session: Session, kind: SubjectType, ids: Sequence[str]) -> dict[str, dict[Side, AppliedWrite]]:
    """Return the last writes with `as_of` of some subjects, by id and side."""
    writes: dict[str, dict[Side, AppliedWrite]] = {}
    for part in in_batches(ids):
        writes |= writes_of(fetch_together(session.connection(), [(APPLIED, {"kind": kind.value, "ids": part})])[0])
    return writes


def writes_of(rows: Iterable[Any]) -> dict[str, dict[Side, AppliedWrite]]:
    """Return the last writes from the rows of `APPLIED`, by id and side."""
    writes: dict[str, dict[Side, AppliedWrite]] = {}
    for row in rows:
        writes.setdefault(row.id, {})[Side(row.side)] = AppliedWrite(row.as_of, row.written_at)
    return writes


def is_outdated(as_of: Instant | None, sides: Collection[Side], known: Mapping[Side, AppliedWrite]) -> bool:
    """Return whether a write is older than one that was applied to any of these sides."""
    return as_of is not None and any(side in known and as_of < known[side].as_of for side in sides)


def record_writes(
    session: Session, kind: SubjectType, written: Sequence[tuple[str, Collection[Side], Instant]], now: Instant
) -> None:
    """Record writes: id, sides and `as_of` of each subject, each subject once."""
    rows = [
        {"kind": kind.value, "id": id_, "side": side.value, "as_of": as_of, "written_at": now}
        for id_, sides, as_of in written
        for side in sides
    ]
    if rows:
        connection = session.connection()
        keys = [{"row_kind": row["kind"], "row_id": row["id"], "row_side": row["side"]} for row in rows]
        connection.execute(_DROP_SIDE, keys)
        connection.execute(_ADD, rows)


def record_deletion(session: Session, kind: SubjectType, id_: str, as_of: Instant, now: Instant) -> None:
    """Record that a subject was deleted at an instant, in place of its last writes."""
    connection = session.connection()
    connection.execute(_DROP, {"row_kind": kind.value, "row_id": id_})
    row = {"kind": kind.value, "id": id_, "as_of": as_of, "written_at": now}
    owners = [Side.PEOPLE] if kind is SubjectType.CUSTOMER else list(Side)
    connection.execute(_ADD, [row | {"side": side} for side in (*(side.value for side in owners), _DELETED)])


def deletion_instants(session: Session, kind: SubjectType, ids: Sequence[str]) -> dict[str, Instant]:
    """Return when some subjects were deleted, if they do not exist again."""
    instants: dict[str, Instant] = {}
    for part in in_batches(ids):
        rows = session.connection().execute(_GONE, {"kind": kind.value, "ids": part})
        instants.update((row.id, row.as_of) for row in rows)
    return instants


def clear_deletions(session: Session, kind: SubjectType, ids: Sequence[str]) -> None:
    """Remove the marks of deletions of ids that exist again. Writes older than the deletion stay outdated."""
    gone = deletion_instants(session, kind, ids)
    if gone:
        keys = [{"row_kind": kind.value, "row_id": id_, "row_side": _DELETED} for id_ in gone]
        session.connection().execute(_DROP_SIDE, keys)


def delete_deletion_marks(session: Session, kind: SubjectType, ids: Sequence[str]) -> None:
    """Remove everything about those of some subjects that were deleted."""
    gone = deletion_instants(session, kind, ids)
    if gone:
        session.connection().execute(_DROP, [{"row_kind": kind.value, "row_id": id_} for id_ in gone])


def delete_old_deletions(session: Session, before: Instant) -> int:
    """Remove some deletions from before an instant of the store's clock; return how many."""
    connection = session.connection()
    rows = connection.execute(_LONG_GONE.limit(_MOST_DROPPED), {"before": before}).all()
    if rows:
        connection.execute(_DROP, [{"row_kind": row.kind, "row_id": row.id} for row in rows])
    return len(rows)
