"""Webhooks, where events go, and the outbox: events become deliveries in the transaction that makes them true.

Secrets stand here as they are, since whoever signs needs them: the database is to be kept accordingly. What becomes of
a delivery is in `deliveries`.
"""

from __future__ import annotations

import base64
import secrets
from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec
from sqlalchemy import delete, insert, select, update

from tiergate.errors import NotFoundError
from tiergate.model import format_instant
from tiergate.store.tables import DELIVERIES, WEBHOOKS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Row
    from sqlmodel import Session

    from tiergate.model import Instant
    from tiergate.store.transactions import ReadUnit, WriteUnit


_WANTING = select(WEBHOOKS.c.id, WEBHOOKS.c.events).where(WEBHOOKS.c.enabled)  # made once: every change asks

_SECRET_BYTES: Final = 32  # Standard Webhooks asks for 24 to 64

TEST_EVENT: Final = "webhook.test"
"""The type of the event that is only ever sent on request."""


class EventType(StrEnum):
    """What can be listened for. Documented in docs/reference/events.md."""

    PUBLICATION_CREATED = "publication.created"
    FEATURE_SUSPENDED = "feature.suspended"
    FEATURE_RESUMED = "feature.resumed"
    ENTITLEMENTS_CHANGED = "customer.entitlements_changed"
    CUSTOMER_ERASED = "customer.erased"


class Event(NamedTuple):
    """Something that others may want to hear of: a type such as `publication.created`, and what there is to say."""

    type: str
    data: Mapping[str, object]


class Secret(msgspec.Struct, frozen=True):
    """A secret that signs, `whsec_` and base64; until an instant, where another one has taken its place."""

    text: str
    until: int | None = None


class WebhookSettings(msgspec.Struct, frozen=True):
    """What one says of a webhook. No events: all of them."""

    url: str
    events: tuple[str, ...] = ()
    description: str = ""
    enabled: bool = True


class Webhook(NamedTuple):
    """A webhook as it stands, without its secrets. `failing_since`: nothing has arrived since."""

    id: str
    etag: int
    settings: WebhookSettings
    failing_since: Instant | None
    created_at: Instant
    updated_at: Instant


def read_webhooks(unit: ReadUnit, id_: str | None, limit: int) -> list[Webhook]:
    """Up to `limit` webhooks by their ids, after one of them."""
    query = select(WEBHOOKS).where(WEBHOOKS.c.id > (id_ or "")).order_by(WEBHOOKS.c.id).limit(limit)
    return [_webhook(row) for row in unit.session.connection().execute(query)]


def read_webhook(unit: ReadUnit, id_: str, *, lock: bool = False) -> Webhook:
    """Read a webhook; with `lock`, keep others from changing it until the transaction ends.

    Raises:
        NotFoundError: there is none of this id.
    """
    return _webhook(_row(unit, id_, lock=lock))


def add_webhook(unit: WriteUnit, settings: WebhookSettings) -> tuple[Webhook, str]:
    """Add a webhook, and return it with its secret, which is told this once."""
    secret = _new_secret()
    id_ = f"wh_{secrets.token_hex(12)}"
    row = {
        "id": id_,
        "etag": 1,
        **_columns(settings),
        "secrets": _encoded([Secret(secret)]),
        "failing_since": None,
        "created_at": unit.now,
        "updated_at": unit.now,
    }
    unit.session.connection().execute(insert(WEBHOOKS), [row])
    return Webhook(id_, 1, settings, None, unit.now, unit.now), secret


def edit_webhook(unit: WriteUnit, webhook: Webhook, settings: WebhookSettings) -> Webhook:
    """Change a webhook that was read with its lock. One that is enabled again starts without a failure."""
    again = settings.enabled and not webhook.settings.enabled
    failing = None if again else webhook.failing_since
    edited = webhook._replace(etag=webhook.etag + 1, settings=settings, failing_since=failing, updated_at=unit.now)
    values = _columns(settings) | {"etag": edited.etag, "failing_since": failing, "updated_at": unit.now}
    unit.session.connection().execute(update(WEBHOOKS).where(WEBHOOKS.c.id == webhook.id).values(values))
    return edited


