"""The records of those customers whom a change of the catalog may touch, as the feed last said them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
from sqlalchemy import func, select, union

from tiergate.model import SubjectRecord, SubjectType
from tiergate.store.tables import FEED, OVERRIDES, RECORDS, SUBSCRIPTION_ITEMS, SUBSCRIPTIONS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from sqlalchemy import CompoundSelect
    from sqlmodel import Session

_AT_ONCE: Final = 2_000
_MOST_NAMED: Final = 5_000  # databases bound the parameters of a statement

_decode = msgspec.json.Decoder(SubjectRecord).decode


def count_holders(session: Session, items: Collection[str] | None, features: Collection[str]) -> int:
    """Count the customers who hold one of some items, or have an override on one of some features; of all, if none."""
    whom = _whom(items, features)
    query = select(func.count()).select_from(RECORDS if whom is None else whom.subquery())
    return int(session.connection().execute(query).scalar_one())


def holders(session: Session, items: Collection[str] | None, features: Collection[str]) -> Iterator[SubjectRecord]:
    """Read the records of those customers, a few at a time, by id."""
    whom = _whom(items, features)
    query = select(RECORDS.c.record).order_by(RECORDS.c.customer)
    if whom is not None:
        query = query.where(RECORDS.c.customer.in_(whom))
    for (record,) in session.connection().execute(query.execution_options(yield_per=_AT_ONCE)):
        yield _decode(record)


def customers_holding(session: Session, item: str, after: str, limit: int) -> list[str]:
    """Customers whose subscriptions have an item, ended ones too, in the order of their ids, those after one."""
    query = (
        select(SUBSCRIPTIONS.c.customer)
        .distinct()
        .join(SUBSCRIPTION_ITEMS, SUBSCRIPTION_ITEMS.c.subscription == SUBSCRIPTIONS.c.id)
        .where(SUBSCRIPTION_ITEMS.c.item == item, SUBSCRIPTIONS.c.customer > after)
        .order_by(SUBSCRIPTIONS.c.customer)
        .limit(limit)
    )
    return list(session.connection().execute(query).scalars())


def changed_records(session: Session, position: int, limit: int) -> list[SubjectRecord] | None:
    """The records of customers whom the feed tells of after a position; none where they are more than `limit`."""
    customer = FEED.c.customer
    query = select(customer).where(FEED.c.position > position, customer.is_not(None)).distinct().limit(limit + 1)
    ids = list(session.connection().execute(query).scalars())
    if len(ids) > limit:
        return None
    found: list[SubjectRecord] = []
    for begin in range(0, len(ids), _AT_ONCE):
        its = select(RECORDS.c.record).where(RECORDS.c.customer.in_(ids[begin : begin + _AT_ONCE]))
        found += [_decode(record) for record in session.connection().execute(its).scalars()]
    return found


def _whom(items: Collection[str] | None, features: Collection[str]) -> CompoundSelect[tuple[str]] | None:
    if items is None or len(items) + len(features) > _MOST_NAMED:
        return None
    named = sorted(features)
    mine = OVERRIDES.c.holder_type == SubjectType.CUSTOMER.value
    held = (
        select(SUBSCRIPTIONS.c.customer)
        .join(SUBSCRIPTION_ITEMS, SUBSCRIPTION_ITEMS.c.subscription == SUBSCRIPTIONS.c.id)
        .where(SUBSCRIPTION_ITEMS.c.item.in_(sorted(items)))
    )
    of_customers = select(OVERRIDES.c.holder).where(mine, OVERRIDES.c.feature.in_(named))
    of_subscriptions = (
        select(SUBSCRIPTIONS.c.customer)
        .join(OVERRIDES, OVERRIDES.c.holder == SUBSCRIPTIONS.c.id)
        .where(~mine, OVERRIDES.c.feature.in_(named))
    )
    return union(held, of_customers, of_subscriptions)
