"""The states of subscriptions in SQL, held to what the model says of each of them."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

from sqlalchemy import insert, select

from tiergate.model import Subscription, SubscriptionStatus
from tiergate.model.subscription_state import SubscriptionState, apply_due_resume, derive_state
from tiergate.store.database import Database
from tiergate.store.state_conditions import has_status, is_in_state
from tiergate.store.subject_writer import subscription_columns
from tiergate.store.tables import SUBSCRIPTIONS

if TYPE_CHECKING:
    from collections.abc import Iterator

TABLE = SUBSCRIPTIONS
S = SubscriptionStatus


def every_subscription() -> Iterator[Subscription]:
    """One of every kind, by dates before, at and after 0 and 10."""
    number = 0
    for status, start, end in product(S, (None, 0, 10), (None, 0, 10, 20)):
        inners = (None, S.TRIALING, S.PAST_DUE, S.CANCELED) if status is S.PAUSED else (None,)
        for inner, resume_at in product(inners, (None, 0, 10) if status is S.PAUSED else (None,)):
            read = inner if status is S.PAUSED else status
            dates = (None, 0, 10, 20) if read in {S.TRIALING, S.PAST_DUE} else (None,)
            for date in dates:
                trial_end, grace = (date, 5) if read is S.TRIALING else (5, date)
                number += 1
                yield Subscription(
                    f"s{number:05}", "c", status, (), start, end, trial_end, grace, resume_at, resumes_as=inner
                )


def test_the_database_says_of_all_what_the_model_says_of_each(store_url: str) -> None:
    """Before, at and after every date; on both databases."""
    every = list(every_subscription())
    database = Database(store_url)
    stamp = {"customer": "c", "etag": 1, "created_at": 0, "updated_at": 0}
    with database.writing() as session:
        rows = [{"id": one.id, **stamp, **subscription_columns(one)} for one in every]
        session.connection().execute(insert(TABLE), rows)
        session.commit()
    with database.reading() as session:
        for now in (-1, 0, 5, 9, 10, 15, 20):
            for state in SubscriptionState:
                query = select(TABLE.c.id).where(is_in_state(TABLE, [state], now)).order_by(TABLE.c.id)
                found = list(session.connection().execute(query).scalars())
                assert found == [one.id for one in every if derive_state(one, now) is state], (now, state)
            for status, even_ended in product(S, (True, False)):
                query = select(TABLE.c.id).where(has_status(TABLE, [status], now, even_ended=even_ended))
                found = list(session.connection().execute(query.order_by(TABLE.c.id)).scalars())
                counted = even_ended or status in {S.CANCELED, S.EXPIRED}
                wanted = [
                    one.id
                    for one in every
                    if apply_due_resume(one, now).status is status
                    and (counted or derive_state(one, now) is not SubscriptionState.ENDED)
                ]
                assert found == wanted, (now, status, even_ended)
    database.dispose()


def test_nothing_is_in_none_of_the_states(sqlite_url: str) -> None:
    """No states, no subscriptions."""
    database = Database(sqlite_url)
    with database.reading() as session:
        assert not session.connection().execute(select(TABLE.c.id).where(is_in_state(TABLE, [], 0))).all()
    database.dispose()
