"""Outcomes in a real sidecar that is killed, and its control plane too: each comes into effect there once."""

from __future__ import annotations

import random
import threading
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from tests.control_planes import control_plane
from tests.serving import get, post
from tests.system.processes import sidecar
from tiergate.store import Store
from tiergate.store.outcomes import minutes_of

if TYPE_CHECKING:
    from pathlib import Path

    from tests.wire import Connection

CATALOG = """\
apiVersion: tiergate/v1
features: [{id: movies, type: switch, service_level: {availability: 99, latency_ms: 300}}]
items: []
"""
KILLS = 2
SERVICES = 3


class Service(threading.Thread):
    """Reports as fast as it can, singly and in batches, each outcome with an id; knows what was acknowledged."""

    def __init__(self, connection: Connection) -> None:
        super().__init__()
        self.acknowledged: list[dict[str, Any]] = []
        self.open: list[dict[str, Any]] = []
        self._connection = connection

    def run(self) -> None:
        """Report until the connection breaks."""
        try:
            while True:
                outcomes = [outcome() for _ in range(random.choice([1, 1, 30]))]
                self.open = outcomes
                body = outcomes[0] if len(outcomes) == 1 else {"outcomes": outcomes}
                self._connection.send(post("/v1/outcomes", body))
                answer = self._connection.read()
                if answer is None or answer.status != 200:
                    return
                self.acknowledged += outcomes
                self.open = []
        except (OSError, AssertionError):
            return  # killed in the middle of an answer
        finally:
            self._connection.sock.close()


def outcome() -> dict[str, Any]:
    """One that is new."""
    return {
        "feature": "movies",
        "ok": random.random() < 0.9,
        "duration_ms": random.choice([10, 400]),
        "id": uuid4().hex,
    }


def sums(outcomes: list[dict[str, Any]]) -> tuple[int, int, int]:
    """Requests, failures, and slow ones."""
    good = [it for it in outcomes if it["ok"]]
    return len(outcomes), len(outcomes) - len(good), sum(it["duration_ms"] > 300 for it in good)


def test_kills_lose_and_double_nothing(tmp_path: Path) -> None:
    """Of the sidecar at random moments, and of the control plane in between."""
    random.seed(11)
    expected: list[dict[str, Any]] = []
    with control_plane(tmp_path) as plane, ExitStack() as restarted:
        client = plane.client()
        client.post("/v1/apply", json={"catalog": [{"name": "catalog.yaml", "text": CATALOG}]}).raise_for_status()
        arguments: list[str | Path] = [
            *("--control-plane", plane.url, "--key-file", plane.key_file("sidecar")),
            *("--public-key", plane.public_key_file, "--data", tmp_path / "data"),
        ]
        repeated: list[dict[str, Any]] = []
        for kill in range(KILLS + 1):
            with sidecar(*arguments) as process:
                process.event("ready")
                if repeated:  # the same ids: counted now, or before the kill
                    assert process.ask(post("/v1/outcomes", {"outcomes": repeated})).status == 200
                    expected += repeated
                (minutes,) = [process.ask(get("/v1/outcomes?feature=movies")).json()["minutes"]]
                shown = [sum(it[name] for it in minutes) for name in ("requests", "failed")]
                assert tuple(shown) == sums(expected)[:2], f"after kill {kill}"
                if kill == KILLS:
                    process.until(lambda status: status["outcomes"]["undelivered"] == 0)
                    break
                services = [Service(process.connect()) for _ in range(SERVICES)]
                for service in services:
                    service.start()
                time.sleep(random.uniform(0.1, 0.5))  # the moment is the point
                if kill == 0:
                    plane.kill()
                process.process.kill()
                for service in services:
                    service.join(20)
                process.wait()
            if kill == 0:
                restarted.enter_context(plane.restarted()).process.event("ready")
            repeated = [one for service in services for one in service.open]
            expected += [one for service in services for one in service.acknowledged]
    store = Store.open(plane.credentials.database)
    stored = store.read(lambda unit: minutes_of(unit, "movies", 0, 2**53)).values()
    store.close()
    requests, failed = sum(it.requests for it in stored), sum(it.failed for it in stored)
    assert (requests, failed, sum(it.slower_than(300) for it in stored)) == sums(expected)
    assert requests > 0
