"""The API of webhooks: where events go, what became of each delivery, and the secrets that sign them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from tiergate.control.api.request import Answer, etag_text
from tiergate.control.api.router import Endpoint
from tiergate.control.webhooks.webhook_targets import RejectedTargetError
from tiergate.errors import BodyError, BodyProblem, ConflictError, RequestError
from tiergate.model import format_instant
from tiergate.naming import nearest
from tiergate.permissions import Action, Resource
from tiergate.store.deliveries import DeliveryStatus, deliveries_before, read_delivery, redeliver
from tiergate.store.webhooks import (
    TEST_EVENT,
    Event,
    EventType,
    WebhookSettings,
    add_webhook,
    edit_webhook,
    read_webhook,
    remove_webhook,
    rotate_secret,
    webhooks_after,
    write_delivery,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tiergate.control.api.request import AdminRequest
    from tiergate.control.webhooks.webhook_targets import WebhookTargets
    from tiergate.model import Instant
    from tiergate.store import ReadUnit, WriteUnit
    from tiergate.store.deliveries import Delivery
    from tiergate.store.webhooks import Webhook

MOST_WEBHOOKS: Final = 50
"""How many webhooks a store has at most: each event is written once for each that wants it."""

_MAX_DESCRIPTION: Final = 1000
_DAY: Final = 24 * 60 * 60


class WebhookBody(msgspec.Struct, forbid_unknown_fields=True):
    """A new webhook."""

    url: str
    events: list[str] = []
    description: str = ""
    enabled: bool = True


class WebhookEdit(msgspec.Struct, forbid_unknown_fields=True):
    """What is to change of a webhook; what is absent stays."""

    url: str | msgspec.UnsetType = msgspec.UNSET
    events: list[str] | msgspec.UnsetType = msgspec.UNSET
    description: str | msgspec.UnsetType = msgspec.UNSET
    enabled: bool | msgspec.UnsetType = msgspec.UNSET


class Rotation(msgspec.Struct, forbid_unknown_fields=True):
    """How many seconds the secret of before goes on signing."""

    overlap: int = _DAY


class WebhookEndpoints:
    """The endpoints; `destinations` says which URLs may be taken."""

    def __init__(self, destinations: WebhookTargets) -> None:
        self._destinations = destinations

    def endpoints(self) -> list[Endpoint]:
        """All of them. Whoever manages webhooks sees and changes everything about them; nobody else sees anything."""
        manage, store = Action.MANAGE_WEBHOOKS, Resource.store()
        one = "/v1/webhooks/{webhook}"
        delivery = f"{one}/deliveries/{{delivery}}"
        return [
            Endpoint("GET", "/v1/webhooks", manage, self.list_webhooks, store, paged=True),
            Endpoint("POST", "/v1/webhooks", manage, self.create, store),
            Endpoint("GET", one, manage, self.show, store),
            Endpoint("PATCH", one, manage, self.edit, store),
            Endpoint("DELETE", one, manage, self.delete, store),
            Endpoint("POST", f"{one}/rotate-secret", manage, self.rotate, store),
            Endpoint("POST", f"{one}/test", manage, self.test, store),
            Endpoint("GET", f"{one}/deliveries", manage, self.list_deliveries, store, query=("status",), paged=True),
            Endpoint("GET", delivery, manage, self.show_delivery, store),
            Endpoint("POST", f"{delivery}/redeliver", manage, self.redeliver, store),
        ]

    # ── webhooks ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def list_webhooks(self, request: AdminRequest) -> Answer:
        """List the webhooks."""
        rows = request.read(lambda unit: webhooks_after(unit, request.cursor, request.limit + 1))
        page = rows[: request.limit]
        return Answer.page([_webhook(row) for row in page], page[-1].id if len(rows) > len(page) else None)

    def create(self, request: AdminRequest) -> Answer:
        """Add a webhook; its secret is told in this answer alone."""
        body = request.decode(WebhookBody)
        settings = WebhookSettings(body.url, tuple(body.events), body.description, body.enabled)
        self._check(settings)

        def work(unit: WriteUnit) -> Answer:
            if len(webhooks_after(unit, None, MOST_WEBHOOKS)) == MOST_WEBHOOKS:
                raise ConflictError("too-many-webhooks", f"there are {MOST_WEBHOOKS} webhooks, which is the most")
            webhook, secret = add_webhook(unit, settings)
            unit.audit("webhook.created", "webhook", webhook.id, after=_settings(webhook))
            shown = _webhook(webhook) | {"secret": secret}
            return Answer.json(shown, 201, etag=webhook.etag, location=f"/v1/webhooks/{webhook.id}")

        return request.change(work, kept=_without_secret)

    def show(self, request: AdminRequest) -> Answer:
        """Show a webhook."""
        webhook = request.read(lambda unit: read_webhook(unit, request.params["webhook"]))
        return Answer.json(_webhook(webhook), etag=webhook.etag)

    def edit(self, request: AdminRequest) -> Answer:
        """Change a webhook: what the body does not name stays."""
        given = {
            name: value
            for name, value in msgspec.structs.asdict(request.decode(WebhookEdit)).items()
            if value is not msgspec.UNSET
        }

        def work(unit: WriteUnit) -> Answer:
            webhook = read_webhook(unit, request.params["webhook"], lock=True)
            request.check_etag("webhook", webhook.id, webhook.etag)
            settings = msgspec.structs.replace(webhook.settings, **given)
            settings = msgspec.structs.replace(settings, events=tuple(settings.events))
            self._check(settings)
            edited = edit_webhook(unit, webhook, settings)
            unit.audit("webhook.edited", "webhook", webhook.id, before=_settings(webhook), after=_settings(edited))
            return Answer.json(_webhook(edited), etag=edited.etag)

        return request.change(work)

    def delete(self, request: AdminRequest) -> Answer:
        """Remove a webhook, and all that was to be delivered to it."""

        def work(unit: WriteUnit) -> Answer:
            webhook = read_webhook(unit, request.params["webhook"], lock=True)
            request.check_etag("webhook", webhook.id, webhook.etag)
            remove_webhook(unit, webhook.id)
            unit.audit("webhook.deleted", "webhook", webhook.id, before=_settings(webhook))
            return Answer.empty()

        return request.change(work)

    def rotate(self, request: AdminRequest) -> Answer:
        """Give a webhook a new secret, told in this answer alone; for `overlap` seconds the one before signs too."""
        overlap = (request.decode(Rotation) if request.body else Rotation()).overlap
        if not 0 <= overlap <= 7 * _DAY:
            raise BodyError([BodyProblem("/overlap", "out-of-range", f"must be 0 to {7 * _DAY} seconds")])

        def work(unit: WriteUnit) -> Answer:
            webhook, secret = rotate_secret(unit, request.params["webhook"], overlap * 1000)
            unit.audit("webhook.secret_rotated", "webhook", webhook.id, after={"overlap": overlap})
            return Answer.json(_webhook(webhook) | {"secret": secret}, etag=webhook.etag)

        return request.change(work, kept=_without_secret)

    def test(self, request: AdminRequest) -> Answer:
        """Send a webhook an event that says nothing, `webhook.test`."""

        def work(unit: WriteUnit) -> Answer:
            webhook = read_webhook(unit, request.params["webhook"])
            _demand_enabled(webhook)
            id_ = write_delivery(unit, webhook.id, Event(TEST_EVENT, {"webhook": webhook.id}))
            unit.audit("webhook.tested", "webhook", webhook.id, after={"delivery": id_})
            return Answer.json(_delivery(read_delivery(unit, webhook.id, id_)), 202)

        return request.change(work)

    # ── deliveries ───────────────────────────────────────────────────────────────────────────────────────────────────

    def list_deliveries(self, request: AdminRequest) -> Answer:
        """List what was and is to be delivered to a webhook, the newest first."""
        before, status = _before(request.cursor), _status(request)

        def work(unit: ReadUnit) -> list[Delivery]:
            webhook = read_webhook(unit, request.params["webhook"])
            return deliveries_before(unit, webhook.id, before, request.limit + 1, status=status)

        rows = request.read(work)
        page = rows[: request.limit]
        cursor = f"{page[-1].created_at}:{page[-1].id}" if len(rows) > len(page) else None
        return Answer.page([_delivery(row) for row in page], cursor)

    def show_delivery(self, request: AdminRequest) -> Answer:
        """Show a delivery."""
        found = request.read(lambda unit: read_delivery(unit, *_ids(request.params)))
        return Answer.json(_delivery(found))

    def redeliver(self, request: AdminRequest) -> Answer:
        """Deliver again what has ended, well or not, under the same id."""

        def work(unit: WriteUnit) -> Answer:
            webhook, id_ = _ids(request.params)
            _demand_enabled(read_webhook(unit, webhook))
            again = redeliver(unit, webhook, id_)
            unit.audit("webhook.redelivered", "webhook", webhook, after={"delivery": id_})
            return Answer.json(_delivery(again), 202)

        return request.change(work)

    def _check(self, settings: WebhookSettings) -> None:
        problems: list[BodyProblem] = []
        try:
            self._destinations.check_url(settings.url)
        except RejectedTargetError as error:
            problems.append(BodyProblem("/url", "bad-url", str(error)))
        known = [event.value for event in EventType]
        problems += [
            BodyProblem(
                f"/events/{place}", "unknown-event", f"there is no event `{event[:100]}`", nearest(event, known)
            )
            for place, event in enumerate(settings.events)
            if event not in known
        ]
        if len(set(settings.events)) < len(settings.events):
            problems.append(BodyProblem("/events", "duplicate", "names an event twice"))
        if len(settings.description) > _MAX_DESCRIPTION:
            detail = f"has more than {_MAX_DESCRIPTION} characters"
            problems.append(BodyProblem("/description", "too-long", detail))
        if "\x00" in settings.description:
            problems.append(BodyProblem("/description", "bad-character", "has a character that no text has"))
        if problems:
            raise BodyError(problems)


def _demand_enabled(webhook: Webhook) -> None:
    if not webhook.settings.enabled:
        raise ConflictError("webhook-disabled", f"the webhook `{webhook.id}` is disabled: enable it first")


def _ids(params: Mapping[str, str]) -> tuple[str, str]:
    return params["webhook"], params["delivery"]


def _status(request: AdminRequest) -> DeliveryStatus | None:
    text = request.query.get("status")
    if text is None:
        return None
    try:
        return DeliveryStatus(text)
    except ValueError:
        known = ", ".join(f"`{status}`" for status in DeliveryStatus)
        raise RequestError(400, "invalid request", f"`status` must be one of {known}") from None


def _before(cursor: str | None) -> tuple[Instant, str] | None:
    if cursor is None:
        return None
    at, _, id_ = cursor.partition(":")
    if not at.isascii() or not at.isdecimal() or len(at) > 18:
        raise RequestError(400, "invalid request", "`cursor` is not one that this list gave out")
    return int(at), id_


def _settings(webhook: Webhook) -> dict[str, object]:
    return msgspec.structs.asdict(webhook.settings)


def _without_secret(answer: Answer) -> Answer:
    """What is kept for whoever sends the request again: the secret is told once."""
    if not isinstance(answer.body, bytes):
        return answer
    said = msgspec.json.decode(answer.body, type=dict[str, object])
    said.pop("secret")
    return Answer(answer.status, msgspec.json.encode(said), answer.headers)


def _webhook(webhook: Webhook) -> dict[str, object]:
    return {
        "id": webhook.id,
        **_settings(webhook),
        "failing_since": _instant(webhook.failing_since),
        "created_at": _instant(webhook.created_at),
        "updated_at": _instant(webhook.updated_at),
        "etag": etag_text(webhook.etag),
    }


def _delivery(delivery: Delivery) -> dict[str, object]:
    waiting = delivery.status is DeliveryStatus.WAITING
    return {
        "id": delivery.id,
        "type": delivery.type,
        "status": delivery.status.value,
        "attempts": delivery.attempts,
        "answer": delivery.answer,
        "due_at": _instant(delivery.due_at) if waiting else None,
        "created_at": _instant(delivery.created_at),
        "finished_at": _instant(delivery.finished_at),
        "payload": msgspec.Raw(delivery.payload),
    }


def _instant(at: Instant | None) -> str | None:
    return None if at is None else format_instant(at)
