"""The list of events, and redelivery of many."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.admin import serving
from tests.unit.control.subjects import made
from tiergate.control.api import audit, customers, events
from tiergate.control.api.webhooks import WebhookEndpoints
from tiergate.control.webhooks.webhook_targets import WebhookTargets
from tiergate.model import parse_instant
from tiergate.store import SYSTEM, Store
from tiergate.store.outbox import EventType

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

    from tests.admin import Admin

START = parse_instant("2027-01-15T08:00:00Z")


@pytest.fixture
def clock() -> list[int]:
    """The time, which the test sets."""
    return [START]


@pytest.fixture
def store(store_url: str, clock: list[int]) -> Iterator[Store]:
    """An empty store."""
    opened = Store.open(store_url, clock=lambda: clock[0])
    yield opened
    opened.close()


@pytest.fixture
def admin(store: Store) -> Iterator[Admin]:
    """A control plane."""
    modules = (audit, customers, events)
    endpoints = [route for module in modules for route in module.endpoints()]
    with serving(store, [*endpoints, *WebhookEndpoints(WebhookTargets()).endpoints()]) as running:
        yield running


@pytest.fixture
def client(admin: Admin) -> httpx.Client:
    """An admin's client."""
    return admin.as_("admin")


def listed(client: httpx.Client, query: str = "") -> list[dict[str, Any]]:
    """What the list has."""
    answer = client.get(f"/v1/events{query}")
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


def emit(store: Store, type_: EventType, **data: object) -> None:
    """Let something happen."""
    store.change(lambda unit: unit.emit(type_, data), SYSTEM)


def test_what_happens_is_listed_in_its_order(client: httpx.Client, clock: list[int]) -> None:
    """With the body that webhooks get, though there is no webhook."""
    made(client.post("/v1/customers", json={"id": "acme"}))
    clock[0] += 60_000
    made(client.post("/v1/customers", json={"id": "other"}))
    first, second = listed(client)
    assert (first["type"], first["data"]["customer"]) == ("customer.entitlements_changed", "acme")
    assert (first["timestamp"], first["recorded_at"]) == ("2027-01-15T08:00:00.000Z", "2027-01-15T08:00:00.000Z")
    assert (second["data"]["customer"], second["timestamp"]) == ("other", "2027-01-15T08:01:00.000Z")
    assert (first["position"], second["position"]) == (1, 2)
    assert first["id"].startswith("evt_")
    assert first["id"] != second["id"]


def test_each_filter_narrows_the_list(client: httpx.Client, store: Store, clock: list[int]) -> None:
    """By type, customer, feature and time; together they narrow it further."""
    emit(store, EventType.FEATURE_SUSPENDED, feature="movies", customer="acme")
    emit(store, EventType.FEATURE_RESUMED, feature="movies")
    clock[0] += 60_000
    emit(store, EventType.ENTITLEMENTS_CHANGED, customer="acme", entitlements=[{"feature": "movies"}, {"feature": "m"}])
    emit(store, EventType.ENTITLEMENTS_CHANGED, customer="b%", entitlements=[{"feature": "mov"}])

    def positions(query: str) -> list[int]:
        return [event["position"] for event in listed(client, query)]

    assert positions("?type=feature.suspended,feature.resumed") == [1, 2]
    assert positions("?customer=acme") == [1, 3]
    assert positions("?feature=movies") == [1, 2, 3]
    assert positions("?feature=mov") == [4]
    assert positions("?since=2027-01-15T08:01:00Z") == [3, 4]
    assert positions("?until=2027-01-15T08:01:00Z") == [1, 2]
    assert positions("?customer=acme&feature=movies&type=feature.suspended") == [1]
    assert positions("?after=3") == [4]
    assert positions("?after=4") == []


def test_the_list_is_read_page_by_page(client: httpx.Client, store: Store) -> None:
    """A cursor continues; after the last page, the last position does."""
    for number in range(5):
        emit(store, EventType.FEATURE_RESUMED, feature=f"f{number}")
    seen: list[int] = []
    cursor = ""
    while True:
        answer = client.get(f"/v1/events?limit=2{cursor}").json()
        seen += [event["position"] for event in answer["items"]]
        if answer["next"] is None:
            break
        cursor = f"&cursor={answer['next']}"
    assert seen == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("query", ["type=nope", "since=yesterday", "until=1", "after=-1", "unknown=1"])
def test_a_filter_that_cannot_be_is_refused(client: httpx.Client, query: str) -> None:
    """Rather than ignored."""
    assert client.get(f"/v1/events?{query}").status_code == 400


def test_whoever_sees_one_customer_sees_its_events(admin: Admin, client: httpx.Client) -> None:
    """A key that is narrowed to a customer reads the events of that customer, and of nobody else."""
    made(client.post("/v1/customers", json={"id": "acme"}))
    narrowed = admin.as_("admin", customers=("acme",))
    assert [event["data"]["customer"] for event in listed(narrowed, "?customer=acme")] == ["acme"]
    assert narrowed.get("/v1/events?customer=other").status_code == 403
    assert narrowed.get("/v1/events").status_code == 403


def webhook(client: httpx.Client) -> str:
    """Add a webhook, and return its path."""
    answer = made(client.post("/v1/webhooks", json={"url": "https://hooks.example/"}))
    return f"/v1/webhooks/{answer['id']}"


def test_an_interval_is_delivered_again_and_audited(client: httpx.Client, store: Store) -> None:
    """What was never sent is sent: the webhook is newer than the events."""
    emit(store, EventType.FEATURE_RESUMED, feature="movies")
    emit(store, EventType.FEATURE_SUSPENDED, feature="movies", customer="acme")
    path = webhook(client)
    body = {"since": "2027-01-01T00:00:00Z", "types": ["feature.suspended"], "customer": "acme"}
    answer = client.post(f"{path}/redeliver", json=body)
    assert (answer.status_code, answer.json()) == (202, {"repeated": 0, "new": 1})
    answer = client.post(f"{path}/redeliver", json={"since": "2027-01-01T00:00:00Z"})
    assert answer.json() == {"repeated": 0, "new": 1}
    deliveries = client.get(f"{path}/deliveries").json()["items"]
    assert {entry["event"] for entry in deliveries} == {event["id"] for event in listed(client)}
    (entry, _) = client.get("/v1/audit?action=webhook.redelivered").json()["items"]
    assert entry["after"] == {"since": "2027-01-01T00:00:00Z", "repeated": 0, "new": 1}


def test_the_dead_are_delivered_again_without_an_interval(client: httpx.Client) -> None:
    """It does not matter how old they are."""
    answer = client.post(f"{webhook(client)}/redeliver", json={"status": "dead"})
    assert (answer.status_code, answer.json()) == (202, {"repeated": 0, "new": 0})


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/since"),
        ({"status": "delivered", "since": "2027-01-01T00:00:00Z"}, "/status"),
        ({"since": "soon"}, "/since"),
        ({"since": "2027-01-01T00:00:00Z", "types": ["nope"]}, "/types/0"),
    ],
)
def test_what_to_deliver_again_must_be_said(client: httpx.Client, body: dict[str, object], pointer: str) -> None:
    """Not everything by mistake."""
    answer = client.post(f"{webhook(client)}/redeliver", json=body)
    assert answer.status_code == 422
    assert [entry["pointer"] for entry in answer.json()["errors"]] == [pointer]
