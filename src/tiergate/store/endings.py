"""What ends by the clock, across all customers: trials, grace, subscriptions, pauses, items, exceptions, grants.

Each end is listed as it is stored, also if something else ends before. Ends have one order, so that pages of a list
never repeat or omit one: by instant, kind, holder and part.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sqlalchemy import and_, case, literal, null, or_, select

from tiergate.model import FOREVER, SubjectType, SubscriptionStatus
from tiergate.store.tables import OVERRIDES, SUBSCRIPTION_ITEMS, SUBSCRIPTIONS, SUSPENSIONS, USAGE_GRANTS

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy import ColumnElement, Select

    from tiergate.model import Instant
    from tiergate.store.units import ReadUnit


class EndingKind(StrEnum):
    """What ends."""

    TRIAL = "trial"
    GRACE = "grace"
    PAUSE = "pause"
    SUBSCRIPTION = "subscription"
    ITEM = "item"
    OVERRIDE = "override"
    SUSPENSION = "suspension"
    GRANT = "grant"


class Ending(NamedTuple):
    """The end of one thing, at an instant. `holder` and `part` tell it from others of its kind."""

    at: Instant
    kind: EndingKind
    holder: str
    part: str | int
    customer: str
    subscription: str | None = None
    item: str | None = None
    feature: str | None = None
    id: str | None = None

    @property
    def place(self) -> EndingPlace:
        """Its place in the order."""
        return EndingPlace(self.at, self.kind, self.holder, self.part)


class EndingPlace(NamedTuple):
    """A place in the order of ends."""

    at: Instant
    kind: EndingKind
    holder: str
    part: str | int


class EndingFilter(NamedTuple):
    """Ends from `start` on and before `until`; of one customer, of some kinds, or all."""

    start: Instant
    until: Instant = FOREVER
    customer: str | None = None
    kinds: Collection[EndingKind] = frozenset(EndingKind)


_DATES: Final = {
    EndingKind.TRIAL: ("trial_end", SubscriptionStatus.TRIALING),
    EndingKind.GRACE: ("grace_until", SubscriptionStatus.PAST_DUE),
    EndingKind.PAUSE: ("resume_at", SubscriptionStatus.PAUSED),
    EndingKind.SUBSCRIPTION: ("end", None),
}


class _Source(NamedTuple):
    """Where the ends of a kind are stored: a query of the columns of `Ending` without the kind, and what orders it."""

    query: Select[Any]
    at: ColumnElement[int]
    holder: ColumnElement[str]
    part: ColumnElement[Any]
    customer: ColumnElement[str]


def list_endings(unit: ReadUnit, wanted: EndingFilter, after: EndingPlace | None, limit: int) -> list[Ending]:
    """Read up to `limit` ends in their order, those after a place."""
    found: list[Ending] = []
    for kind in sorted(wanted.kinds):
        source = _source(kind)
        conditions = [source.at >= wanted.start, source.at < wanted.until]
        if wanted.customer is not None:
            conditions.append(source.customer == wanted.customer)
        if after is not None:
            conditions.append(_is_after(source, kind, after))
        query = source.query.where(*conditions).order_by(source.at, source.holder, source.part).limit(limit)
        rows = unit.session.connection().execute(query)
        found += [Ending(row[0], kind, *row[1:]) for row in rows]
    return sorted(found, key=lambda it: (it.at, it.kind.value, it.holder, it.part))[:limit]


def _is_after(source: _Source, kind: EndingKind, place: EndingPlace) -> ColumnElement[bool]:
    if kind.value < place.kind.value:
        return source.at > place.at
    if kind.value > place.kind.value:
        return source.at >= place.at
    later = or_(source.holder > place.holder, and_(source.holder == place.holder, source.part > place.part))
    return or_(source.at > place.at, and_(source.at == place.at, later))


def _source(kind: EndingKind) -> _Source:
    match kind:
        case EndingKind.TRIAL | EndingKind.GRACE | EndingKind.PAUSE | EndingKind.SUBSCRIPTION:
            return _of_subscriptions(kind)
        case EndingKind.ITEM:
            return _of_items()
        case EndingKind.OVERRIDE | EndingKind.SUSPENSION:
            return _of_exceptions(kind)
        case EndingKind.GRANT:
            return _of_grants()


def _of_subscriptions(kind: EndingKind) -> _Source:
    columns = SUBSCRIPTIONS.c
    date, status = _DATES[kind]
    at, part = columns[date], literal(0)
    query = select(at, columns.id, part, columns.customer, columns.id, null(), null(), null())
    if status is None:
        query = query.where(columns.status != SubscriptionStatus.EXPIRED.value)
    else:
        paused = and_(columns.status == SubscriptionStatus.PAUSED.value, columns.resumes_as == status.value)
        query = query.where(or_(columns.status == status.value, paused), or_(columns.end.is_(None), columns.end > at))
    return _Source(query, at, columns.id, part, columns.customer)


def _of_items() -> _Source:
    columns, customer = SUBSCRIPTION_ITEMS.c, SUBSCRIPTIONS.c.customer
    query = (
        select(columns.until, columns.subscription, columns.place, customer, columns.subscription, columns.item)
        .add_columns(null(), null())
        .join_from(SUBSCRIPTION_ITEMS, SUBSCRIPTIONS, SUBSCRIPTIONS.c.id == columns.subscription)
        .where(columns.until < FOREVER)
    )
    return _Source(query, columns.until, columns.subscription, columns.place, customer)


def _of_exceptions(kind: EndingKind) -> _Source:
    table = OVERRIDES if kind is EndingKind.OVERRIDE else SUSPENSIONS
    columns = table.c
    part, id_ = (columns.id, columns.id) if table is OVERRIDES else (columns.place, null())
    of_subscription = and_(columns.holder_type == SubjectType.SUBSCRIPTION.value, SUBSCRIPTIONS.c.id == columns.holder)
    holder = columns.holder_type + literal("/") + columns.holder
    is_customer = columns.holder_type == SubjectType.CUSTOMER.value
    customer = case((is_customer, columns.holder), else_=SUBSCRIPTIONS.c.customer)
    query = (
        select(columns.until, holder, part, customer, SUBSCRIPTIONS.c.id, null(), columns.feature, id_)
        .join_from(table, SUBSCRIPTIONS, of_subscription, isouter=True)
        .where(columns.until < FOREVER)
    )
    return _Source(query, columns.until, holder, part, customer)


def _of_grants() -> _Source:
    columns = USAGE_GRANTS.c
    holder = columns.customer + literal("/") + columns.feature
    query = select(columns.until, holder, columns.id, columns.customer, null(), null(), columns.feature, columns.id)
    query = query.where(columns.until < FOREVER, columns.spent < columns.amount)
    return _Source(query, columns.until, holder, columns.id, columns.customer)
