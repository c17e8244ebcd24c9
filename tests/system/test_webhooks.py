"""Events from a real control plane to a real receiver: thresholds, what the clock does, a crash in between."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from standardwebhooks import Webhook

from tests.control_planes import control_plane
from tests.receiver import Receiver

if TYPE_CHECKING:
    from pathlib import Path

    import httpx

CATALOG = """\
apiVersion: tiergate/v1
features:
  - {id: calls, type: quantity, metered: {reset: year, limit: soft, thresholds: [80%, 100%]}}
  - {id: seats, type: quantity}
items:
  - {id: gold, kind: plan, entitlements: {calls: 100, seats: 3}}
"""
SOON = 4.0  # seconds until an override ends by itself


def done(answer: httpx.Response) -> Any:  # noqa: ANN401 - any JSON
    """The JSON of an answer that succeeded."""
    assert answer.is_success, answer.text
    return answer.json() if answer.content else None


def events_until(receiver: Receiver, secret: str, wanted: int) -> list[dict[str, Any]]:
    """Take as many different events as wanted, in the order of their first arrival, each verified."""
    found: dict[str, dict[str, Any]] = {}
    while len(found) < wanted:
        got = receiver.take()
        event = Webhook(secret).verify(got.body, got.headers)
        found.setdefault(event["id"], event)
    return list(found.values())


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def store_url(request: pytest.FixtureRequest) -> str:
    """Give the URL of a fresh store; on PostgreSQL only with the slow tests."""
    url: str = request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "postgres_url")
    return url


def test_a_receiver_hears_of_usage_and_of_the_clock_across_a_crash(tmp_path: Path, store_url: str) -> None:
    """Signed, in order, each once in the list, though the first attempts fail and the control plane is killed."""
    with (
        Receiver.listening() as receiver,
        control_plane(tmp_path, store_url, "--webhook-network", "127.0.0.0/8") as plane,
    ):
        admin = plane.client()
        done(admin.post("/v1/apply", json={"catalog": yaml.safe_load(CATALOG)}))
        done(admin.post("/v1/customers", json={"id": "acme"}))
        body = {"id": "s1", "status": "active", "items": [{"item": "gold"}]}
        done(admin.post("/v1/customers/acme/subscriptions", json=body))
        types = ["usage.threshold_reached", "override.ended", "customer.entitlements_changed"]
        webhook = done(admin.post("/v1/webhooks", json={"url": receiver.url(), "events": types}))
        receiver.answer(500)
        until = (datetime.now(UTC) + timedelta(seconds=SOON)).isoformat()
        override = {"id": "o1", "feature": "calls", "value": 1000, "until": until, "reason": "a moment"}
        done(admin.post("/v1/customers/acme/overrides", json=override))
        report = {"subject": "acme", "feature": "calls", "amount": 90}
        done(plane.client("sidecar").post("/v1/usage", json=report, headers={"idempotency-key": "k"}))
        while not any(it["answer"] for it in done(admin.get(f"/v1/webhooks/{webhook['id']}/deliveries"))["items"]):
            time.sleep(0.1)  # a delivery under way when its sender dies is repeated only after a minute
        plane.kill()
        time.sleep(SOON)
        with plane.restarted() as again:
            events = events_until(receiver, webhook["secret"], 4)
            listed = done(again.client().get("/v1/events?customer=acme&limit=100"))["items"]
    assert [(event["type"], event["data"].get("threshold")) for event in events] == [
        ("customer.entitlements_changed", None),
        ("override.ended", None),
        ("customer.entitlements_changed", None),
        ("usage.threshold_reached", "80%"),
    ]
    assert events[1]["data"]["entitlements"] == [{"feature": "calls", "before": 1000, "after": 100}]
    assert (events[3]["data"]["used"], events[3]["data"]["limit"]) == (90, 100)
    ids = [event["id"] for event in listed if event["type"] in types]
    assert ids[-4:] == [event["id"] for event in events]
    assert len(set(ids)) == len(ids)