def remove_webhook(unit: WriteUnit, id_: str) -> None:
    """Remove a webhook with all that was to be delivered to it."""
    connection = unit.session.connection()
    connection.execute(delete(DELIVERIES).where(DELIVERIES.c.webhook == id_))
    connection.execute(delete(WEBHOOKS).where(WEBHOOKS.c.id == id_))


def rotate_secret(unit: WriteUnit, id_: str, overlap: int) -> tuple[Webhook, str]:
    """Give a webhook a new secret, which is told this once; the one before signs too, for `overlap` milliseconds.

    Two sign at most: one that was already on its way out goes at once.

    Raises:
        NotFoundError: there is no such webhook.
    """
    row = _row(unit, id_, lock=True)
    newest = next(secret for secret in _secrets(row.secrets) if secret.until is None)
    secret = _new_secret()
    kept = [Secret(secret)]
    if overlap:
        kept.append(Secret(newest.text, unit.now + overlap))
    rotated = _webhook(row)._replace(etag=row.etag + 1, updated_at=unit.now)
    values = {"secrets": _encoded(kept), "etag": rotated.etag, "updated_at": unit.now}
    unit.session.connection().execute(update(WEBHOOKS).where(WEBHOOKS.c.id == id_).values(values))
    return rotated, secret


def signing_secrets(text: str, now: Instant) -> tuple[str, ...]:
    """Read a row's secrets: those that sign at an instant, the newest first."""
    return tuple(secret.text for secret in _secrets(text) if secret.until is None or now < secret.until)


# ── The outbox ───────────────────────────────────────────────────────────────────────────────────────────────────────


def enqueue(session: Session, events: Sequence[Event], now: Instant) -> None:
    """Write one delivery for each event and each webhook that wants it."""
    wanted = [(id_, set(msgspec.json.decode(types))) for id_, types in session.connection().execute(_WANTING)]
    if not wanted:
        return
    rows = [
        _delivery(id_, event, payload, now)
        for event, payload in ((event, _payload(event, now)) for event in events)
        for id_, types in wanted
        if not types or event.type in types
    ]
    if rows:
        session.connection().execute(insert(DELIVERIES), rows)


def write_delivery(unit: WriteUnit, webhook: str, event: Event) -> str:
    """Write one delivery to one webhook, whatever it listens for, and return its id."""
    row = _delivery(webhook, event, _payload(event, unit.now), unit.now)
    unit.session.connection().execute(insert(DELIVERIES), [row])
    return str(row["id"])


def _payload(event: Event, now: Instant) -> bytes:
    return msgspec.json.encode({"type": event.type, "timestamp": format_instant(now), "data": event.data})


def _delivery(webhook: str, event: Event, payload: bytes, now: Instant) -> dict[str, object]:
    return {
        "id": f"msg_{secrets.token_hex(12)}",
        "webhook": webhook,
        "type": event.type,
        "payload": payload,
        "status": "waiting",
        "attempts": 0,
        "due_at": now,
        "created_at": now,
        "finished_at": None,
        "answer": "",
    }


# ── Rows ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _row(unit: ReadUnit, id_: str, *, lock: bool) -> Row[tuple[object, ...]]:
    query = select(WEBHOOKS).where(WEBHOOKS.c.id == id_)
    row = unit.session.connection().execute(query.with_for_update() if lock else query).one_or_none()
    if row is None:
        raise NotFoundError("webhook", id_)
    return row


def _webhook(row: Row[tuple[object, ...]]) -> Webhook:
    settings = WebhookSettings(row.url, tuple(msgspec.json.decode(row.events)), row.description, row.enabled)
    return Webhook(row.id, row.etag, settings, row.failing_since, row.created_at, row.updated_at)


def _columns(settings: WebhookSettings) -> dict[str, object]:
    return {
        "url": settings.url,
        "events": msgspec.json.encode(settings.events).decode(),
        "description": settings.description,
        "enabled": settings.enabled,
    }


def _new_secret() -> str:
    return "whsec_" + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()


def _secrets(text: str) -> list[Secret]:
    return msgspec.json.decode(text, type=list[Secret])


def _encoded(kept: list[Secret]) -> str:
    return msgspec.json.encode(kept).decode()
