"""The states of subscriptions at an instant as SQL conditions, equal to the rules of `model.subscription_state`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import and_, case, false, func, literal, not_, or_

from tiergate.model import SubscriptionStatus
from tiergate.model.subscription_state import SubscriptionState

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy import ColumnElement, Table

    from tiergate.model import Instant

_INDEPENDENT_OF_DATES = frozenset({SubscriptionStatus.CANCELED, SubscriptionStatus.EXPIRED})


class _Row:
    """The conditions on a row of subscriptions at `now`."""

    def __init__(self, table: Table, now: Instant) -> None:
        columns, at = table.c, literal(now)
        is_marked_paused = columns.status == SubscriptionStatus.PAUSED.value
        self.is_paused = and_(is_marked_paused, or_(columns.resume_at.is_(None), columns.resume_at > at))
        self.status = case(
            (is_marked_paused, func.coalesce(columns.resumes_as, SubscriptionStatus.ACTIVE.value)), else_=columns.status
        )
        started = or_(columns.start.is_(None), columns.start <= at)

        def is_reached(date: ColumnElement[int | None]) -> ColumnElement[bool]:
            """Return the condition that a date is missing, or not after the later one of now and the start."""
            return or_(date.is_(None), date <= at, and_(columns.start.is_not(None), date <= columns.start))

        trialing = self.status == SubscriptionStatus.TRIALING.value
        is_dead = or_(
            columns.end <= at,
            self.status == SubscriptionStatus.EXPIRED.value,
            and_(self.status == SubscriptionStatus.CANCELED.value, columns.end.is_(None)),
            and_(trialing, or_(columns.trial_end.is_(None), columns.trial_end <= at)),
        )
        is_unborn = or_(columns.end <= columns.start, and_(trialing, columns.trial_end <= columns.start))
        never_starts = and_(not_(self.is_paused), func.coalesce(is_unborn, false()))
        self.is_ended = or_(func.coalesce(is_dead, false()), never_starts)
        self.is_overdue = and_(
            self.status == SubscriptionStatus.PAST_DUE.value, is_reached(columns.grace_until), not_(self.is_paused)
        )
        is_going = and_(not_(self.is_ended), not_(self.is_paused), not_(self.is_overdue))
        self.states: dict[SubscriptionState, ColumnElement[bool]] = {
            SubscriptionState.ENDED: self.is_ended,
            SubscriptionState.PAUSED: and_(not_(self.is_ended), self.is_paused),
            SubscriptionState.OVERDUE: and_(not_(self.is_ended), self.is_overdue),
            SubscriptionState.LIVE: and_(is_going, started),
            SubscriptionState.SCHEDULED: and_(is_going, not_(started)),
        }


def is_in_state(table: Table, states: Collection[SubscriptionState], now: Instant) -> ColumnElement[bool]:
    """Return the condition that a subscription is in one of these states at `now`."""
    row = _Row(table, now)
    return or_(false(), *(row.states[state] for state in states))


def has_status(
    table: Table, statuses: Collection[SubscriptionStatus], now: Instant, *, even_ended: bool
) -> ColumnElement[bool]:
    """Return the condition that a subscription has one of these statuses at `now`; a resumed one has `resumes_as`.

    One that has ended by its dates is not active, trialing, past due or paused, unless `even_ended`.
    """
    row = _Row(table, now)
    conditions: list[ColumnElement[bool]] = [false()]
    for status in statuses:
        has_it = (
            row.is_paused
            if status is SubscriptionStatus.PAUSED
            else and_(not_(row.is_paused), row.status == status.value)
        )
        conditions.append(has_it if even_ended or status in _INDEPENDENT_OF_DATES else and_(has_it, not_(row.is_ended)))
    return or_(*conditions)
