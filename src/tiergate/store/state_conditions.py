"""The states of subscriptions at an instant, as conditions of SQL: what `model.life` says of one, of all at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import and_, case, false, func, literal, not_, or_

from tiergate.model import SubscriptionStatus
from tiergate.model.subscription_state import SubscriptionState

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy import ColumnElement, Table

    from tiergate.model import Instant

_STANDS_UNTIL_CHANGED = frozenset({SubscriptionStatus.CANCELED, SubscriptionStatus.EXPIRED})


class _Row:
    """What of a row of the table of subscriptions is so at `now`."""

    def __init__(self, table: Table, now: Instant) -> None:
        columns, at = table.c, literal(now)
        said_paused = columns.status == SubscriptionStatus.PAUSED.value
        self.is_paused = and_(said_paused, or_(columns.resume_at.is_(None), columns.resume_at > at))
        self.status = case(
            (said_paused, func.coalesce(columns.resumes_as, SubscriptionStatus.ACTIVE.value)), else_=columns.status
        )
        started = or_(columns.start.is_(None), columns.start <= at)

        def comes_by(date: ColumnElement[int | None]) -> ColumnElement[bool]:
            """Say that a date is not there, or comes no later than now and the start, whichever is later."""
            return or_(date.is_(None), date <= at, and_(columns.start.is_not(None), date <= columns.start))

        trialing = self.status == SubscriptionStatus.TRIALING.value
        dead = or_(
            columns.end <= at,
            self.status == SubscriptionStatus.EXPIRED.value,
            and_(self.status == SubscriptionStatus.CANCELED.value, columns.end.is_(None)),
            and_(trialing, or_(columns.trial_end.is_(None), columns.trial_end <= at)),
        )
        unborn = or_(columns.end <= columns.start, and_(trialing, columns.trial_end <= columns.start))
        never = and_(not_(self.is_paused), func.coalesce(unborn, false()))
        self.is_ended = or_(func.coalesce(dead, false()), never)
        self.is_overdue = and_(
            self.status == SubscriptionStatus.PAST_DUE.value, comes_by(columns.grace_until), not_(self.is_paused)
        )
        goes = and_(not_(self.is_ended), not_(self.is_paused), not_(self.is_overdue))
        self.states: dict[SubscriptionState, ColumnElement[bool]] = {
            SubscriptionState.ENDED: self.is_ended,
            SubscriptionState.PAUSED: and_(not_(self.is_ended), self.is_paused),
            SubscriptionState.OVERDUE: and_(not_(self.is_ended), self.is_overdue),
            SubscriptionState.LIVE: and_(goes, started),
            SubscriptionState.SCHEDULED: and_(goes, not_(started)),
        }


def is_in_state(table: Table, states: Collection[SubscriptionState], now: Instant) -> ColumnElement[bool]:
    """Say that a subscription is in one of these states at `now`."""
    row = _Row(table, now)
    return or_(false(), *(row.states[state] for state in states))


def has_status(
    table: Table, statuses: Collection[SubscriptionStatus], now: Instant, *, even_ended: bool
) -> ColumnElement[bool]:
    """Say that a subscription has one of these statuses at `now`: a paused one that has resumed has what it resumed as.

    What has ended by its dates is none of those that are active, trialing, past due or paused, unless `even_ended`.
    """
    row = _Row(table, now)
    found: list[ColumnElement[bool]] = [false()]
    for status in statuses:
        is_it = (
            row.is_paused
            if status is SubscriptionStatus.PAUSED
            else and_(not_(row.is_paused), row.status == status.value)
        )
        found.append(is_it if even_ended or status in _STANDS_UNTIL_CHANGED else and_(is_it, not_(row.is_ended)))
    return or_(*found)
