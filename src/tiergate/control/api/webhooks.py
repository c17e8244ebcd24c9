"""The endpoints of webhooks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from tiergate.admin import webhooks
from tiergate.control.api.request import Response, etag_text
from tiergate.control.api.request_values import enum_parameter
from tiergate.control.api.responses import changing, expected_version, reading
from tiergate.control.api.router import Endpoint
from tiergate.errors import RequestError
from tiergate.permissions import Action, Resource
from tiergate.store.deliveries import DeliveryStatus
from tiergate.store.webhooks import WebhookSettings, read_webhook, read_webhooks

if TYPE_CHECKING:
    from collections.abc import Callable

    from tiergate.control.api.request import AdminRequest
    from tiergate.control.webhooks.webhook_targets import WebhookTargets
    from tiergate.model import Instant
    from tiergate.store import WriteUnit
    from tiergate.store.webhooks import Webhook


class _WebhookBody(WebhookSettings, frozen=True, forbid_unknown_fields=True):
    pass


class _WebhookEdit(msgspec.Struct, forbid_unknown_fields=True):
    url: str | msgspec.UnsetType = msgspec.UNSET
    events: list[str] | msgspec.UnsetType = msgspec.UNSET
    description: str | msgspec.UnsetType = msgspec.UNSET
    enabled: bool | msgspec.UnsetType = msgspec.UNSET


class _Rotation(msgspec.Struct, forbid_unknown_fields=True):
    overlap: int = webhooks.DEFAULT_OVERLAP


class WebhookEndpoints:
    """The endpoints; `targets` checks URLs."""

    def __init__(self, targets: WebhookTargets) -> None:
        self._targets = targets

    def endpoints(self) -> list[Endpoint]:
        """Return the routes."""
        manage, store = Action.MANAGE_WEBHOOKS, Resource.store()
        one = "/v1/webhooks/{webhook}"
        delivery = f"{one}/deliveries/{{delivery}}"
        return [
            Endpoint("GET", "/v1/webhooks", manage, list_webhooks, store, paged=True),
            Endpoint("POST", "/v1/webhooks", manage, self.create, store),
            Endpoint("GET", one, manage, get_webhook, store),
            Endpoint("PATCH", one, manage, self.edit, store),
            Endpoint("DELETE", one, manage, changing(webhooks.delete_webhook, with_actor=True), store),
            Endpoint("POST", f"{one}/rotate-secret", manage, rotate_secret, store),
            Endpoint("POST", f"{one}/test", manage, send_test_event, store),
            Endpoint("GET", f"{one}/deliveries", manage, list_deliveries, store, query=("status",), paged=True),
            Endpoint("GET", delivery, manage, reading(webhooks.get_delivery), store),
            Endpoint("POST", f"{delivery}/redeliver", manage, redeliver, store),
            Endpoint("POST", f"{one}/redeliver", manage, redeliver_many, store, subjects=("customer",)),
        ]

    def create(self, request: AdminRequest) -> Response:
        """Create a webhook; only this response has its secret."""
        settings = request.decode(_WebhookBody)

        def work(unit: WriteUnit) -> Response:
            webhook, secret = webhooks.create_webhook(request.actor, unit, settings, self._targets.check_url)
            data = _webhook_data(webhook) | {"secret": secret}
            return Response.json(data, 201, etag=webhook.etag, location=f"/v1/webhooks/{webhook.id}")

        return request.change(work, kept=_without_secret)

    def edit(self, request: AdminRequest) -> Response:
        """Change a webhook; members that the body does not name stay as they are."""
        edit = request.decode(_WebhookEdit)
        members = {name: value for name, value in msgspec.structs.asdict(edit).items() if value is not msgspec.UNSET}
        check_url = self._targets.check_url

        def work(unit: WriteUnit) -> Response:
            expected = expected_version(request)
            return _webhook_response(
                webhooks.edit_webhook(request.actor, unit, request.params["webhook"], members, expected, check_url)
            )

        return request.change(work)


def list_webhooks(request: AdminRequest) -> Response:
    """List the webhooks."""
    rows = request.read(lambda unit: read_webhooks(unit, request.cursor, request.limit + 1))
    page = rows[: request.limit]
    return Response.page([_webhook_data(row) for row in page], page[-1].id if len(rows) > len(page) else None)


def get_webhook(request: AdminRequest) -> Response:
    """Return a webhook."""
    return _webhook_response(request.read(lambda unit: read_webhook(unit, request.params["webhook"])))


def rotate_secret(request: AdminRequest) -> Response:
    """Create a new secret, which only this response has; for `overlap` seconds the previous secret signs too."""
    overlap = (request.decode(_Rotation) if request.body else _Rotation()).overlap

    def work(unit: WriteUnit) -> Response:
        webhook, secret = webhooks.rotate_secret(request.actor, unit, request.params["webhook"], overlap)
        return Response.json(_webhook_data(webhook) | {"secret": secret}, etag=webhook.etag)

    return request.change(work, kept=_without_secret)


def send_test_event(request: AdminRequest) -> Response:
    """Send a `webhook.test` event without content to a webhook."""
    return _accepted(request, lambda unit: webhooks.send_test_event(request.actor, unit, request.params["webhook"]))


def list_deliveries(request: AdminRequest) -> Response:
    """List the deliveries to a webhook, the newest first."""
    before, status, limit = _before(request.cursor), enum_parameter(request, "status", DeliveryStatus), request.limit
    rows, more = request.read(
        lambda unit: webhooks.list_deliveries(unit, request.params["webhook"], before, limit, status)
    )
    return Response.page(rows, None if more is None else f"{more[0]}:{more[1]}")


def redeliver(request: AdminRequest) -> Response:
    """Deliver a finished delivery again, with the same id."""
    webhook, id_ = request.params["webhook"], request.params["delivery"]
    return _accepted(request, lambda unit: webhooks.redeliver(request.actor, unit, webhook, id_))


def redeliver_many(request: AdminRequest) -> Response:
    """Deliver again what is dead, or all events of an interval, also those that a webhook was never sent."""
    wanted, webhook = request.decode(webhooks.Redelivery), request.params["webhook"]
    return _accepted(request, lambda unit: webhooks.redeliver_many(request.actor, unit, webhook, wanted))


def _accepted(request: AdminRequest, enqueue: Callable[[WriteUnit], dict[str, object]]) -> Response:
    return request.change(lambda unit: Response.json(enqueue(unit), 202))


def _before(cursor: str | None) -> tuple[Instant, str] | None:
    if cursor is None:
        return None
    at, _, id_ = cursor.partition(":")
    if not at.isascii() or not at.isdecimal() or len(at) > 18:
        raise RequestError(400, "invalid request", "`cursor` is not one that this list gave out")
    return int(at), id_


def _without_secret(answer: Response) -> Response:
    return answer.without("secret")


def _webhook_response(webhook: Webhook) -> Response:
    return Response.json(_webhook_data(webhook), etag=webhook.etag)


def _webhook_data(webhook: Webhook) -> dict[str, object]:
    return webhooks.webhook_data(webhook) | {"etag": etag_text(webhook.etag)}
