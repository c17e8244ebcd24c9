"""Webhooks: the URLs to which events go, with their secrets. Deliveries are in `outbox` and `deliveries`.

Secrets are stored in plain text, because deliveries are signed with them: protect the database accordingly.
"""

from __future__ import annotations

import base64
import secrets
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec
from sqlalchemy import delete, insert, select, update

from tiergate.errors import NotFoundError
from tiergate.store.tables import DELIVERIES, WEBHOOKS

if TYPE_CHECKING:
    from sqlalchemy import Row

    from tiergate.model import Instant
    from tiergate.store.units import ReadUnit, WriteUnit

_SECRET_BYTES: Final = 32  # Standard Webhooks demands 24 to 64


class Secret(msgspec.Struct, frozen=True):
    """A signing secret, `whsec_` and base64; `until`: the instant at which a replaced one stops signing."""

    text: str
    until: int | None = None


class WebhookSettings(msgspec.Struct, frozen=True):
    """The settings of a webhook. No `events`: all types."""

    url: str
    events: tuple[str, ...] = ()
    description: str = ""
    enabled: bool = True


class Webhook(NamedTuple):
    """A webhook without its secrets. `failing_since`: no delivery has succeeded since."""

    id: str
    etag: int
    settings: WebhookSettings
    failing_since: Instant | None
    created_at: Instant
    updated_at: Instant


def read_webhooks(unit: ReadUnit, after: str | None, limit: int) -> list[Webhook]:
    """Read up to `limit` webhooks by id, those after an id."""
    query = select(WEBHOOKS).where(WEBHOOKS.c.id > (after or "")).order_by(WEBHOOKS.c.id).limit(limit)
    return [_webhook(row) for row in unit.session.connection().execute(query)]


def read_webhook(unit: ReadUnit, id_: str, *, lock: bool = False) -> Webhook:
    """Read a webhook; `lock`: no other transaction can change it until this one ends.

    Raises:
        NotFoundError: if there is no webhook with this id.
    """
    return _webhook(_read_row(unit, id_, lock=lock))


def add_webhook(unit: WriteUnit, settings: WebhookSettings) -> tuple[Webhook, str]:
    """Add a webhook, and return it with its secret, which is shown only now."""
    secret = _generate_secret()
    webhook = Webhook(f"wh_{secrets.token_hex(12)}", 1, settings, None, unit.now, unit.now)
    row = {**webhook._asdict(), **_columns(settings), "secrets": _encode([Secret(secret)])}
    del row["settings"]
    unit.session.connection().execute(insert(WEBHOOKS), [row])
    return webhook, secret


def edit_webhook(unit: WriteUnit, webhook: Webhook, settings: WebhookSettings) -> Webhook:
    """Change a webhook that was read with its lock. Enabling it again clears `failing_since`."""
    is_enabled_again = settings.enabled and not webhook.settings.enabled
    failing = None if is_enabled_again else webhook.failing_since
    edited = webhook._replace(etag=webhook.etag + 1, settings=settings, failing_since=failing, updated_at=unit.now)
    _update(unit, webhook.id, _columns(settings) | {"etag": edited.etag, "failing_since": failing})
    return edited


def remove_webhook(unit: WriteUnit, id_: str) -> None:
    """Remove a webhook with its deliveries."""
    connection = unit.session.connection()
    connection.execute(delete(DELIVERIES).where(DELIVERIES.c.webhook == id_))
    connection.execute(delete(WEBHOOKS).where(WEBHOOKS.c.id == id_))


def rotate_secret(unit: WriteUnit, id_: str, overlap: int) -> tuple[Webhook, str]:
    """Give a webhook a new secret, shown only now; the one before signs too, for `overlap` milliseconds.

    At most two secrets sign: one that an earlier rotation replaced stops at once.

    Raises:
        NotFoundError: if there is no such webhook.
    """
    row = _read_row(unit, id_, lock=True)
    newest = next(secret for secret in _decode(row.secrets) if secret.until is None)
    secret = _generate_secret()
    replaced = [Secret(newest.text, unit.now + overlap)] if overlap else []
    rotated = _webhook(row)._replace(etag=row.etag + 1, updated_at=unit.now)
    _update(unit, id_, {"secrets": _encode([Secret(secret), *replaced]), "etag": rotated.etag})
    return rotated, secret


def signing_secrets(text: str, now: Instant) -> tuple[str, ...]:
    """Return the secrets of a row that sign at an instant, the newest first."""
    return tuple(secret.text for secret in _decode(text) if secret.until is None or now < secret.until)


def _read_row(unit: ReadUnit, id_: str, *, lock: bool) -> Row[tuple[object, ...]]:
    query = select(WEBHOOKS).where(WEBHOOKS.c.id == id_)
    row = unit.session.connection().execute(query.with_for_update() if lock else query).one_or_none()
    if row is None:
        raise NotFoundError("webhook", id_)
    return row


def _update(unit: WriteUnit, id_: str, values: dict[str, object]) -> None:
    query = update(WEBHOOKS).where(WEBHOOKS.c.id == id_).values(**values, updated_at=unit.now)
    unit.session.connection().execute(query)


def _webhook(row: Row[tuple[object, ...]]) -> Webhook:
    settings = WebhookSettings(row.url, tuple(msgspec.json.decode(row.events)), row.description, row.enabled)
    return Webhook(row.id, row.etag, settings, row.failing_since, row.created_at, row.updated_at)


def _columns(settings: WebhookSettings) -> dict[str, object]:
    return msgspec.structs.asdict(settings) | {"events": msgspec.json.encode(settings.events).decode()}


def _generate_secret() -> str:
    return "whsec_" + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()


def _decode(text: str) -> list[Secret]:
    return msgspec.json.decode(text, type=list[Secret])


def _encode(kept: list[Secret]) -> str:
    return msgspec.json.encode(kept).decode()
