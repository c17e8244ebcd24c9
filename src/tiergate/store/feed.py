"""The table of the change feed: one total order of everything that sidecars must know.

A transaction assigns positions under a lock on the one row of `feed_head`, as its last step before the commit.
INVARIANT (feed order): the transaction that has the lock commits before the next one gets it. So positions have no gaps
and become visible in order, and a reader that has seen position n never finds a smaller new one. Changes that commit
together (`tiergate.store.change_queue`) append together.

`tiergate.feed` writes the lines and their hash chain.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sqlalchemy import bindparam, select, update

from tiergate.errors import StoreError
from tiergate.feed.hash_chain import extend_chain, line_digest
from tiergate.feed.lines import publication_line, status_line, subject_line
from tiergate.store.prepared_queries import PreparedStatement, Query, execute_prepared, fetch_together
from tiergate.store.row_inserts import insert_rows
from tiergate.store.tables import FEED, FEED_HEAD, ONLY_ROW

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection
    from sqlmodel import Session

    from tiergate.model import Instant


# Built once: building a statement costs as much as executing it.
_READ_HEAD = select(FEED_HEAD.c.position, FEED_HEAD.c.chain, FEED_HEAD.c.floor, FEED_HEAD.c.publication).where(
    FEED_HEAD.c.key == ONLY_ROW
)
READ_HEAD: Final = Query(_READ_HEAD)
LOCK_HEAD: Final = Query(_READ_HEAD.with_for_update())
"""Queries whose rows `head_of` takes; `LOCK_HEAD` as `read_head` with `lock`."""

_ADVANCE = PreparedStatement(
    update(FEED_HEAD)
    .where(FEED_HEAD.c.key == ONLY_ROW)
    .values(position=bindparam("to"), chain=bindparam("new_chain"), publication=bindparam("in_force"))
)


class FeedHead(NamedTuple):
    """The end of the feed: its last position, the chain there, its floor, the active publication (0: none)."""

    position: int
    chain: str
    floor: int
    publication: int


class FeedAppend(NamedTuple):
    """A change to append: the JSON of a customer's record (or `null`), of an envelope, or of a feature's reports."""

    customer: str | None
    publication: int | None
    content: bytes
    feature: str | None = None


def read_head(session: Session, *, lock: bool = False) -> FeedHead:
    """Read the head. `lock`: no other transaction can append until this one ends.

    Raises:
        StoreError: if the store is not initialized.
    """
    return head_of(fetch_together(session.connection(), [(LOCK_HEAD if lock else READ_HEAD, {})])[0])


def head_of(rows: Sequence[Sequence[Any]]) -> FeedHead:
    """Return the head from the rows of its query. Raises as `read_head`."""
    if not rows:
        raise StoreError("the store is not initialized: run `tiergate migrate`")
    return FeedHead(*rows[0])


def append(connection: Connection, head: FeedHead, changes: Sequence[tuple[Instant, FeedAppend]]) -> FeedHead:
    """Append changes, with their instants, after `head`, which was read with its lock; return the new head."""
    position, chain, publication = head.position, head.chain, head.publication
    rows: list[dict[str, object]] = []
    for at, change in changes:
        position += 1
        if change.customer is not None:
            line = subject_line(position, at, change.customer, change.content)
        elif change.feature is not None:
            line = status_line(position, at, change.feature, change.content)
        else:
            publication = change.publication or publication
            line = publication_line(position, at, change.content)
        digest = line_digest(line)
        chain = extend_chain(chain, digest)
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
    insert_rows(connection, FEED, rows)
    new = FeedHead(position, chain, head.floor, publication)
    execute_prepared(connection, _ADVANCE, {"to": position, "new_chain": chain, "in_force": publication})
    return new
