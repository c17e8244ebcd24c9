from __future__ import annotations

import base64
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from tests.api_server import ApiServer
from tiergate.cluster.injector.certificates import AUTHORITY_LIFETIME, StoredCertificates
from tiergate.cluster.injector.webhook_registration import WebhookRegistration
from tiergate.cluster.kubernetes_api import KubernetesApi, secret_path, webhook_path
from tiergate.errors import ClusterError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SECRET = secret_path("tiergate", "injector-tls")
WEBHOOK = webhook_path("injector")
NAMES = ("injector.tiergate.svc",)
NOW = datetime(2026, 11, 21, tzinfo=UTC)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ApiServer]:
    """An API server with a webhook configuration of two webhooks that trust nobody yet."""
    with ApiServer(tmp_path) as started:
        hooks = [{"name": f"{name}.tiergate.dev", "clientConfig": {"url": "https://x"}} for name in ("inject", "other")]
        started.put(WEBHOOK, {"metadata": {"name": "injector"}, "webhooks": hooks})
        yield started


class Clock:
    """A clock that stands until somebody moves it."""

    now = NOW

    def __call__(self) -> datetime:
        """The instant."""
        return self.now


def registered(server: ApiServer, clock: Clock | None = None) -> WebhookRegistration:
    """One replica's."""
    api = KubernetesApi.of_this_pod(server.environ, server.folder)
    return WebhookRegistration(api, secret="injector-tls", webhook="injector", names=NAMES, clock=clock or Clock())


def kept(server: ApiServer) -> StoredCertificates:
    """What stands in the Secret."""
    data = {name: base64.b64decode(value) for name, value in server.objects[SECRET]["data"].items()}
    found = StoredCertificates.from_secret(data)
    assert found is not None
    return found


def told(server: ApiServer) -> set[str]:
    """What the webhooks trust."""
    hooks = server.objects[WEBHOOK]["webhooks"]
    return {base64.b64decode(one["clientConfig"]["caBundle"]).decode() for one in hooks}


def test_a_first_certificate_is_made_and_told(server: ApiServer) -> None:
    """It stands in the Secret, and all webhooks trust its authority."""
    brought = registered(server).update()
    assert kept(server) == brought
    assert told(server) == {brought.authorities}


def test_where_all_is_well_nothing_is_written(server: ApiServer) -> None:
    """Looking again costs two reads."""
    registration = registered(server)
    brought = registration.update()
    server.requests.clear()
    assert registration.update() == brought
    assert server.requests == [("GET", WEBHOOK), ("GET", SECRET)]


def test_replicas_that_start_at_once_have_one_certificate(server: ApiServer) -> None:
    """Whoever comes second takes what the first one made."""
    replicas = [registered(server) for _ in range(8)]
    with ThreadPoolExecutor(8) as threads:
        brought = set(threads.map(lambda one: one.update(), replicas))
    assert brought == {kept(server)}
    assert told(server) == {kept(server).authorities}


def test_what_somebody_took_away_is_told_again(server: ApiServer) -> None:
    """As where the webhook's configuration was made anew."""
    registration = registered(server)
    brought = registration.update()
    del server.objects[WEBHOOK]["webhooks"][1]["clientConfig"]["caBundle"]
    assert registration.update() == brought
    assert told(server) == {brought.authorities}


@pytest.mark.parametrize("data", [None, {}, {"tls.crt": "eA=="}])
def test_a_secret_that_holds_nothing_of_use_is_filled(server: ApiServer, data: dict[str, str] | None) -> None:
    """Its labels and whatever else it holds stay."""
    labels = {"owner": "somebody"}
    body = {"metadata": {"name": "injector-tls", "labels": labels}} | ({} if data is None else {"data": data})
    server.put(SECRET, body)
    assert registered(server).update() == kept(server)
    assert server.objects[SECRET]["metadata"]["labels"] == labels


def test_a_new_authority_is_told_before_anything_is_served_by_it(server: ApiServer) -> None:
    """At every moment, what replicas serve with is trusted."""
    clock = Clock()
    registration = registered(server, clock)
    registration.update()
    clock.now = NOW + AUTHORITY_LIFETIME * 2 / 3 - timedelta(days=10)
    before = registration.update()
    clock.now += timedelta(days=11)
    after = registration.update()
    assert after.authorities.endswith(before.authorities)
    assert told(server) == {after.authorities}
    assert after.certificate != before.certificate


def test_without_its_webhook_it_says_so(server: ApiServer) -> None:
    """The chart makes it, perhaps a moment later."""
    del server.objects[WEBHOOK]
    with pytest.raises(ClusterError, match="there is no such webhook configuration"):
        registered(server).update()


@pytest.mark.parametrize(
    "refused", [("GET", SECRET), ("POST", secret_path("tiergate")), ("PATCH", WEBHOOK), ("GET", WEBHOOK)]
)
def test_without_a_right_it_says_so(server: ApiServer, refused: tuple[str, str]) -> None:
    """With the server's words."""
    server.refused[refused] = 403
    with pytest.raises(ClusterError, match="403"):
        registered(server).update()
