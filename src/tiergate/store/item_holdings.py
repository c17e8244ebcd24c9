"""What customers hold, counted: how many hold the same items in the same quantities, without reading each of them.

Some customers are apart, because what they hold does not say what they have: those with an override or a suspension of
the feature, and those with an item whose rollouts have an audience. Of these there are records.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec
from sqlalchemy import Text, and_, case, cast, exists, func, literal, select, union

from tiergate.model import FOREVER, SubjectRecord, SubjectType, Subscription, SubscriptionItem, SubscriptionStatus
from tiergate.model.subscription_state import SubscriptionState
from tiergate.store.state_conditions import is_in_state
from tiergate.store.tables import (
    CUSTOMER_TAGS,
    OVERRIDES,
    RECORDS,
    SUBSCRIPTION_ITEMS,
    SUBSCRIPTIONS,
    SUSPENSIONS,
    USAGE_ACCOUNTS,
    USAGE_GRANTS,
)
from tiergate.usage.accounts import Scope

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from sqlalchemy import ColumnElement, CompoundSelect, FromClause, Select, Subquery, Table

    from tiergate.model import Instant
    from tiergate.store.units import ReadUnit

_ITEM_END: Final = ","
_SUBSCRIPTION_END: Final = ";"
_BATCH: Final = 2_000

_decode: Final = msgspec.json.Decoder(SubjectRecord | None).decode


class Narrowing(NamedTuple):
    """Whose: of customers with all of the `tags`, who hold the `item` now."""

    tags: tuple[str, ...] = ()
    item: str | None = None


class Relevant(NamedTuple):
    """What decides about some features: `items`, and some of these in particular.

    `multiplied`: those whose quantity matters. `gradual`: those with a rollout that is not to everybody.
    """

    features: tuple[str, ...]
    items: frozenset[str]
    multiplied: frozenset[str]
    gradual: frozenset[str]


class Holding(NamedTuple):
    """A number of customers who hold the same: the relevant items of their live subscriptions."""

    subscriptions: tuple[Subscription, ...]
    customers: int


class UnusedGrants(NamedTuple):
    """Units left of grants for a feature, of customers without usage in the present window, who hold the same."""

    subscriptions: tuple[Subscription, ...]
    feature: str
    customers: int
    units: int


def narrowed(column: ColumnElement[str], wanted: Narrowing, now: Instant) -> list[ColumnElement[bool]]:
    """Return the conditions that a column names a customer who is meant."""
    tags = CUSTOMER_TAGS.c
    conditions: list[ColumnElement[bool]] = [
        column.in_(select(tags.customer).where(tags.tag == tag)) for tag in wanted.tags
    ]
    if wanted.item is not None:
        held = _held(now).where(SUBSCRIPTION_ITEMS.c.item == wanted.item)
        conditions.append(column.in_(held.with_only_columns(SUBSCRIPTIONS.c.customer)))
    return conditions


def holdings(unit: ReadUnit, relevant: Relevant, wanted: Narrowing) -> list[Holding]:
    """Count the customers by what they hold; without those that are apart, and those that hold nothing relevant."""
    held = _by_customer(relevant, unit.now)
    query = select(held.c.held, func.count()).where(
        held.c.customer.not_in(_apart(relevant, unit.now)), *narrowed(held.c.customer, wanted, unit.now)
    )
    rows = unit.side_session.connection().execute(query.group_by(held.c.held))
    return [Holding(_subscriptions(text), count) for text, count in rows]


def records_apart(unit: ReadUnit, relevant: Relevant, wanted: Narrowing) -> Iterator[SubjectRecord]:
    """Read the records of the customers that are apart."""
    query = select(RECORDS.c.record).where(
        RECORDS.c.customer.in_(_apart(relevant, unit.now)), *narrowed(RECORDS.c.customer, wanted, unit.now)
    )
    for (content,) in unit.side_session.connection().execute(query.execution_options(yield_per=_BATCH)):
        record = _decode(content)
        if record is not None:
            yield record


def unused_grants(unit: ReadUnit, relevant: Relevant, wanted: Narrowing) -> list[UnusedGrants]:
    """Add up what is left of grants of customers without usage in the present window; without those that are apart."""
    left, now = _left_of_grants(relevant.features, unit.now), unit.now
    connection = unit.side_session.connection()
    if connection.execute(select(left.c.customer).limit(1)).first() is None:
        return []
    held = _by_customer(relevant, now)
    query = (
        select(held.c.held, left.c.feature, func.count(), func.sum(left.c.units))
        .select_from(left.outerjoin(held, held.c.customer == left.c.customer))
        .where(left.c.customer.not_in(_apart(relevant, now)), *narrowed(left.c.customer, wanted, now))
        .group_by(held.c.held, left.c.feature)
    )
    rows = connection.execute(query)
    return [
        UnusedGrants(_subscriptions(text or ""), feature, count, int(units)) for text, feature, count, units in rows
    ]


def unused_grants_apart(unit: ReadUnit, relevant: Relevant, wanted: Narrowing) -> dict[tuple[str, str], int]:
    """Return the same of each customer that is apart, by customer and feature."""
    left, now = _left_of_grants(relevant.features, unit.now), unit.now
    query = select(left).where(left.c.customer.in_(_apart(relevant, now)), *narrowed(left.c.customer, wanted, now))
    rows = unit.side_session.connection().execute(query)
    return {(row.customer, row.feature): int(row.units) for row in rows}


def _left_of_grants(features: Collection[str], now: Instant) -> Subquery:
    grants, accounts = USAGE_GRANTS.c, USAGE_ACCOUNTS.c
    used = exists().where(
        accounts.customer == grants.customer,
        accounts.feature == grants.feature,
        accounts.scope == Scope.CUSTOMER.value,
        accounts.start <= now,
        accounts.until > now,
    )
    query = select(grants.customer, grants.feature, func.sum(grants.amount - grants.spent).label("units")).where(
        grants.feature.in_(features), grants.start <= now, grants.until > now, grants.amount > grants.spent, ~used
    )
    return query.group_by(grants.customer, grants.feature).subquery()


def _held(now: Instant) -> Select[Any]:
    """Return the query of the items that customers hold at an instant."""
    items = SUBSCRIPTION_ITEMS.c
    live = is_in_state(SUBSCRIPTIONS, [SubscriptionState.LIVE], now)
    return (
        select(SUBSCRIPTIONS.c.customer)
        .join_from(SUBSCRIPTIONS, SUBSCRIPTION_ITEMS, items.subscription == SUBSCRIPTIONS.c.id)
        .where(live, items.start <= now, items.until > now)
    )


def _by_customer(relevant: Relevant, now: Instant) -> FromClause:
    """Return the query of what each customer holds, as a text; in an order that means nothing."""
    items = SUBSCRIPTION_ITEMS.c
    quantity = case((items.item.in_(sorted(relevant.multiplied)), items.quantity), else_=1)
    version = func.coalesce(cast(items.version, Text), "")
    text = items.item + literal(" ") + cast(quantity, Text) + literal(" ") + version
    by_subscription = (
        _held(now)
        .where(items.item.in_(sorted(relevant.items)))
        .with_only_columns(
            SUBSCRIPTIONS.c.customer.label("customer"), func.aggregate_strings(text, _ITEM_END).label("held")
        )
        .group_by(SUBSCRIPTIONS.c.customer, SUBSCRIPTIONS.c.id)
        .subquery()
    )
    columns = by_subscription.c
    together = func.aggregate_strings(columns.held, _SUBSCRIPTION_END).label("held")
    return select(columns.customer, together).group_by(columns.customer).subquery()


def _apart(relevant: Relevant, now: Instant) -> CompoundSelect[Any]:
    parts = [query for table in (OVERRIDES, SUSPENSIONS) for query in _with_exceptions(table, relevant.features)]
    items = SUBSCRIPTION_ITEMS.c
    gradual = and_(items.item.in_(sorted(relevant.gradual)), items.version.is_(None))
    return union(*parts, _held(now).where(gradual).with_only_columns(SUBSCRIPTIONS.c.customer))


def _with_exceptions(table: Table, features: Collection[str]) -> Iterator[Select[Any]]:
    """Return the queries of customers with overrides or suspensions of features, their subscriptions' included."""
    columns = table.c
    concerned = columns.feature.in_(features)
    yield select(columns.holder).where(columns.holder_type == SubjectType.CUSTOMER.value, concerned)
    yield (
        select(SUBSCRIPTIONS.c.customer)
        .join(table, columns.holder == SUBSCRIPTIONS.c.id)
        .where(columns.holder_type == SubjectType.SUBSCRIPTION.value, concerned)
    )


def _subscriptions(text: str) -> tuple[Subscription, ...]:
    """Return subscriptions with the items of a text, which always count."""
    return tuple(
        Subscription(str(place), "", SubscriptionStatus.ACTIVE, tuple(map(_item, part.split(_ITEM_END))))
        for place, part in enumerate(text.split(_SUBSCRIPTION_END) if text else ())
    )


def _item(text: str) -> SubscriptionItem:
    item, quantity, version = text.split(" ")
    return SubscriptionItem(item, int(quantity), int(version) if version else None, until=FOREVER)
