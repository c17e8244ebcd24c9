"""How many subscriptions hold items together that a catalog does not allow together, by statements of the database.

Only what could count now or later is looked at: of a subscription that has ended, nothing. Items are held together
where their intervals overlap.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from sqlalchemy import and_, func, or_, select

from tiergate.model import SubscriptionStatus
from tiergate.store.tables import SUBSCRIPTION_ITEMS, SUBSCRIPTIONS

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy import ColumnElement
    from sqlmodel import Session

    from tiergate.model import Instant

_NAMED: Final = 10

_OTHERS = SUBSCRIPTION_ITEMS.alias("other")


class Holders(NamedTuple):
    """How many subscriptions, and the first of them with their customers."""

    total: int
    named: tuple[tuple[str, str], ...]


def subscriptions_without_required(
    session: Session, item: str, needed: Collection[str], before: Collection[str] | None, now: Instant
) -> Holders:
    """Those that hold an item beside none of `needed`; with `before`: and beside one of these."""
    condition = and_(SUBSCRIPTION_ITEMS.c.item == item, ~_beside(needed))
    if before is not None:
        condition = and_(condition, _beside(before, _OTHERS.c.until > now))
    return _holders(session, condition, now)


def subscriptions_with_excluded(session: Session, item: str, others: Collection[str], now: Instant) -> Holders:
    """Those that hold an item beside one of the others."""
    return _holders(session, and_(SUBSCRIPTION_ITEMS.c.item == item, _beside(others, _OTHERS.c.until > now)), now)


def subscriptions_with_several(session: Session, items: Collection[str], now: Instant) -> Holders:
    """Those that hold two of some items, or one of them twice, at an instant."""
    own = SUBSCRIPTION_ITEMS.c.item.in_(sorted(items))
    return _holders(
        session, and_(own, _beside(items, _OTHERS.c.place < SUBSCRIPTION_ITEMS.c.place, _OTHERS.c.until > now)), now
    )


def _beside(items: Collection[str], *conditions: ColumnElement[bool]) -> ColumnElement[bool]:
    query = select(_OTHERS.c.place).where(
        _OTHERS.c.subscription == SUBSCRIPTION_ITEMS.c.subscription,
        _OTHERS.c.place != SUBSCRIPTION_ITEMS.c.place,
        _OTHERS.c.item.in_(sorted(items)),
        _OTHERS.c.start < SUBSCRIPTION_ITEMS.c.until,
        SUBSCRIPTION_ITEMS.c.start < _OTHERS.c.until,
        *conditions,
    )
    return query.exists()


def _holders(session: Session, condition: ColumnElement[bool], now: Instant) -> Holders:
    columns = SUBSCRIPTIONS.c
    lives = and_(
        columns.status != SubscriptionStatus.EXPIRED.value,
        or_(columns.end.is_(None), columns.end > now),
        SUBSCRIPTION_ITEMS.c.until > now,
    )
    held = SUBSCRIPTION_ITEMS.join(SUBSCRIPTIONS, columns.id == SUBSCRIPTION_ITEMS.c.subscription)
    where = and_(condition, lives)
    counted = select(func.count(func.distinct(SUBSCRIPTION_ITEMS.c.subscription))).select_from(held).where(where)
    count = int(session.connection().execute(counted).scalar_one())
    if not count:
        return Holders(0, ())
    named = select(columns.id, columns.customer).select_from(held).where(where).distinct()
    rows = session.connection().execute(named.order_by(columns.id).limit(_NAMED))
    return Holders(count, tuple((row.customer, row.id) for row in rows))
