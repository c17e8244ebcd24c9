"""Reading pages of the feed, and PostgreSQL's notifications that it has grown.

A page begins after a position of its reader, ends at a position whose chain is known, and never omits a line: positions
have no gaps and become visible in order (see `feed`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import psycopg
from sqlalchemy import BigInteger, bindparam, func, select, text

from tiergate.errors import StoreError
from tiergate.store.database import CHANNEL
from tiergate.store.feed import FeedHead, read_head
from tiergate.store.prepared_queries import Query, fetch_together
from tiergate.store.tables import FEED, PUBLICATIONS

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator

    from sqlmodel import Session

    from tiergate.store.database import Database

_AT_ONCE: Final = 500
_LINES: Final = Query(
    select(FEED.c.position, FEED.c.line, FEED.c.chain, FEED.c.publication)
    .where(FEED.c.position > bindparam("after"))
    .order_by(FEED.c.position)
    .limit(bindparam("most", type_=BigInteger()))
)
_PUBLICATION_AT: Final = Query(
    select(func.max(PUBLICATIONS.c.sequence).label("sequence")).where(PUBLICATIONS.c.position <= bindparam("at"))
)
_ALIVE: Final = {"keepalives_idle": "5", "keepalives_interval": "2", "keepalives_count": "3", "connect_timeout": "5"}


class FeedLine(NamedTuple):
    """One line, the chain up to it, and the sequence of the publication that is active from there on."""

    position: int
    line: bytes
    chain: str
    publication: int


class FeedPage(NamedTuple):
    """Lines after a position, and the head of the feed in the same instant."""

    lines: list[FeedLine]
    head: FeedHead


def read_page(session: Session, after: int, *, limit: int, max_bytes: int) -> FeedPage:
    """Read up to `limit` lines after a position, with at most `max_bytes`, but at least one line if there is one.

    The page of a position below the floor is empty: its lines may be redacted or dropped.

    Raises:
        StoreError: if a line is missing.
    """
    head = read_head(session)
    lines: list[FeedLine] = []
    if not head.floor <= after < head.position:
        return FeedPage(lines, head)
    publication = publication_at(session, after)
    size = 0
    for position, line, chain, published in _rows(session, after, limit):
        size += len(line)
        if lines and size > max_bytes:
            break
        publication = publication if published is None else published
        lines.append(FeedLine(position, line, chain, publication))
        if position != after + len(lines):
            raise StoreError(f"the feed has no line before position {position}")
    return FeedPage(lines, head)


def _rows(session: Session, after: int, limit: int) -> Iterator[tuple[int, bytes, str, int | None]]:
    while limit > 0:
        (rows,) = fetch_together(session.connection(), [(_LINES, {"after": after, "most": min(limit, _AT_ONCE)})])
        for row in rows:
            yield row.position, bytes(row.line), row.chain, row.publication
        if len(rows) < _AT_ONCE:
            return
        after, limit = rows[-1].position, limit - len(rows)


def publication_at(session: Session, position: int) -> int:
    """Return the sequence of the publication that is active at a position; 0 before the first."""
    ((row,),) = fetch_together(session.connection(), [(_PUBLICATION_AT, {"at": position})])
    return row.sequence or 0


def publication_envelope(session: Session, sequence: int) -> bytes | None:
    """Return the signed envelope of a publication; none if there is no such publication."""
    query = select(PUBLICATIONS.c.envelope).where(PUBLICATIONS.c.sequence == sequence)
    envelope = session.connection().execute(query).scalar_one_or_none()
    return None if envelope is None else bytes(envelope)


def is_read_only(session: Session) -> bool:
    """Return whether PostgreSQL is read-only: a replica after a failover, or by its configuration."""
    setting = session.connection().execute(text("SELECT current_setting('transaction_read_only')")).scalar_one()
    return bool(setting == "on")


async def notifications(database: Database) -> AsyncGenerator[None]:
    """Yield once when listening has begun, then whenever another control plane on this PostgreSQL grew the feed.

    Raises:
        StoreError: if the connection cannot be made, or is lost. The caller reconnects, and reads missed lines.
    """
    url = database.engine.url.set(drivername="postgresql").update_query_dict(_ALIVE)
    try:
        connection = await psycopg.AsyncConnection.connect(url.render_as_string(hide_password=False), autocommit=True)
        async with connection:
            await connection.execute(f"LISTEN {CHANNEL}")
            yield
            async for _ in connection.notifies():
                yield
    except psycopg.Error as error:
        raise StoreError(f"cannot listen for the notifications of the database: {error}") from error
