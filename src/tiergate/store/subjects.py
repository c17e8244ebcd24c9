"""Customers and subscriptions: rows to the model and back, and the record that the feed carries of each customer.

Whether what is written makes sense (by the catalog, by the bounds of totals) is for the caller to have checked against
the published state of the same transaction.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import msgspec
from sqlalchemy import delete, insert, select

from tiergate.model import (
    Customer,
    HeldItem,
    Override,
    OverrideMode,
    SubjectRecord,
    SubjectType,
    Subscription,
    SubscriptionStatus,
    Suspension,
    Value,
)
from tiergate.store.tables import (
    CustomerRow,
    CustomerTagRow,
    HeldItemRow,
    OverrideRow,
    SubscriptionRow,
    SuspensionRow,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection, Row, Table
    from sqlmodel import Session

__all__ = ["DATES", "read_record", "record_json", "write_customer_parts", "write_subscription_parts"]

DATES = ("start", "end", "trial_end", "grace_until", "resume_at")
"""The dates of a subscription."""

_CUSTOMERS: Table = CustomerRow.__table__  # type: ignore[attr-defined]
_TAGS: Table = CustomerTagRow.__table__  # type: ignore[attr-defined]
_SUBSCRIPTIONS: Table = SubscriptionRow.__table__  # type: ignore[attr-defined]
_HELD: Table = HeldItemRow.__table__  # type: ignore[attr-defined]
_OVERRIDES: Table = OverrideRow.__table__  # type: ignore[attr-defined]
_SUSPENSIONS: Table = SuspensionRow.__table__  # type: ignore[attr-defined]

_value = msgspec.json.Decoder(Value).decode
_encode = msgspec.json.Encoder().encode


def record_json(record: SubjectRecord | None) -> bytes:
    """The JSON of a record as the feed carries it; `null` for a customer who is gone."""
    return _encode(record)


def read_record(session: Session, customer: str, *, public: bool) -> SubjectRecord | None:
    """Read a customer with all subscriptions, sorted by id; none where there is no such customer.

    `public`: without reasons and authors, as the feed carries it.
    """
    connection = session.connection()
    own = connection.execute(
        select(_CUSTOMERS.c.tags, _CUSTOMERS.c.attributes).where(_CUSTOMERS.c.id == customer)
    ).one_or_none()
    if own is None:
        return None
    found = connection.execute(
        select(_SUBSCRIPTIONS.c.id, _SUBSCRIPTIONS.c.status, *(_SUBSCRIPTIONS.c[date] for date in DATES))
        .where(_SUBSCRIPTIONS.c.customer == customer)
        .order_by(_SUBSCRIPTIONS.c.id)
    ).all()
    ids = [subscription.id for subscription in found]
    held = _held(connection, ids)
    overrides = _overrides(connection, customer, ids, public=public)
    suspensions = _suspensions(connection, customer, ids, public=public)
    return SubjectRecord(
        Customer(
            customer,
            tuple(json.loads(own.tags)),
            json.loads(own.attributes),
            overrides.get((SubjectType.CUSTOMER, customer), ()),
            suspensions.get((SubjectType.CUSTOMER, customer), ()),
        ),
        tuple(
            Subscription(
                row.id,
                customer,
                SubscriptionStatus(row.status),
                held.get(row.id, ()),
                row.start,
                row.end,
                row.trial_end,
                row.grace_until,
                row.resume_at,
                overrides.get((SubjectType.SUBSCRIPTION, row.id), ()),
                suspensions.get((SubjectType.SUBSCRIPTION, row.id), ()),
            )
            for row in found
        ),
    )


def _held(connection: Connection, ids: Sequence[str]) -> dict[str, tuple[HeldItem, ...]]:
    if not ids:
        return {}
    columns = _HELD.c
    query = (
        select(
            columns.subscription,
            columns.item,
            columns.quantity,
            columns.version,
            columns.added_at,
            columns.start,
            columns.until,
        )
        .where(columns.subscription.in_(ids))
        .order_by(columns.subscription, columns.place)
    )
    found: dict[str, tuple[HeldItem, ...]] = {}
    for subscription, *rest in connection.execute(query):
        found[subscription] = (*found.get(subscription, ()), HeldItem(*rest))
    return found


def _of_holders(table: Table, customer: str, ids: Sequence[str]) -> object:
    own = (table.c.holder_type == SubjectType.CUSTOMER.value) & (table.c.holder == customer)
    if not ids:
        return own
    return own | ((table.c.holder_type == SubjectType.SUBSCRIPTION.value) & table.c.holder.in_(ids))


def _overrides(
    connection: Connection, customer: str, ids: Sequence[str], *, public: bool
) -> dict[tuple[str, str], tuple[Override, ...]]:
    columns = _OVERRIDES.c
    query = (
        select(_OVERRIDES)
        .where(_of_holders(_OVERRIDES, customer, ids))  # type: ignore[arg-type]
        .order_by(columns.holder_type, columns.holder, columns.place, columns.id)
    )
    found: dict[tuple[str, str], tuple[Override, ...]] = {}
    for row in connection.execute(query):
        key = (row.holder_type, row.holder)
        found[key] = (*found.get(key, ()), _override(row, public=public))
    return found


def _override(row: Row[tuple[object, ...]], *, public: bool) -> Override:
    return Override(
        row.id,
        row.feature,
        OverrideMode(row.mode),
        None if row.value is None else _value(row.value),
        row.start,
        row.until,
        "" if public else row.author,
        "" if public else row.reason,
    )


def _suspensions(
    connection: Connection, customer: str, ids: Sequence[str], *, public: bool
) -> dict[tuple[str, str], tuple[Suspension, ...]]:
    columns = _SUSPENSIONS.c
    query = (
        select(_SUSPENSIONS)
        .where(_of_holders(_SUSPENSIONS, customer, ids))  # type: ignore[arg-type]
        .order_by(columns.holder_type, columns.holder, columns.place)
    )
    found: dict[tuple[str, str], tuple[Suspension, ...]] = {}
    for row in connection.execute(query):
        key = (row.holder_type, row.holder)
        suspension = Suspension(row.feature, row.start, row.until, "" if public else row.reason)
        found[key] = (*found.get(key, ()), suspension)
    return found


def write_customer_parts(session: Session, customer: Customer) -> None:
    """Make the rows below a customer what it says: tags, overrides, suspensions. Its own row is the caller's."""
    connection = session.connection()
    connection.execute(delete(_TAGS).where(_TAGS.c.customer == customer.id))
    if customer.tags:
        connection.execute(insert(_TAGS), [{"tag": tag, "customer": customer.id} for tag in customer.tags])
    _write_exceptions(connection, SubjectType.CUSTOMER, customer)


