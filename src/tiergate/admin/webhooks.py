"""Webhooks: list, read, create, edit, test and delete them; their secrets and deliveries.

A caller that may manage webhooks sees and changes everything about them; nobody else sees anything.

Functions raise `NotFoundError` if the webhook or the delivery does not exist, `PreconditionError` if the webhook has
another version, `BodyError` with all problems of its settings, and `ConflictError` if it is disabled, the delivery is
not finished, or the store has `MAX_WEBHOOKS`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

import msgspec

from tiergate.catalog.reading.fields import text_fault
from tiergate.errors import BodyError, BodyProblem, ConflictError
from tiergate.model import format_instant, parse_instant
from tiergate.naming import nearest
from tiergate.permissions import Action, Resource
from tiergate.store import deliveries
from tiergate.store import webhooks as stored_webhooks
from tiergate.store.deliveries import DeliveryStatus
from tiergate.store.events import EventQuery, deliver_missing, redeliver_finished
from tiergate.store.outbox import TEST_EVENT, Event, EventType, write_delivery

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from tiergate.admin.actor import Actor
    from tiergate.admin.precondition import Precondition
    from tiergate.model import Instant
    from tiergate.store import ReadUnit, WriteUnit
    from tiergate.store.deliveries import Delivery
    from tiergate.store.webhooks import Webhook, WebhookSettings

    CheckUrl: TypeAlias = Callable[[str], object]
    """Raises `ValueError` if events cannot be sent to a URL."""

MAX_WEBHOOKS: Final = 50
"""The most webhooks of a store: each event is stored once for every subscribed webhook."""

_DAY: Final = 24 * 60 * 60
_MAX_OVERLAP: Final = 7 * _DAY
_MAX_DESCRIPTION: Final = 1000

DEFAULT_OVERLAP: Final = _DAY
"""Seconds for which a previous secret keeps signing."""


class Redelivery(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """What to deliver again: the dead deliveries, or all events since an instant, of some types and a customer.

    `until`: events before this instant only.
    """

    status: DeliveryStatus | None = None
    since: str | None = None
    until: str | None = None
    types: tuple[str, ...] = ()
    customer: str | None = None


def create_webhook(
    actor: Actor, unit: WriteUnit, settings: WebhookSettings, check_url: CheckUrl
) -> tuple[Webhook, str]:
    """Create a webhook; return it and its secret, which cannot be read again."""
    _authorize(actor)
    _validate(settings, check_url)
    if len(stored_webhooks.read_webhooks(unit, None, MAX_WEBHOOKS)) == MAX_WEBHOOKS:
        raise ConflictError("too-many-webhooks", f"webhook limit reached ({MAX_WEBHOOKS})")
    webhook, secret = stored_webhooks.add_webhook(unit, settings)
    unit.audit("webhook.created", "webhook", webhook.id, after=_settings(webhook))
    return webhook, secret


def edit_webhook(
    actor: Actor,
    unit: WriteUnit,
    id_: str,
    members: Mapping[str, object],
    expected: Precondition,
    check_url: CheckUrl,
) -> Webhook:
    """Change some settings of a webhook. `members`: new values by the names of `WebhookSettings`."""
    webhook = _lock(actor, unit, id_, expected)
    settings = msgspec.structs.replace(webhook.settings, **members)
    settings = msgspec.structs.replace(settings, events=tuple(settings.events))
    _validate(settings, check_url)
    edited = stored_webhooks.edit_webhook(unit, webhook, settings)
    unit.audit("webhook.edited", "webhook", webhook.id, before=_settings(webhook), after=_settings(edited))
    return edited


def delete_webhook(actor: Actor, unit: WriteUnit, id_: str, expected: Precondition) -> None:
    """Delete a webhook, and all deliveries that wait for it."""
    webhook = _lock(actor, unit, id_, expected)
    stored_webhooks.remove_webhook(unit, webhook.id)
    unit.audit("webhook.deleted", "webhook", webhook.id, before=_settings(webhook))


def rotate_secret(actor: Actor, unit: WriteUnit, id_: str, overlap: int) -> tuple[Webhook, str]:
    """Give a webhook a new secret and return it. For `overlap` seconds the previous secret signs too."""
    _authorize(actor)
    if not 0 <= overlap <= _MAX_OVERLAP:
        raise BodyError([BodyProblem("/overlap", "out-of-range", f"must be 0 to {_MAX_OVERLAP} seconds")])
    webhook, secret = stored_webhooks.rotate_secret(unit, id_, overlap * 1000)
    unit.audit("webhook.secret_rotated", "webhook", webhook.id, after={"overlap": overlap})
    return webhook, secret


def send_test_event(actor: Actor, unit: WriteUnit, id_: str) -> dict[str, object]:
    """Enqueue an event without content for a webhook; return its delivery."""
    _authorize(actor)
    webhook = _enabled_webhook(unit, id_)
    delivery = write_delivery(unit, webhook.id, Event(TEST_EVENT, {"webhook": webhook.id}))
    unit.audit("webhook.tested", "webhook", webhook.id, after={"delivery": delivery})
    return get_delivery(unit, webhook.id, delivery)


def list_deliveries(
    unit: ReadUnit, id_: str, before: tuple[Instant, str] | None, limit: int, status: DeliveryStatus | None
) -> tuple[list[dict[str, object]], tuple[Instant, str] | None]:
    """Return one page of deliveries, the newest first, and the instant and id to continue before."""
    webhook = stored_webhooks.read_webhook(unit, id_)
    rows = deliveries.list_deliveries(unit, webhook.id, before, limit + 1, status=status)
    page = rows[:limit]
    more = (page[-1].created_at, page[-1].id) if len(rows) > limit else None
    return [_delivery_data(row) for row in page], more


def get_delivery(unit: ReadUnit, webhook: str, id_: str) -> dict[str, object]:
    """Return a delivery."""
    return _delivery_data(deliveries.read_delivery(unit, webhook, id_))


def redeliver(actor: Actor, unit: WriteUnit, webhook: str, id_: str) -> dict[str, object]:
    """Deliver a finished delivery again, with the same id."""
    _authorize(actor)
    _enabled_webhook(unit, webhook)
    delivery = deliveries.redeliver(unit, webhook, id_)
    unit.audit("webhook.redelivered", "webhook", webhook, after={"delivery": id_})
    return _delivery_data(delivery)


def redeliver_many(actor: Actor, unit: WriteUnit, webhook: str, wanted: Redelivery) -> dict[str, object]:
    """Deliver again what is dead, or all events of an interval, also those that the webhook was never sent.

    Deliveries that are repeated keep their ids. Return how many are `repeated`, and how many are `new`.
    """
    _authorize(actor)
    subscribed = _enabled_webhook(unit, webhook).settings.events
    dead_only = wanted.status is DeliveryStatus.DEAD
    if wanted.status not in {None, DeliveryStatus.DEAD}:
        raise BodyError([BodyProblem("/status", "wrong-value", "must be `dead`, or left out")])
    since, until = _read_instant(wanted.since, "/since"), _read_instant(wanted.until, "/until")
    if since is None and not dead_only:
        raise BodyError([BodyProblem("/since", "required", "is required, or `status` must be `dead`")])
    problems = list(_type_problems("/types", wanted.types))
    if problems:
        raise BodyError(problems)
    query = EventQuery(types=wanted.types, customer=wanted.customer, since=since, until=until)
    has_conditions = bool(query.conditions())
    repeated = redeliver_finished(unit, webhook, status=wanted.status, query=query if has_conditions else None)
    new = 0 if dead_only else deliver_missing(unit, webhook, subscribed, query)
    after = {**msgspec.to_builtins(wanted), "repeated": repeated, "new": new}
    unit.audit("webhook.redelivered", "webhook", webhook, after={key: it for key, it in after.items() if it or it == 0})
    return {"repeated": repeated, "new": new}


def webhook_data(webhook: Webhook) -> dict[str, object]:
    """Return a webhook as JSON data, without its version."""
    return {
        "id": webhook.id,
        **_settings(webhook),
        "failing_since": _instant(webhook.failing_since),
        "created_at": _instant(webhook.created_at),
        "updated_at": _instant(webhook.updated_at),
    }


def _authorize(actor: Actor) -> None:
    actor.require(Action.MANAGE_WEBHOOKS, Resource.store())


def _enabled_webhook(unit: ReadUnit, id_: str) -> Webhook:
    webhook = stored_webhooks.read_webhook(unit, id_)
    if not webhook.settings.enabled:
        raise ConflictError("webhook-disabled", f"the webhook `{webhook.id}` is disabled: enable it first")
    return webhook


def _lock(actor: Actor, unit: WriteUnit, id_: str, expected: Precondition) -> Webhook:
    _authorize(actor)
    webhook = stored_webhooks.read_webhook(unit, id_, lock=True)
    expected.check("webhook", webhook.id, webhook.etag)
    return webhook


def _validate(settings: WebhookSettings, check_url: CheckUrl) -> None:
    problems = list(_problems(settings, check_url))
    if problems:
        raise BodyError(problems)


def _problems(settings: WebhookSettings, check_url: CheckUrl) -> Iterator[BodyProblem]:
    try:
        check_url(settings.url)
    except ValueError as error:
        yield BodyProblem("/url", "bad-url", str(error))
    yield from _type_problems("/events", settings.events)
    if len(set(settings.events)) < len(settings.events):
        yield BodyProblem("/events", "duplicate", "names an event twice")
    fault = text_fault(settings.description, _MAX_DESCRIPTION, prose=True) if settings.description else None
    if fault is not None:
        yield BodyProblem("/description", *fault)


def _type_problems(pointer: str, types: Iterable[str]) -> Iterator[BodyProblem]:
    known = [event.value for event in EventType]
    for index, event in enumerate(types):
        if event not in known:
            detail = f"there is no event `{event[:100]}`"
            yield BodyProblem(f"{pointer}/{index}", "unknown-event", detail, nearest(event, known))


def _read_instant(text: str | None, pointer: str) -> Instant | None:
    if text is None:
        return None
    try:
        return parse_instant(text)
    except ValueError as error:
        raise BodyError([BodyProblem(pointer, "wrong-value", str(error))]) from None


def _settings(webhook: Webhook) -> dict[str, object]:
    return msgspec.structs.asdict(webhook.settings)


def _delivery_data(delivery: Delivery) -> dict[str, object]:
    is_waiting = delivery.status is DeliveryStatus.WAITING
    return {
        "id": delivery.id,
        "event": delivery.event,
        "type": delivery.type,
        "status": delivery.status.value,
        "attempts": delivery.attempts,
        "answer": delivery.answer,
        "due_at": _instant(delivery.due_at) if is_waiting else None,
        "created_at": _instant(delivery.created_at),
        "finished_at": _instant(delivery.finished_at),
        "payload": msgspec.Raw(delivery.payload),
    }


def _instant(at: Instant | None) -> str | None:
    return None if at is None else format_instant(at)
