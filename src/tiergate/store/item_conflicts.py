"""The subscriptions whose items a new catalog does not allow together.

Only items that count now or later matter; subscriptions that have ended do not. Items are together while their
intervals overlap.
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

_MAX_NAMED: Final = 10

_OTHER_ITEMS = SUBSCRIPTION_ITEMS.alias("other")


class ConflictingSubscriptions(NamedTuple):
    """The number of subscriptions, and the first of them with their customers."""

    total: int
    named: tuple[tuple[str, str], ...]


def subscriptions_without_required(
    session: Session, item: str, needed: Collection[str], before: Collection[str] | None, now: Instant
) -> ConflictingSubscriptions:
    """Find subscriptions with an item and none of `needed`; with `before`: and one of these."""
    condition = and_(SUBSCRIPTION_ITEMS.c.item == item, ~_beside(needed))
    if before is not None:
        condition = and_(condition, _beside(before, _OTHER_ITEMS.c.until > now))
    return _find(session, condition, now)


def subscriptions_with_excluded(
    session: Session, item: str, others: Collection[str], now: Instant
) -> ConflictingSubscriptions:
    """Find subscriptions with an item and one of the others."""
    return _find(session, and_(SUBSCRIPTION_ITEMS.c.item == item, _beside(others, _OTHER_ITEMS.c.until > now)), now)


def subscriptions_with_several(session: Session, items: Collection[str], now: Instant) -> ConflictingSubscriptions:
    """Find subscriptions with two of some items, or one of them twice, at the same time."""
    own = SUBSCRIPTION_ITEMS.c.item.in_(sorted(items))
    return _find(
        session,
        and_(own, _beside(items, _OTHER_ITEMS.c.place < SUBSCRIPTION_ITEMS.c.place, _OTHER_ITEMS.c.until > now)),
        now,
    )


def _beside(items: Collection[str], *conditions: ColumnElement[bool]) -> ColumnElement[bool]:
    query = select(_OTHER_ITEMS.c.place).where(
        _OTHER_ITEMS.c.subscription == SUBSCRIPTION_ITEMS.c.subscription,
        _OTHER_ITEMS.c.place != SUBSCRIPTION_ITEMS.c.place,
        _OTHER_ITEMS.c.item.in_(sorted(items)),
        _OTHER_ITEMS.c.start < SUBSCRIPTION_ITEMS.c.until,
        SUBSCRIPTION_ITEMS.c.start < _OTHER_ITEMS.c.until,
        *conditions,
    )
    return query.exists()


def _find(session: Session, condition: ColumnElement[bool], now: Instant) -> ConflictingSubscriptions:
    columns = SUBSCRIPTIONS.c
    is_live = and_(
        columns.status != SubscriptionStatus.EXPIRED.value,
        or_(columns.end.is_(None), columns.end > now),
        SUBSCRIPTION_ITEMS.c.until > now,
    )
    joined = SUBSCRIPTION_ITEMS.join(SUBSCRIPTIONS, columns.id == SUBSCRIPTION_ITEMS.c.subscription)
    where = and_(condition, is_live)
    counted = select(func.count(func.distinct(SUBSCRIPTION_ITEMS.c.subscription))).select_from(joined).where(where)
    count = int(session.connection().execute(counted).scalar_one())
    if not count:
        return ConflictingSubscriptions(0, ())
    named = select(columns.id, columns.customer).select_from(joined).where(where).distinct()
    rows = session.connection().execute(named.order_by(columns.id).limit(_MAX_NAMED))
    return ConflictingSubscriptions(count, tuple((row.customer, row.id) for row in rows))
