"""A report on a feature, on its way to the entitlement list of a real sidecar, and to the public."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpx

from tests.control_planes import control_plane
from tests.docs.pages import ROOT
from tests.system.processes import Process, sidecar

if TYPE_CHECKING:
    from pathlib import Path

SAMPLE = ROOT / "examples" / "streaming" / "catalog.yaml"
LIST = b"GET /v1/entitlements?subject=acme HTTP/1.1\r\nHost: localhost\r\n\r\n"


def test_a_report_reaches_a_sidecar_and_the_public_page(tmp_path: Path) -> None:
    """From Alertmanager; it is there until the alert is resolved."""
    body = {"catalog": [{"name": SAMPLE.name, "text": SAMPLE.read_text(encoding="utf-8")}]}
    with control_plane(tmp_path, None, "--public-status", "--public-status-title", "Films") as plane:
        client = plane.client()
        client.post("/v1/apply", json=body).raise_for_status()
        client.post("/v1/customers", json={"id": "acme"}).raise_for_status()
        subscription = {"id": "s", "customer": "acme", "status": "active", "items": [{"item": "gold"}]}
        client.post("/v1/subscriptions", json=subscription).raise_for_status()
        arguments: list[str | Path] = [
            *("--control-plane", plane.url, "--key-file", plane.key_file("sidecar")),
            *("--public-key", plane.public_key_file, "--data", tmp_path / "sidecar"),
        ]
        with sidecar(*arguments) as follower:
            for status, shown in (("firing", "down"), ("resolved", None)):
                answer = client.post("/v1/status/alertmanager", json=delivery(status))
                assert answer.json()["rejected"] == []
                follower.until(lambda _: listed(follower).get("status") == shown)  # noqa: B023 - called here
        page = httpx.get(f"{plane.url}/status")
        assert page.status_code == 200
        assert "<h1>Films</h1>" in page.text


def listed(follower: Process) -> dict[str, Any]:
    """The feature `movies` in the list of a sidecar; nothing until there is one."""
    found = json.loads(follower.ask(LIST).body)
    entries: list[dict[str, Any]] = found.get("entitlements", [])
    return next((it for it in entries if it["feature"] == "movies"), {"status": "absent"})


def delivery(status: str) -> dict[str, Any]:
    """What Alertmanager sends of an alert on `movies`."""
    alert = {
        "status": status,
        "labels": {"alertname": "FilmsDoNotStart", "severity": "critical", "tiergate_feature": "movies"},
        "annotations": {},
        "startsAt": "2026-01-01T00:00:00Z",
        "endsAt": "2026-01-01T01:00:00Z" if status == "resolved" else "0001-01-01T00:00:00Z",
        "fingerprint": "c6eba1ca3b3a6bd1",
    }
    return {"version": "4", "groupKey": "{}", "status": status, "alerts": [alert], "truncatedAlerts": 0}
