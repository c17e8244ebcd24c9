"""The outbox: events become deliveries to webhooks in the transaction that makes them true."""

from __future__ import annotations

import secrets
from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec
from sqlalchemy import insert, select

from tiergate.model import format_instant
from tiergate.store.prepared_queries import Query
from tiergate.store.tables import DELIVERIES, WEBHOOKS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sqlmodel import Session

    from tiergate.model import Instant
    from tiergate.store.units import WriteUnit

SUBSCRIBED: Final = Query(select(WEBHOOKS.c.id, WEBHOOKS.c.events).where(WEBHOOKS.c.enabled))
"""The enabled webhooks; `enqueue` takes its rows."""

TEST_EVENT: Final = "webhook.test"
"""The type of the event that is sent only on request."""


class EventType(StrEnum):
    """The types of events that a webhook can subscribe to. Documented in docs/reference/events.md."""

    PUBLICATION_CREATED = "publication.created"
    FEATURE_SUSPENDED = "feature.suspended"
    FEATURE_RESUMED = "feature.resumed"
    ENTITLEMENTS_CHANGED = "customer.entitlements_changed"
    CUSTOMER_ERASED = "customer.erased"


class Event(NamedTuple):
    """An event for webhooks: a type such as `publication.created`, and its data."""

    type: str
    data: Mapping[str, object]


def enqueue(session: Session, subscribed: Iterable[tuple[str, str]], events: Sequence[tuple[Instant, Event]]) -> bool:
    """Write a delivery of each event, with its instant, to each enabled webhook that subscribes to its type.

    `subscribed`: the rows of `SUBSCRIBED`. Return whether there is any delivery.
    """
    webhooks = [(id_, set(msgspec.json.decode(types))) for id_, types in subscribed]
    rows: list[dict[str, object]] = []
    for at, event in events if webhooks else ():
        rows += _rows(event, [id_ for id_, types in webhooks if not types or event.type in types], at)
    _insert(session, rows)
    return bool(rows)


def write_delivery(unit: WriteUnit, webhook: str, event: Event) -> str:
    """Write a delivery to one webhook, which need not subscribe to the type, and return its id."""
    rows = _rows(event, [webhook], unit.now)
    _insert(unit.session, rows)
    return str(rows[0]["id"])


def _insert(session: Session, rows: list[dict[str, object]]) -> None:
    if rows:
        session.connection().execute(insert(DELIVERIES), rows)


def _rows(event: Event, webhooks: Iterable[str], now: Instant) -> list[dict[str, object]]:
    payload = msgspec.json.encode({"type": event.type, "timestamp": format_instant(now), "data": event.data})
    shared = {"type": event.type, "payload": payload, "status": "waiting", "attempts": 0, "due_at": now}
    shared |= {"created_at": now, "finished_at": None, "answer": ""}
    return [{"id": f"msg_{secrets.token_hex(12)}", "webhook": webhook, **shared} for webhook in webhooks]
