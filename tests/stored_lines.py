"""The lines of a store's feed, with all that the table has of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import select

from tiergate.store.tables import FEED

if TYPE_CHECKING:
    from sqlmodel import Session


class StoredLine(NamedTuple):
    """One line, its subject, its hash, and the chain up to it."""

    position: int
    line: bytes
    digest: str
    customer: str | None
    publication: int | None
    chain: str


def read_after(session: Session, position: int, limit: int) -> list[StoredLine]:
    """Read up to `limit` lines after a position, in order."""
    query = select(*(FEED.c[name] for name in StoredLine._fields)).where(FEED.c.position > position)
    rows = session.connection().execute(query.order_by(FEED.c.position).limit(limit))
    return [StoredLine(*row) for row in rows]
