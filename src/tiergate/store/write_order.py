"""As of when what was last written about a customer or subscription was so, by the word of whoever wrote it.

Other systems tell what they know in events, which come twice and out of order. A write that says as of when it is so is
remembered here, so that an elder one that comes later can be told from a newer one. What billing owns of a
subscription and what people own of it are two sides, each with its own instant; a customer has people's alone.

What is deleted leaves a mark as of when it was, so that what was said before does not make it again. The mark is a row
of a side of its own, beside those of both owners, and goes when there is something of its id again; the instants stay.

Whoever reads here in order to write holds the customer's lock (`store.customers.Account`).
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple

from sqlalchemy import bindparam, delete, insert, select

from tiergate.model import SubjectType
from tiergate.store.tables import AsOfRow

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from sqlalchemy import Table
    from sqlmodel import Session

    from tiergate.model import Instant

_TABLE: Table = AsOfRow.__table__  # type: ignore[attr-defined]
_AT_ONCE: Final = 500
_MOST_DROPPED: Final = 5_000
_DELETED: Final = "deleted"
_OF = (_TABLE.c.kind == bindparam("kind")) & _TABLE.c.id.in_(bindparam("ids", expanding=True))
_KNOWN = select(_TABLE).where(_OF, _TABLE.c.side != _DELETED)
_GONE = select(_TABLE.c.id, _TABLE.c.as_of).where(_OF, _TABLE.c.side == _DELETED)
_LONG_GONE = select(_TABLE.c.kind, _TABLE.c.id).where(
    _TABLE.c.side == _DELETED, _TABLE.c.written_at < bindparam("before")
)
_DROP_SIDE = delete(_TABLE).where(
    _TABLE.c.kind == bindparam("its_kind"), _TABLE.c.id == bindparam("its"), _TABLE.c.side == bindparam("its_side")
)
_DROP = delete(_TABLE).where(_TABLE.c.kind == bindparam("its_kind"), _TABLE.c.id == bindparam("its"))
_ADD = insert(_TABLE)


class Side(StrEnum):
    """Who owns a part of a subject."""

    BILLING = "billing"
    PEOPLE = "people"


EVERY_SIDE: Final = frozenset(Side)
"""Both."""


class Known(NamedTuple):
    """As of when the last write of a side was so, and when it was written."""

    as_of: Instant
    written_at: Instant


def known_as_of(session: Session, kind: SubjectType, ids: Sequence[str]) -> dict[str, dict[Side, Known]]:
    """What is known of some subjects, by id and side; nothing of those of which nothing was said."""
    found: dict[str, dict[Side, Known]] = {}
    for begin in range(0, len(ids), _AT_ONCE):
        asked = {"kind": kind.value, "ids": ids[begin : begin + _AT_ONCE]}
        for row in session.connection().execute(_KNOWN, asked):
            found.setdefault(row.id, {})[Side(row.side)] = Known(row.as_of, row.written_at)
    return found


def is_elder(as_of: Instant | None, sides: Collection[Side], known: Mapping[Side, Known]) -> bool:
    """Say whether a write of these sides is elder than one that was applied to any of them. The same instant is not."""
    return as_of is not None and any(side in known and as_of < known[side].as_of for side in sides)


def remember(
    session: Session, kind: SubjectType, written: Sequence[tuple[str, Collection[Side], Instant]], now: Instant
) -> None:
    """Take down as of when what is written now is so: id, sides and instant of each subject, each named once."""
    rows = [
        {"kind": kind.value, "id": id_, "side": side.value, "as_of": as_of, "written_at": now}
        for id_, sides, as_of in written
        for side in sides
    ]
    if rows:
        connection = session.connection()
        keys = [{"its_kind": row["kind"], "its": row["id"], "its_side": row["side"]} for row in rows]
        connection.execute(_DROP_SIDE, keys)
        connection.execute(_ADD, rows)


def mark_deleted(session: Session, kind: SubjectType, id_: str, as_of: Instant, now: Instant) -> None:
    """Take down that a subject is gone, as of an instant, in place of what is known of it."""
    connection = session.connection()
    connection.execute(_DROP, {"its_kind": kind.value, "its": id_})
    row = {"kind": kind.value, "id": id_, "as_of": as_of, "written_at": now}
    owners = [Side.PEOPLE] if kind is SubjectType.CUSTOMER else list(Side)
    connection.execute(_ADD, [row | {"side": side} for side in (*(side.value for side in owners), _DELETED)])


def deleted_as_of(session: Session, kind: SubjectType, ids: Sequence[str]) -> dict[str, Instant]:
    """As of when those of some subjects were deleted of which that is known, and that were not made again since."""
    found: dict[str, Instant] = {}
    for begin in range(0, len(ids), _AT_ONCE):
        asked = {"kind": kind.value, "ids": ids[begin : begin + _AT_ONCE]}
        found.update((row.id, row.as_of) for row in session.connection().execute(_GONE, asked))
    return found


def revive(session: Session, kind: SubjectType, ids: Sequence[str]) -> None:
    """Take down that there are subjects of these ids again. What is elder than their deletion stays so."""
    gone = deleted_as_of(session, kind, ids)
    if gone:
        keys = [{"its_kind": kind.value, "its": id_, "its_side": _DELETED} for id_ in gone]
        session.connection().execute(_DROP_SIDE, keys)


def forget_deletions(session: Session, kind: SubjectType, ids: Sequence[str]) -> None:
    """Forget those of some subjects that are gone, altogether."""
    gone = deleted_as_of(session, kind, ids)
    if gone:
        session.connection().execute(_DROP, [{"its_kind": kind.value, "its": id_} for id_ in gone])


def drop_deletions(session: Session, before: Instant) -> int:
    """Forget some of what was deleted before an instant of the store's clock; return how many."""
    connection = session.connection()
    rows = connection.execute(_LONG_GONE.limit(_MOST_DROPPED), {"before": before}).all()
    if rows:
        connection.execute(_DROP, [{"its_kind": row.kind, "its": row.id} for row in rows])
    return len(rows)
