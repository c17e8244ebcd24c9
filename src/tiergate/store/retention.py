"""How far back the feed goes, for sidecars and as the history of customers.

The floor rises with time, but never above a snapshot, so that a reader below it finds one to continue from. Entries
below the floor are history: they stay for as long as history is kept, and so does the last entry of each customer
before that, which has the state at the start of the history.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import aliased

from tiergate.store.feed import read_head
from tiergate.store.tables import FEED, FEED_HEAD, IDEMPOTENCY, ONLY_ROW, SNAPSHOTS

if TYPE_CHECKING:
    from tiergate.model import Instant
    from tiergate.store.units import WriteUnit


_BATCH: Final = 5_000


def raise_floor(unit: WriteUnit, before: Instant) -> int:
    """Raise the floor to the last entry before an instant, at most to the oldest snapshot; return the floor."""
    head = read_head(unit.session, lock=True)
    connection = unit.session.connection()
    query = select(FEED.c.position).where(FEED.c.at < before).order_by(FEED.c.at.desc(), FEED.c.position.desc())
    old = connection.execute(query.limit(1)).scalar_one_or_none()
    snapshot = connection.execute(select(func.min(SNAPSHOTS.c.position))).scalar_one_or_none()
    floor = min(old or 0, snapshot or 0)
    if floor <= head.floor:
        return head.floor
    connection.execute(update(FEED_HEAD).where(FEED_HEAD.c.key == ONLY_ROW).values(floor=floor))
    return floor


def drop_history(unit: WriteUnit, before: Instant) -> int:
    """Delete some entries below the floor that have no effect from `before` on; return how many."""
    later = aliased(FEED)
    superseded = (
        select(later.c.position)
        .where(later.c.customer == FEED.c.customer, later.c.position > FEED.c.position, later.c.at <= before)
        .exists()
    )
    query = (
        select(FEED.c.position)
        .where(FEED.c.at < before, FEED.c.position <= unit.head().floor, FEED.c.customer.is_(None) | superseded)
        .order_by(FEED.c.position)
        .limit(_BATCH)
    )
    connection = unit.session.connection()
    positions = connection.execute(query).scalars().all()
    if positions:
        connection.execute(delete(FEED).where(FEED.c.position.in_(positions)))
    return len(positions)


def delete_idempotency(unit: WriteUnit, before: Instant) -> int:
    """Delete the responses stored for idempotency before an instant; return how many."""
    return unit.session.connection().execute(delete(IDEMPOTENCY).where(IDEMPOTENCY.c.created_at < before)).rowcount
