"""The outbox: events become deliveries in the transaction that makes them true."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, NamedTuple

import msgspec
from sqlalchemy import insert, select

from tiergate.model import format_instant
from tiergate.store.tables import DeliveryRow, WebhookRow

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Table
    from sqlmodel import Session

    from tiergate.model import Instant

__all__ = ["Event", "enqueue"]

_WEBHOOKS: Table = WebhookRow.__table__  # type: ignore[attr-defined]


class Event(NamedTuple):
    """Something that others may want to hear of: a type such as `publication.created`, and what there is to say."""

    type: str
    data: Mapping[str, object]


def enqueue(session: Session, events: Sequence[Event], now: Instant) -> None:
    """Write one delivery for each event and each webhook that wants it."""
    connection = session.connection()
    query = select(_WEBHOOKS.c.id, _WEBHOOKS.c.events).where(_WEBHOOKS.c.enabled)
    wanted = [(id_, set(msgspec.json.decode(types))) for id_, types in connection.execute(query)]
    if not wanted:
        return
    rows = []
    for event in events:
        body = {"type": event.type, "timestamp": format_instant(now), "data": event.data}
        payload = msgspec.json.encode(body)
        rows += [
            {
                "id": f"msg_{secrets.token_hex(12)}",
                "webhook": id_,
                "type": event.type,
                "payload": payload,
                "status": "waiting",
                "attempts": 0,
                "due_at": now,
                "created_at": now,
                "finished_at": None,
                "answer": "",
            }
            for id_, types in wanted
            if not types or event.type in types
        ]
    if rows:
        connection.execute(insert(DeliveryRow), rows)
