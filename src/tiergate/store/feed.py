"""The change feed: one total order of everything that sidecars must know.

A position is given under a lock on the one row of `feed_head`, as the last thing that a transaction does before it
commits. INVARIANT (feed order): whoever holds the lock commits before the next one gets it, so positions have no gaps,
are visible in their order, and a reader who has seen position n will never meet a smaller one that is new. Changes that
commit together (`tiergate.store.group_commit`) are one holder: each sees the head as the one before left it.

Entries chain by hash, as `naming` says, so that whoever follows (`tiergate.feed.chain`) computes the same.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, NamedTuple

import msgspec
from sqlalchemy import bindparam, insert, select, update

from tiergate import naming
from tiergate.errors import StoreError
from tiergate.store.tables import ONLY_ROW, FeedHeadRow, FeedRow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Table
    from sqlmodel import Session

    from tiergate.model import Instant

_HEAD: Table = FeedHeadRow.__table__  # type: ignore[attr-defined]
_FEED: Table = FeedRow.__table__  # type: ignore[attr-defined]

# Made once: to make a statement costs as much as to execute it.
_READ_HEAD = select(_HEAD.c.position, _HEAD.c.chain, _HEAD.c.floor, _HEAD.c.publication).where(_HEAD.c.key == ONLY_ROW)
_LOCK_HEAD = _READ_HEAD.with_for_update()
_ADVANCE = (
    update(_HEAD)
    .where(_HEAD.c.key == ONLY_ROW)
    .values(position=bindparam("to"), chain=bindparam("new_chain"), publication=bindparam("in_force"))
)
_ADD = insert(_FEED)


class FeedHead(NamedTuple):
    """How far the feed goes: its last position and the chain there, its floor, the sequence in force (0: none)."""

    position: int
    chain: str
    floor: int
    publication: int


class Entry(NamedTuple):
    """One entry as readers get it, what it is about, and the chain up to it."""

    position: int
    line: bytes
    digest: str
    customer: str | None
    publication: int | None
    chain: str


class Change(NamedTuple):
    """What is to be appended: the JSON of a customer's record (or `null`), or of a publication's envelope."""

    customer: str | None
    publication: int | None
    content: bytes


def chain_start(store: str) -> str:
    """The chain before the first entry of a store's feed, in hex."""
    return naming.feed_start(store).hex()


def chain_after(chain: str, digest: str) -> str:
    """The chain after one more entry; both in hex."""
    return naming.feed_next(bytes.fromhex(chain), bytes.fromhex(digest)).hex()


def read_head(session: Session, *, lock: bool = False) -> FeedHead:
    """Read the head; with `lock`, keep others from appending until this transaction ends.

    Raises:
        StoreError: the store was never set up.
    """
    row = session.connection().execute(_LOCK_HEAD if lock else _READ_HEAD).one_or_none()
    if row is None:
        raise StoreError("the store was never set up: run `tiergate migrate`")
    return FeedHead(*row)


def append(session: Session, head: FeedHead, changes: Sequence[Change], at: Instant) -> FeedHead:
    """Append changes after `head`, which must have been read with its lock in this transaction; return the new head."""
    position, chain, publication = head.position, head.chain, head.publication
    rows = []
    for change in changes:
        position += 1
        if change.publication is not None:
            publication = change.publication
            line = b'{"position":%d,"at":%d,"publication":%b}' % (position, at, change.content)
        else:
            customer = msgspec.json.encode(change.customer)
            line = b'{"position":%d,"at":%d,"customer":%b,"record":%b}' % (position, at, customer, change.content)
        digest = hashlib.sha256(line).hexdigest()
        chain = chain_after(chain, digest)
        rows.append(
            {
                "position": position,
                "at": at,
                "customer": change.customer,
                "publication": change.publication,
                "line": line,
                "digest": digest,
                "chain": chain,
                "redacted": False,
            }
        )
    connection = session.connection()
    if rows:
        connection.execute(_ADD, rows)
    new = FeedHead(position, chain, head.floor, publication)
    connection.execute(_ADVANCE, {"to": position, "new_chain": chain, "in_force": publication})
    return new


def read_after(session: Session, position: int, limit: int) -> list[Entry]:
    """Read up to `limit` entries after a position, in order. Those at or below the floor may be redacted."""
    feed = FeedRow.__table__.c  # type: ignore[attr-defined]
    query = (
        select(feed.position, feed.line, feed.digest, feed.customer, feed.publication, feed.chain)
        .where(feed.position > position)
        .order_by(feed.position)
        .limit(limit)
    )
    return [Entry(*row) for row in session.connection().execute(query)]
