"""Subscriptions: whose they are, and how they are searched. They are changed through their customer's `Account`."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import bindparam, exists, select

from tiergate.errors import NotFoundError
from tiergate.model import SubjectType
from tiergate.store.customers import contains
from tiergate.store.external_ids import has_external_id
from tiergate.store.state_conditions import has_status, is_in_state
from tiergate.store.subjects import StoredSubscription, read_subscriptions
from tiergate.store.tables import CUSTOMER_TAGS, CUSTOMERS, OVERRIDES, SUBSCRIPTION_ITEMS, SUBSCRIPTIONS

if TYPE_CHECKING:
    from sqlmodel import Session

    from tiergate.model import Instant, SubscriptionStatus
    from tiergate.model.subscription_state import SubscriptionState


_CUSTOMER_OF = select(SUBSCRIPTIONS.c.customer).where(SUBSCRIPTIONS.c.id == bindparam("its"))


def customer_of(session: Session, subscription: str) -> str | None:
    """The customer who has a subscription, which never changes; none where there is no such subscription."""
    found: str | None = session.connection().execute(_CUSTOMER_OF, {"its": subscription}).scalar_one_or_none()
    return found


def get_subscription(session: Session, id_: str) -> StoredSubscription:
    """Read one subscription.

    Raises:
        NotFoundError: there is no such subscription.
    """
    found = read_subscriptions(session, [id_])
    if id_ not in found:
        raise NotFoundError("subscription", id_)
    return found[id_]


class SubscriptionFilter(NamedTuple):
    """Which subscriptions are wanted; what is empty or none is not asked for.

    `tags`: all of them, on the customer. `text` stands in the id or an external id, or where its customer is found by
    it, in whatever case. `item`, and `version` as its pin: in one entry. `feature`: an override of it stands on the
    subscription. `external_id`: the system, and the id there, or '' for any. `statuses`, `states`: one of these, at
    `now`; what has ended by its dates has no status but `canceled` and `expired`, unless `states` are asked for.
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
    """Find subscriptions in the order of their ids, from the one after `after` on."""
    columns = SUBSCRIPTIONS.c
    conditions = [columns.id > after] if after else []
    if wanted.customer is not None:
        conditions.append(columns.customer == wanted.customer)
    conditions += [
        exists().where(CUSTOMER_TAGS.c.tag == tag, CUSTOMER_TAGS.c.customer == columns.customer) for tag in wanted.tags
    ]
    if wanted.text:
        its = CUSTOMERS.c.id == columns.customer
        of_customer = exists().where(its, contains(CUSTOMERS.c.search, wanted.text))
        conditions.append(contains(columns.search, wanted.text) | of_customer)
    if wanted.external_id is not None:
        conditions.append(has_external_id(SubjectType.SUBSCRIPTION, columns.id, *wanted.external_id))
    if wanted.statuses:
        asked = bool(wanted.states)
        conditions.append(has_status(SUBSCRIPTIONS, wanted.statuses, wanted.now, even_ended=asked))
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
    found = read_subscriptions(session, ids)
    return [found[id_] for id_ in ids]