def write_subscription_parts(session: Session, subscription: Subscription) -> None:
    """Make the rows below a subscription what it says: items, overrides, suspensions. Its own row is the caller's."""
    connection = session.connection()
    connection.execute(delete(_HELD).where(_HELD.c.subscription == subscription.id))
    if subscription.items:
        rows = [
            {"subscription": subscription.id, "place": place, **msgspec.structs.asdict(held)}
            for place, held in enumerate(subscription.items)
        ]
        connection.execute(insert(_HELD), rows)
    _write_exceptions(connection, SubjectType.SUBSCRIPTION, subscription)


def _write_exceptions(connection: Connection, kind: SubjectType, holder: Customer | Subscription) -> None:
    key = {"holder_type": kind.value, "holder": holder.id}
    for table in (_OVERRIDES, _SUSPENSIONS):
        connection.execute(delete(table).where(table.c.holder_type == kind.value, table.c.holder == holder.id))
    if holder.overrides:
        connection.execute(
            insert(_OVERRIDES),
            [
                {
                    **key,
                    **msgspec.structs.asdict(override),
                    "place": place,
                    "mode": override.mode.value,
                    "value": None if override.value is None else _encode(override.value).decode(),
                }
                for place, override in enumerate(holder.overrides)
            ],
        )
    if holder.suspensions:
        connection.execute(
            insert(_SUSPENSIONS),
            [
                {**key, **msgspec.structs.asdict(suspension), "place": place}
                for place, suspension in enumerate(holder.suspensions)
            ],
        )
