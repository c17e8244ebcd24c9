"""Usage in real sidecars: killed at random moments, with a full disk, and on a disk that is not writable."""

from __future__ import annotations

import random
import subprocess
import threading
import time
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from tests.serving import get, post
from tests.system.processes import Process, sidecar

if TYPE_CHECKING:
    from pathlib import Path

    from tests.wire import Connection

CATALOG = """\
apiVersion: tiergate/v1
features:
  - {id: calls, type: quantity, metered: {reset: never}}
  - {id: credits, type: quantity, metered: {reset: never}}
  - {id: images, type: quantity, metered: {reset: never}, draws: {from: credits, cost: 2}}
items:
  - {id: pro, kind: plan, entitlements: {calls: 1000000, credits: 1000000, images: unlimited}}
"""
SUBJECTS = """\
apiVersion: tiergate/v1
customers: [{id: acme}, {id: beta}]
subscriptions:
  - {id: s1, customer: acme, status: active, items: [{item: pro}]}
  - {id: s2, customer: beta, status: active, items: [{item: pro}]}
"""
KILLS = 8
CALLERS = 4


@pytest.fixture
def files(tmp_path: Path) -> list[str | Path]:
    """The arguments of a sidecar that counts."""
    (tmp_path / "catalog.yaml").write_text(CATALOG)
    (tmp_path / "subjects.yaml").write_text(SUBJECTS)
    return [
        *("--catalog", tmp_path / "catalog.yaml"),
        *("--subjects", tmp_path / "subjects.yaml"),
        *("--data", tmp_path / "data"),
    ]


def used(process: Process, customer: str, feature: str) -> int:
    """Return what a customer has used."""
    answer = process.ask(get(f"/v1/usage?subject={customer}&feature={feature}"))
    assert answer.status == 200, answer.body
    return int(answer.json()["usage"][0]["used"])


class Caller(threading.Thread):
    """Consumes as fast as it can, each time with a new key; knows what was acknowledged, and what may be counted."""

    def __init__(self, connection: Connection, customer: str) -> None:
        super().__init__()
        self.customer = customer
        self.acknowledged: list[dict[str, Any]] = []
        self.open: dict[str, Any] | None = None
        self._connection = connection

    def run(self) -> None:
        """Consume until the connection breaks."""
        try:
            while True:
                amount = random.randrange(1, 4)
                body = {"subject": self.customer, "feature": "images", "amount": amount, "key": uuid4().hex}
                self.open = body
                self._connection.send(post("/v1/consume", body))
                answer = self._connection.read()
                if answer is None:
                    return
                assert (answer.status, answer.json()["consumed"]) == (200, amount)
                self.acknowledged.append(body)
                self.open = None
        except (OSError, AssertionError):
            return  # killed in the middle of an answer
        finally:
            self._connection.sock.close()


@pytest.mark.parametrize("kills", [2, pytest.param(KILLS, marks=pytest.mark.slow)])
def test_a_killed_sidecar_loses_and_doubles_nothing(files: list[str | Path], kills: int) -> None:
    """What was acknowledged is counted, what was not counts once when it is repeated."""
    random.seed(5)
    expected = {"acme": 0, "beta": 0}
    repeated: list[dict[str, Any]] = []
    for kill in range(kills):
        with sidecar(*files) as process:
            process.event("ready")
            for body in repeated:  # the same keys: counted now, or before the kill
                answer = process.ask(post("/v1/consume", body)).json()
                assert answer.get("consumed") == body["amount"], answer
                expected[body["subject"]] += body["amount"]
            for customer, amount in expected.items():
                assert used(process, customer, "images") == amount, f"after kill {kill}"
                assert used(process, customer, "credits") == 2 * amount
            callers = [Caller(process.connect(), random.choice(["acme", "beta"])) for _ in range(CALLERS)]
            for caller in callers:
                caller.start()
            time.sleep(random.uniform(0.02, 0.5))  # the moment is the point
            process.process.kill()
            for caller in callers:
                caller.join(20)
            process.wait()
        repeated = [caller.open for caller in callers if caller.open is not None]
        for caller in callers:
            for body in caller.acknowledged:
                expected[caller.customer] += body["amount"]
        assert kill or sum(expected.values())
        # A key that was acknowledged answers as before.
        if callers[0].acknowledged:
            with sidecar(*files) as process:
                process.event("ready")
                again = process.ask(post("/v1/consume", random.choice(callers[0].acknowledged)))
                assert again.json()["replayed"]


def test_a_full_disk_is_reported_and_counts_nothing(files: list[str | Path]) -> None:
    """And when there is room again, counting goes on."""
    process = Process(*files, before=("prlimit", "--fsize=300000:unlimited"))
    with process:
        process.event("ready")
        counted = 0
        status = 200
        while status == 200:
            body = {"subject": "acme", "feature": "calls", "key": uuid4().hex + "x" * 200}
            answer = process.ask(post("/v1/consume", body))
            status = answer.status
            counted += status == 200
            assert counted < 2_000
        assert (status, answer.json()["title"]) == (503, "usage storage full")
        assert used(process, "acme", "calls") == counted
        assert process.status()["usage"]["error"]
        subprocess.run(
            ["prlimit", f"--pid={process.process.pid}", "--fsize=unlimited:unlimited"], check=True, timeout=10
        )
        assert process.ask(post("/v1/consume", body)).status == 200
        assert used(process, "acme", "calls") == counted + 1
        process.process.kill()
        process.wait()
    with sidecar(*files) as process:
        process.event("ready")
        assert used(process, "acme", "calls") == counted + 1


def test_a_disk_budget_is_kept(files: list[str | Path]) -> None:
    """Callers are told when it is used up; nothing is dropped."""
    with sidecar(*files, "--usage-disk", "600000") as process:
        process.event("ready")
        counted = 0
        for _ in range(3_000):
            body = {"subject": "acme", "feature": "calls", "key": uuid4().hex + "x" * 200}
            answer = process.ask(post("/v1/consume", body))
            if answer.status != 200:
                break
            counted += 1
        assert answer.json()["title"] == "usage storage full"
        assert used(process, "acme", "calls") == counted


def test_limits_change_with_the_files(files: list[str | Path], tmp_path: Path) -> None:
    """Usage stays when a limit falls, a feature vanishes and returns, and its anchor moves."""
    with sidecar(*files) as process:
        process.event("ready")
        process.ask(post("/v1/consume", {"subject": "acme", "feature": "calls", "amount": 7}))
        moved = CATALOG.replace("calls: 1000000", "calls: 7").replace(
            "metered: {reset: never}", "metered: {reset: month}", 1
        )
        without = CATALOG.replace("  - {id: calls, type: quantity, metered: {reset: never}}\n", "").replace(
            "calls: 1000000, ", ""
        )
        for count, catalog in enumerate([without, moved], 2):
            (tmp_path / "catalog.yaml").write_text(catalog)
            process.event("publication active", count)
        answer = process.ask(post("/v1/consume", {"subject": "acme", "feature": "calls"})).json()
        assert answer["reason"] == "limit_reached"
        assert answer["entitlement"]["used"] == 7
