"""As of when what was last written about a customer or subscription was so, by the word of whoever wrote it.

Other systems tell what they know in events, which come twice and out of order. A write that says as of when it is so is
remembered here, so that an elder one that comes later can be told from a newer one. What billing owns of a
subscription and what people own of it are two sides, each with its own instant; a customer has people's alone.

Whoever reads here in order to write holds the customer's lock (`store.customers.Account`).
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple

from sqlalchemy import bindparam, delete, insert, select

from tiergate.store.tables import AsOfRow

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from sqlalchemy import Table
    from sqlmodel import Session

    from tiergate.model import Instant, SubjectType

__all__ = ["EVERY_SIDE", "Known", "Side", "forget", "is_elder", "known_as_of", "remember"]

_TABLE: Table = AsOfRow.__table__  # type: ignore[attr-defined]
_AT_ONCE: Final = 500
_KNOWN = select(_TABLE).where(_TABLE.c.kind == bindparam("kind"), _TABLE.c.id.in_(bindparam("ids", expanding=True)))
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


def forget(session: Session, kind: SubjectType, id_: str) -> None:
    """Forget what is known of a subject, which is gone."""
    session.connection().execute(_DROP, {"its_kind": kind.value, "its": id_})
