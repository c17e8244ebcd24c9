"""The records, as the feed last carried them, of customers that a change of the catalog may affect."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
from sqlalchemy import func, select, union

from tiergate.model import SubjectRecord, SubjectType
from tiergate.store.batches import in_batches
from tiergate.store.tables import FEED, OVERRIDES, RECORDS, SUBSCRIPTION_ITEMS, SUBSCRIPTIONS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from sqlalchemy import CompoundSelect
    from sqlmodel import Session

_BATCH: Final = 2_000
_MAX_NAMED: Final = 5_000  # databases limit the parameters of a statement

_decode = msgspec.json.Decoder(SubjectRecord).decode


def count_affected_customers(session: Session, items: Collection[str] | None, features: Collection[str]) -> int:
    """Count the customers with one of the items, or an override of one of the features; `items` none: all customers."""
    affected = _affected_ids(items, features)
    query = select(func.count()).select_from(RECORDS if affected is None else affected.subquery())
    return int(session.connection().execute(query).scalar_one())


def read_affected_records(
    session: Session, items: Collection[str] | None, features: Collection[str]
) -> Iterator[SubjectRecord]:
    """Read the records of these customers, by id. The rows are fetched in batches."""
    affected = _affected_ids(items, features)
    query = select(RECORDS.c.record).order_by(RECORDS.c.customer)
    if affected is not None:
        query = query.where(RECORDS.c.customer.in_(affected))
    for (record,) in session.connection().execute(query.execution_options(yield_per=_BATCH)):
        yield _decode(record)


def customers_with_item(session: Session, item: str, after: str, limit: int) -> list[str]:
    """Return customers, by id, that follow `after` and have a subscription, active or ended, with an item."""
    customer = SUBSCRIPTIONS.c.customer
    query = (
        select(customer).distinct().join(SUBSCRIPTION_ITEMS, SUBSCRIPTION_ITEMS.c.subscription == SUBSCRIPTIONS.c.id)
    )
    query = query.where(SUBSCRIPTION_ITEMS.c.item == item, customer > after).order_by(customer).limit(limit)
    return list(session.connection().execute(query).scalars())


def read_changed_records(session: Session, position: int, limit: int) -> list[SubjectRecord] | None:
    """Read the records of the customers in the feed after a position; none if they are more than `limit`."""
    customer = FEED.c.customer
    query = select(customer).where(FEED.c.position > position, customer.is_not(None)).distinct().limit(limit + 1)
    ids = list(session.connection().execute(query).scalars())
    if len(ids) > limit:
        return None
    records: list[SubjectRecord] = []
    for part in in_batches(ids, _BATCH):
        rows = session.connection().execute(select(RECORDS.c.record).where(RECORDS.c.customer.in_(part)))
        records += [_decode(record) for record in rows.scalars()]
    return records


def _affected_ids(items: Collection[str] | None, features: Collection[str]) -> CompoundSelect[tuple[str]] | None:
    if items is None or len(items) + len(features) > _MAX_NAMED:
        return None
    is_overridden = OVERRIDES.c.feature.in_(sorted(features))
    is_customer = OVERRIDES.c.holder_type == SubjectType.CUSTOMER.value
    subscribed = select(SUBSCRIPTIONS.c.customer)
    return union(
        subscribed.join(SUBSCRIPTION_ITEMS, SUBSCRIPTION_ITEMS.c.subscription == SUBSCRIPTIONS.c.id).where(
            SUBSCRIPTION_ITEMS.c.item.in_(sorted(items))
        ),
        select(OVERRIDES.c.holder).where(is_customer, is_overridden),
        subscribed.join(OVERRIDES, OVERRIDES.c.holder == SUBSCRIPTIONS.c.id).where(~is_customer, is_overridden),
    )
