"""How far back the feed goes: for sidecars that follow, and as the history of what customers had.

The floor moves with time, but never beyond a snapshot that is offered, so that whoever is sent away finds one to go on
from. What is below the floor is history: it stays for as long as history is kept, and of each customer the last entry
before that, which says what holds at its beginning.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import aliased

from tiergate.store.feed import read_head
from tiergate.store.tables import FEED, FEED_HEAD, IDEMPOTENCY, ONLY_ROW, SNAPSHOTS

if TYPE_CHECKING:
    from tiergate.model import Instant
    from tiergate.store.transactions import WriteUnit


_AT_ONCE: Final = 5_000


def raise_floor(unit: WriteUnit, before: Instant) -> int:
    """Have the feed begin after the last entry before an instant, or at the oldest snapshot; return where it begins."""
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
    """Remove some entries below the floor that say nothing of the time from `before` on; return how many."""
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
        .limit(_AT_ONCE)
    )
    connection = unit.session.connection()
    positions = connection.execute(query).scalars().all()
    if positions:
        connection.execute(delete(FEED).where(FEED.c.position.in_(positions)))
    return len(positions)


def delete_idempotency(unit: WriteUnit, before: Instant) -> int:
    """Forget the answers kept for requests sent again, from before an instant; return how many."""
    return unit.session.connection().execute(delete(IDEMPOTENCY).where(IDEMPOTENCY.c.created_at < before)).rowcount
