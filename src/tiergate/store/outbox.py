"""The outbox: events, written in the transaction that makes them true, with a delivery to each webhook that wants them.

INVARIANT (event order): positions are assigned under a lock on the one row of `event_head`, which the transaction holds
until its commit. So they become visible in order, and a reader that has seen position n never finds a smaller new one.
It is the last lock that a transaction takes.
"""

from __future__ import annotations

import secrets
from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec
from sqlalchemy import bindparam, select, update

from tiergate.model import format_instant
from tiergate.store.prepared_queries import PreparedStatement, Query, execute_prepared, fetch_together
from tiergate.store.row_inserts import insert_rows
from tiergate.store.tables import DELIVERIES, EVENT_HEAD, EVENTS, ONLY_ROW, WEBHOOKS
from tiergate.wire.json import encode

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sqlalchemy import Connection

    from tiergate.model import Instant
    from tiergate.store.units import WriteUnit

SUBSCRIBED: Final = Query(select(WEBHOOKS.c.id, WEBHOOKS.c.events).where(WEBHOOKS.c.enabled))
"""The enabled webhooks; `write_events` takes its rows."""

_ADVANCE: Final = PreparedStatement(
    update(EVENT_HEAD)
    .where(EVENT_HEAD.c.key == ONLY_ROW)
    .values(position=EVENT_HEAD.c.position + bindparam("more"))
    .returning(EVENT_HEAD.c.position)
)

NO_CUSTOMER: Final = "*"
"""The line of deliveries of events that are about no customer."""

TEST_EVENT: Final = "webhook.test"
"""The type of the event that is sent only on request."""


class EventType(StrEnum):
    """The types of events that a webhook can subscribe to. Documented in docs/reference/events.md."""

    PUBLICATION_CREATED = "publication.created"
    FEATURE_SUSPENDED = "feature.suspended"
    FEATURE_RESUMED = "feature.resumed"
    ENTITLEMENTS_CHANGED = "customer.entitlements_changed"
    CUSTOMER_ERASED = "customer.erased"
    SUBSCRIPTION_STARTED = "subscription.started"
    SUBSCRIPTION_RESUMED = "subscription.resumed"
    SUBSCRIPTION_ENDED = "subscription.ended"
    TRIAL_STARTED = "trial.started"
    TRIAL_ENDED = "trial.ended"
    GRACE_ENDED = "grace.ended"
    ITEM_STARTED = "item.started"
    ITEM_ENDED = "item.ended"
    OVERRIDE_STARTED = "override.started"
    OVERRIDE_ENDED = "override.ended"
    ROLLOUT_STARTED = "rollout.started"
    GRANT_STARTED = "grant.started"
    GRANT_ENDED = "grant.ended"
    THRESHOLD_REACHED = "usage.threshold_reached"
    WINDOW_STARTED = "usage.window_started"
    WINDOW_ENDED = "usage.window_ended"
    STATUS_CHANGED = "status.changed"
    BUDGET_SPENT = "service_level.budget_spent"
    MONITOR_SILENT = "monitor.silent"
    MONITOR_HEARD = "monitor.heard"


class Event(NamedTuple):
    """An event: a type such as `publication.created`, and its data.

    Of its data, `customer` names the customer that it is about; `feature`, `features` or `entitlements` the features.
    INVARIANT (nothing personal): ids, values, amounts and dates, which an erasure leaves; no names, attributes,
    reasons, notes or authors.
    """

    type: str
    data: Mapping[str, object]
    at: Instant | None = None
    """Its own instant, if it is not that of the change."""

    @property
    def customer(self) -> str | None:
        """The customer that it is about, if any."""
        found = self.data.get("customer")
        return found if isinstance(found, str) else None

    def features(self) -> list[str]:
        """Return the features that it is about, sorted."""
        found = {self.data["feature"]} if "feature" in self.data else set()
        named = self.data.get("features", ())
        if isinstance(named, (list, tuple)):
            found |= set(named)
        entitlements = self.data.get("entitlements", ())
        if isinstance(entitlements, (list, tuple)):
            found |= {entry["feature"] for entry in entitlements}
        return sorted(map(str, found))


def write_events(
    connection: Connection,
    events: Sequence[tuple[Instant, Event]],
    recorded_at: Instant,
    subscribed: Iterable[tuple[str, str]] | None = None,
) -> bool:
    """Write events, with their own instants, and a delivery of each to every enabled webhook that wants its type.

    `subscribed`: the rows of `SUBSCRIBED`, if they were read. Return whether there is any delivery.
    """
    if not events:
        return False
    if subscribed is None:
        (subscribed,) = fetch_together(connection, [(SUBSCRIBED, {})])
    webhooks = [(id_, frozenset(msgspec.json.decode(types))) for id_, types in subscribed]
    ((last,),) = execute_prepared(connection, _ADVANCE, {"more": len(events)}).fetchall()
    position = int(last) - len(events)
    rows: list[dict[str, object]] = []
    deliveries: list[dict[str, object]] = []
    for at, event in events:
        position += 1
        id_, payload = _payload(event, at)
        customer = event.customer
        rows.append(
            {
                "position": position,
                "id": id_,
                "type": str(event.type),
                "customer": customer,
                "features": msgspec.json.encode(event.features()).decode(),
                "at": at,
                "recorded_at": recorded_at,
                "payload": payload,
            }
        )
        wanted = [webhook for webhook, types in webhooks if not types or event.type in types]
        deliveries += [delivery_columns(webhook, rows[-1], recorded_at) for webhook in wanted]
    insert_rows(connection, EVENTS, rows)
    insert_rows(connection, DELIVERIES, deliveries)
    return bool(deliveries)


def delivery_columns(webhook: str, event: Mapping[str, object], now: Instant) -> dict[str, object]:
    """Return a new delivery of an event, given its columns, which is due now."""
    customer = event["customer"]
    return {
        "id": f"msg_{secrets.token_hex(12)}",
        "webhook": webhook,
        "type": event["type"],
        "payload": event["payload"],
        "status": "waiting",
        "attempts": 0,
        "due_at": now,
        "created_at": now,
        "finished_at": None,
        "answer": "",
        "event": event["id"],
        "line": NO_CUSTOMER if customer is None else f"customer:{customer}",
        "position": event["position"],
    }


def write_delivery(unit: WriteUnit, webhook: str, event: Event) -> str:
    """Write a delivery to one webhook, in no order and not in the list of events, and return its id."""
    id_, payload = _payload(event, unit.now)
    columns = {"id": id_, "type": str(event.type), "customer": None, "payload": payload, "position": 0}
    delivery = delivery_columns(webhook, columns, unit.now) | {"line": ""}
    insert_rows(unit.session.connection(), DELIVERIES, [delivery])
    return str(delivery["id"])


def _payload(event: Event, at: Instant) -> tuple[str, bytes]:
    id_ = f"evt_{secrets.token_hex(12)}"
    body = {"id": id_, "type": event.type, "timestamp": format_instant(at), "data": event.data}
    return id_, encode(body)
