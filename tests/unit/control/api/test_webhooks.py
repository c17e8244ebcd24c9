"""The API of webhooks."""

from __future__ import annotations

import asyncio
import json
import ssl
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import select
from standardwebhooks import Webhook as Verifier

from tests.admin import serving
from tests.receiver import Receiver
from tiergate.admin.webhooks import MAX_WEBHOOKS
from tiergate.control.api.webhooks import WebhookEndpoints
from tiergate.control.webhooks.delivery import WebhookSender
from tiergate.control.webhooks.dispatcher import Dispatcher
from tiergate.control.webhooks.webhook_targets import WebhookTargets
from tiergate.store import SYSTEM, Store, WriteUnit
from tiergate.store.tables import AUDIT, IDEMPOTENCY
from tiergate.store.webhooks import WebhookSettings, add_webhook

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

LOCAL = WebhookTargets(["127.0.0.0/8"])
TLS = ssl.create_default_context()  # takes a while to make
URL = "https://hooks.example/tiergate"


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    """An empty store."""
    opened = Store.open(store_url)
    yield opened
    opened.close()


@pytest.fixture
def client(store: Store) -> Iterator[httpx.Client]:
    """An admin's client."""
    with serving(store, WebhookEndpoints(LOCAL).endpoints()) as admin:
        yield admin.as_("admin")


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A receiver."""
    with Receiver.listening() as listening:
        yield listening


def create(client: httpx.Client, **body: object) -> dict[str, Any]:
    """Add a webhook."""
    answer = client.post("/v1/webhooks", json={"url": URL, **body})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


def drain(store: Store) -> int:
    """Deliver what is due."""

    async def work() -> int:
        sender = WebhookSender(LOCAL, tls=TLS)
        try:
            return await Dispatcher(store, sender).drain()
        finally:
            await sender.close()

    return asyncio.run(work())


def audited(store: Store) -> list[tuple[str, str, str | None]]:
    """What the audit log says was done, and to what it led."""
    log = AUDIT.c
    with store.database.reading() as session:
        rows = session.connection().execute(select(log.action, log.resource, log.after).order_by(log.id))
        return [(row.action, row.resource, row.after) for row in rows]


def pointers(answer: httpx.Response) -> list[str]:
    """What a problem is about."""
    assert answer.status_code == 422
    return [error["pointer"] for error in answer.json()["errors"]]


def test_a_secret_is_told_once(client: httpx.Client, store: Store) -> None:
    """The answer that made the webhook has it; no other answer, nor the audit log, ever does."""
    made = create(client, events=["publication.created"], description="CRM")
    assert made["secret"].startswith("whsec_")
    shown = client.get(f"/v1/webhooks/{made['id']}")
    assert shown.headers["etag"] == shown.json()["etag"] == '"1"'
    assert shown.json() == {name: value for name, value in made.items() if name != "secret"}
    listed = client.get("/v1/webhooks").json()
    assert listed == {"items": [shown.json()], "next": None}
    assert made["secret"] not in json.dumps(audited(store))


@pytest.mark.parametrize("path", ["", "/{id}/rotate-secret"])
def test_a_secret_is_not_kept_for_requests_that_are_sent_again(client: httpx.Client, store: Store, path: str) -> None:
    """The same answer without it: it stands nowhere but with its webhook."""
    where = "/v1/webhooks" + path.format(**create(client))
    body = {} if path else {"url": URL}
    first, again = (client.post(where, json=body, headers={"idempotency-key": "k"}).json() for _ in range(2))
    secret = first.pop("secret")
    assert again == first
    with store.database.reading() as session:
        assert secret not in repr(session.connection().execute(select(IDEMPOTENCY)).all())


def test_webhooks_are_listed_by_pages(client: httpx.Client) -> None:
    """Each once, following the cursor."""
    made = {create(client)["id"] for _ in range(5)}
    seen: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = client.get("/v1/webhooks", params={"limit": "2"} | cursor).json()
        seen += [item["id"] for item in page["items"]]
        if page["next"] is None:
            break
        cursor = {"cursor": page["next"]}
    assert len(seen) == 5
    assert set(seen) == made


def test_everything_that_is_wrong_is_said_at_once(client: httpx.Client) -> None:
    """Each with its place in the body, and a near miss with what was meant."""
    body = {"url": "ftp://x", "events": ["publication.create", "feature.resumed"], "description": "x" * 1001}
    answer = client.post("/v1/webhooks", json=body)
    assert pointers(answer) == ["/url", "/events/0", "/description"]
    assert answer.json()["errors"][1]["suggestion"] == "publication.created"


@pytest.mark.parametrize(("text", "status"), [("  ", 422), ("CRM\u202egnp", 400)])
def test_a_description_can_be_read(client: httpx.Client, text: str, status: int) -> None:
    """Neither blank nor turned around; an empty one is none."""
    made = create(client)
    answer = client.patch(f"/v1/webhooks/{made['id']}", json={"description": text})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (status, "/description")
    assert client.patch(f"/v1/webhooks/{made['id']}", json={"description": ""}).status_code == 200


@pytest.mark.parametrize("body", [{}, {"url": 1}, {"url": URL, "secret": "mine"}, {"url": URL, "enabled": "yes"}])
def test_a_body_of_another_form_is_refused(client: httpx.Client, body: dict[str, object]) -> None:
    """Nothing is guessed, and no field passed over."""
    assert client.post("/v1/webhooks", json=body).status_code == 422


def test_an_edit_changes_what_it_names(client: httpx.Client) -> None:
    """The rest stays, and the entity tag counts on."""
    made = create(client, description="CRM")
    edited = client.patch(f"/v1/webhooks/{made['id']}", json={"enabled": False, "events": ["feature.resumed"]})
    assert edited.headers["etag"] == '"2"'
    body = edited.json()
    assert (body["url"], body["description"], body["enabled"]) == (URL, "CRM", False)
    assert body["events"] == ["feature.resumed"]


def test_an_edit_is_checked_as_a_whole(client: httpx.Client) -> None:
    """An edit cannot make what creating refuses."""
    made = create(client)
    assert pointers(client.patch(f"/v1/webhooks/{made['id']}", json={"url": "https://10.0.0.1/"})) == ["/url"]


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
def test_a_lost_race_is_said(client: httpx.Client, method: str) -> None:
    """What was changed in between is not changed or deleted unseen."""
    path = f"/v1/webhooks/{create(client)['id']}"
    client.patch(path, json={"description": "first"})
    body = b"{}" if method == "PATCH" else b""
    headers = {"if-match": '"1"', "content-type": "application/json"}
    assert client.request(method, path, content=body, headers=headers).status_code == 412
    assert client.get(path).json()["description"] == "first"


def test_a_deleted_webhook_is_gone(client: httpx.Client, store: Store) -> None:
    """With its deliveries, and with a record."""
    path = f"/v1/webhooks/{create(client)['id']}"
    client.post(f"{path}/test")
    assert client.delete(path).status_code == 204
    for gone in (path, f"{path}/deliveries"):
        assert client.get(gone).status_code == 404
    assert [action for action, _, _ in audited(store)] == ["webhook.created", "webhook.tested", "webhook.deleted"]


def test_a_test_event_arrives(client: httpx.Client, store: Store, receiver: Receiver) -> None:
    """Whatever the webhook listens for; the delivery says what became of it."""
    made = create(client, url=receiver.url(), events=["feature.resumed"])
    path = f"/v1/webhooks/{made['id']}"
    answer = client.post(f"{path}/test")
    assert answer.status_code == 202
    assert (answer.json()["status"], answer.json()["attempts"]) == ("waiting", 0)
    drain(store)
    got = receiver.take()
    assert Verifier(made["secret"]).verify(got.body, got.headers)["type"] == "webhook.test"
    done = client.get(f"{path}/deliveries/{answer.json()['id']}").json()
    assert (done["status"], done["attempts"], done["answer"], done["due_at"]) == ("delivered", 1, "204", None)
    assert done["payload"] == json.loads(got.body)


def test_a_rotated_secret_is_told_once_and_both_sign(client: httpx.Client, store: Store, receiver: Receiver) -> None:
    """Receivers have until the end of the overlap to learn the new one."""
    made = create(client, url=receiver.url())
    rotated = client.post(f"/v1/webhooks/{made['id']}/rotate-secret", json={"overlap": 60}).json()
    client.post(f"/v1/webhooks/{made['id']}/test")
    drain(store)
    got = receiver.take()
    for secret in (made["secret"], rotated["secret"]):
        Verifier(secret).verify(got.body, got.headers)
    assert rotated["secret"] not in json.dumps(audited(store))


@pytest.mark.parametrize("overlap", [-1, 604_801])
def test_an_overlap_is_bounded(client: httpx.Client, overlap: int) -> None:
    """A week at most."""
    path = f"/v1/webhooks/{create(client)['id']}/rotate-secret"
    assert pointers(client.post(path, json={"overlap": overlap})) == ["/overlap"]


def test_a_webhook_of_no_such_id_is_not_found(client: httpx.Client) -> None:
    """On every path."""
    one = "/v1/webhooks/wh_0"
    assert [client.get(one + rest).status_code for rest in ("", "/deliveries", "/deliveries/msg_0")] == [404] * 3
    posts = ("/test", "/rotate-secret", "/deliveries/msg_0/redeliver")
    assert [client.post(one + rest).status_code for rest in posts] == [404] * 3
    assert client.patch(one, json={}).status_code == client.delete(one).status_code == 404


def test_deliveries_are_listed_the_newest_first(client: httpx.Client, store: Store, receiver: Receiver) -> None:
    """By pages, and by status."""
    path = f"/v1/webhooks/{create(client, url=receiver.url())['id']}/deliveries"
    for number in range(5):
        store.change(partial(WriteUnit.emit, type_="feature.resumed", data={"number": number}), SYSTEM)
    first = client.get(path, params={"limit": 3}).json()
    second = client.get(path, params={"limit": 3, "cursor": first["next"]}).json()
    found = first["items"] + second["items"]
    assert len({item["id"] for item in found}) == 5
    assert [item["created_at"] for item in found] == sorted((item["created_at"] for item in found), reverse=True)
    assert second["next"] is None
    drain(store)
    assert len(client.get(path, params={"status": "delivered"}).json()["items"]) == 5
    assert client.get(path, params={"status": "waiting"}).json()["items"] == []
    assert client.get(path, params={"status": "lost"}).status_code == 400


def test_a_delivery_is_made_again_on_request(client: httpx.Client, store: Store, receiver: Receiver) -> None:
    """Under its id; one that waits anyway is not asked for twice."""
    path = f"/v1/webhooks/{create(client, url=receiver.url())['id']}"
    id_ = client.post(f"{path}/test").json()["id"]
    again = f"{path}/deliveries/{id_}/redeliver"
    assert client.post(again).status_code == 409
    drain(store)
    assert client.post(again).status_code == 202
    drain(store)
    assert receiver.take().headers["webhook-id"] == receiver.take().headers["webhook-id"] == id_


def test_nothing_is_sent_on_request_to_what_is_disabled(client: httpx.Client) -> None:
    """It has to be enabled first."""
    made = create(client, enabled=False)
    answer = client.post(f"/v1/webhooks/{made['id']}/test")
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:tiergate:problem:webhook-disabled")


def test_a_request_sent_twice_makes_one_webhook(client: httpx.Client) -> None:
    """With an idempotency key, the second answer is the first one, but for the secret, which is told once."""
    sent = [client.post("/v1/webhooks", json={"url": URL}, headers={"idempotency-key": "k"}).json() for _ in range(2)]
    assert sent[0].pop("secret").startswith("whsec_")
    assert sent[0] == sent[1]
    assert len(client.get("/v1/webhooks").json()["items"]) == 1


def test_there_is_a_most(client: httpx.Client, store: Store) -> None:
    """Each webhook costs a row per event."""
    settings = WebhookSettings(URL)
    store.change(lambda unit: [add_webhook(unit, settings) for _ in range(MAX_WEBHOOKS)], SYSTEM)
    answer = client.post("/v1/webhooks", json={"url": URL})
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:tiergate:problem:too-many-webhooks")


@pytest.mark.parametrize("cursor", ["bm8", "MTp4AA", "!"])
def test_a_forged_cursor_is_a_mistake(client: httpx.Client, cursor: str) -> None:
    """Whatever is in it."""
    path = f"/v1/webhooks/{create(client)['id']}/deliveries"
    assert client.get(path, params={"cursor": cursor}).status_code == 400


@pytest.mark.parametrize("role", ["sales-manager", "analyst", "publisher", "sidecar"])
def test_nobody_but_an_admin_sees_webhooks(store: Store, role: str) -> None:
    """Neither where events go nor what was sent."""
    endpoints = WebhookEndpoints(LOCAL).endpoints()
    with serving(store, endpoints) as admin:
        client = admin.as_(role)
        for endpoint in endpoints:
            path = endpoint.path.replace("{webhook}", "wh_0").replace("{delivery}", "msg_0")
            assert client.request(endpoint.method, path).status_code == 403
