"""Subscriptions: their customers, and their search. They are changed through their customer's `Account`."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import exists, select

from tiergate.errors import NotFoundError
from tiergate.model import SubjectType
from tiergate.store.customers import matches_search
from tiergate.store.external_ids import has_external_id
from tiergate.store.state_conditions import has_status, is_in_state
from tiergate.store.subjects import StoredSubscription, read_subscriptions
from tiergate.store.tables import CUSTOMER_TAGS, CUSTOMERS, OVERRIDES, SUBSCRIPTION_ITEMS, SUBSCRIPTIONS

if TYPE_CHECKING:
    from sqlmodel import Session

    from tiergate.model import Instant, SubscriptionStatus
    from tiergate.model.subscription_state import SubscriptionState


def get_subscription(session: Session, id_: str) -> StoredSubscription:
    """Read one subscription.

    Raises:
        NotFoundError: if there is no such subscription.
    """
    stored = read_subscriptions(session, [id_]).get(id_)
    if stored is None:
        raise NotFoundError("subscription", id_)
    return stored


class SubscriptionFilter(NamedTuple):
    """Conditions on subscriptions, all of which must hold; empty and none are no conditions.

    `tags`: all of them, on the customer. `text` is in the id, an external id, metadata or the search texts of the
    customer. `item`, and `version` as its pin: of one entry. `feature`: the subscription has an override
    of it. `external_id`: the system, and the id there, or '' for any. `statuses`, `states`: one of these, at `now`; a
    subscription that has ended by its dates matches only `canceled` and `expired`, unless `states` are given.
    """

    customer: str | None = None
    tags: tuple[str, ...] = ()
    text: str = ""
    statuses: tuple[SubscriptionStatus, ...] = ()
    item: str | None = None
    version: int | None = None
    feature: str | None = None
    external_id: tuple[str, str] | None = None
    states: tuple[SubscriptionState, ...] = ()
    now: Instant = 0


def search_subscriptions(
    session: Session, wanted: SubscriptionFilter, after: str, limit: int
) -> list[StoredSubscription]:
    """Find up to `limit` subscriptions by id, those after an id."""
    columns = SUBSCRIPTIONS.c
    conditions = [columns.id > after] if after else []
    if wanted.customer is not None:
        conditions.append(columns.customer == wanted.customer)
    conditions += [
        exists().where(CUSTOMER_TAGS.c.tag == tag, CUSTOMER_TAGS.c.customer == columns.customer) for tag in wanted.tags
    ]
    if wanted.text:
        of_customer = exists().where(
            CUSTOMERS.c.id == columns.customer, matches_search(CUSTOMERS.c.search, wanted.text)
        )
        conditions.append(matches_search(columns.search, wanted.text) | of_customer)
    if wanted.external_id is not None:
        conditions.append(has_external_id(SubjectType.SUBSCRIPTION, columns.id, *wanted.external_id))
    if wanted.statuses:
        even_ended = bool(wanted.states)
        conditions.append(has_status(SUBSCRIPTIONS, wanted.statuses, wanted.now, even_ended=even_ended))
    if wanted.states:
        conditions.append(is_in_state(SUBSCRIPTIONS, wanted.states, wanted.now))
    if wanted.item is not None or wanted.version is not None:
        entry = [SUBSCRIPTION_ITEMS.c.subscription == columns.id]
        entry += [SUBSCRIPTION_ITEMS.c.item == wanted.item] if wanted.item is not None else []
        entry += [SUBSCRIPTION_ITEMS.c.version == wanted.version] if wanted.version is not None else []
        conditions.append(exists().where(*entry))
    if wanted.feature is not None:
        conditions.append(
            exists().where(
                OVERRIDES.c.holder_type == SubjectType.SUBSCRIPTION.value,
                OVERRIDES.c.holder == columns.id,
                OVERRIDES.c.feature == wanted.feature,
            )
        )
    query = select(columns.id).where(*conditions).order_by(columns.id).limit(limit)
    ids = session.connection().execute(query).scalars().all()
    subscriptions = read_subscriptions(session, ids)
    return [subscriptions[id_] for id_ in ids]
