"""A sidecar with several workers: one address, one state, and one process that looks after the others."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import threading
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from tests.control_planes import control_plane
from tests.serving import get, post
from tests.system.processes import PATIENCE, Process, check_request, sidecar
from tests.unit.sidecar.catalogs import Files, catalog_text
from tests.wire import Connection

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import httpx

TOKEN, NEXT_TOKEN = "the-first-token-of-all", "the-token-after-that"
CATALOG = {
    "apiVersion": "tiergate/v1",
    "features": [{"id": "movies", "type": "quantity"}],
    "items": [{"id": "gold", "kind": "plan", "entitlements": {"movies": 50}}],
}


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """A catalog with a customer."""
    return Files(tmp_path / "files")


def given(files: Files) -> list[str]:
    """The flags that name them, and two workers."""
    return ["--catalog", str(files.catalog), "--subjects", str(files.subjects), "--workers", "2"]


def with_token(request: bytes, token: str) -> bytes:
    """A request with a token."""
    return request.replace(b"\r\n", f"\r\nAuthorization: Bearer {token}\r\n".encode(), 1)


class Connections:
    """A connection to each worker of a sidecar, told apart by the beginning of their decision ids."""

    def __init__(self, process: Process, stack: ExitStack, request: bytes = check_request(), workers: int = 2) -> None:
        self.each: dict[str, Connection] = {}
        self.asked = 0
        deadline = time.monotonic() + PATIENCE
        while len(self.each) < workers:
            assert time.monotonic() < deadline
            connection = stack.enter_context(process.connect())
            self.each.setdefault(worker_of(connection.ask(request).headers), connection)
            self.asked += 1

    def ask(self, request: bytes = check_request()) -> list[Any]:
        """What each of them answers."""
        self.asked += len(self.each)
        return [connection.ask(request).json() for connection in self.each.values()]


def worker_of(headers: dict[str, str]) -> str:
    """Who gave a decision."""
    return headers["tiergate-decision-id"][:10]


def pids(status: Any) -> list[int]:  # noqa: ANN401 - a document
    """The workers' processes."""
    return [worker["pid"] for worker in status["workers"]]


def is_gone(pid: int) -> bool:
    """Whether a process has ended, and was waited for."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def total(text: str, name: str) -> float:
    """The sum of a metric's samples."""
    lines = (line for line in text.splitlines() if line.startswith((f"{name} ", f"{name}{{")))
    return sum(float(line.rpartition(" ")[2]) for line in lines)


def wait_for(process: Process, name: str, value: float) -> None:
    """Wait until a metric says something."""
    deadline = time.monotonic() + PATIENCE
    while (found := total(process.probe("/metrics")[1], name)) != value:
        assert time.monotonic() < deadline, f"{name} is {found}"
        time.sleep(0.1)


METERED = """\
apiVersion: tiergate/v1
features:
  - {id: movies, type: quantity}
  - {id: calls, type: quantity, metered: {reset: never}}
items:
  - {id: gold, kind: plan, entitlements: {movies: 50, calls: 1000000}}
"""


def consume(connection: Connection, key: str | None = None, amount: int = 1) -> Any:  # noqa: ANN401 - JSON
    """Consume some calls; return the answer."""
    body = {"subject": "acme", "feature": "calls", "amount": amount} | ({} if key is None else {"key": key})
    answer = connection.ask(post("/v1/consume", body))
    assert answer.status == 200, answer.body
    return answer.json()


def used(connection: Connection) -> int:
    """What a check says was used of the calls."""
    answer = connection.ask(post("/v1/check", {"subject": "acme", "feature": "calls"})).json()
    number: int = answer["entitlement"]["used"]
    return number


def consume_until(connection: Connection, end: Callable[[], None]) -> int:
    """Consume until that fails, because something is ended meanwhile; return how many were acknowledged."""
    counted = 0
    timer = threading.Timer(0.3, end)
    timer.start()
    with contextlib.suppress(OSError, EOFError, AssertionError, ValueError):
        while True:
            consume(connection)
            counted += 1
    timer.join()
    return counted


def kill_all(numbers: list[int]) -> None:
    """Kill processes."""
    for number in numbers:
        os.kill(number, signal.SIGKILL)


def test_without_a_folder_workers_count_nothing(files: Files) -> None:
    """Requests that would are refused."""
    with sidecar(*given(files)) as process:
        answer = process.ask(post("/v1/consume", {"subject": "acme", "feature": "movies"}))
        assert (answer.status, answer.json()["type"].rpartition(":")[2]) == (501, "usage-not-counted")
        answer = process.ask(post("/v1/outcomes", {"feature": "movies", "ok": True}))
        assert (answer.status, answer.json()["type"].rpartition(":")[2]) == (501, "outcomes-not-counted")


def test_workers_count_together(files: Files, tmp_path: Path) -> None:
    """What was consumed through one is known to the next check through another; nothing acknowledged is lost."""
    files.write(files.catalog, METERED)
    arguments: list[str | Path] = [*given(files), "--data", tmp_path / "data"]
    with sidecar(*arguments) as process, ExitStack() as stack:
        one, two = Connections(process, stack).each.values()
        for count in range(1, 11):
            assert consume(one)["entitlement"]["used"] == 2 * count - 1
            assert used(two) == 2 * count - 1
            assert consume(two)["entitlement"]["used"] == 2 * count
            assert used(one) == 2 * count
        assert not consume(one, "k")["replayed"]
        assert consume(two, "k")["replayed"]
        for connection in (one, two):
            batch = {"checks": [{"subject": "acme", "feature": feature} for feature in ("movies", "calls")]}
            results = connection.ask(post("/v1/checks", batch)).json()["results"]
            assert [result["entitlement"]["used"] for result in results] == [0, 21]
            listed = connection.ask(get("/v1/entitlements?subject=acme")).json()["entitlements"]
            assert [it["entitlement"]["used"] for it in listed] == [21, 0]
            assert connection.ask(get("/v1/usage?subject=acme")).json()["usage"][0]["used"] == 21
            for ok in (True, False):
                assert connection.ask(post("/v1/outcomes", {"feature": "calls", "ok": ok})).status == 200
        minutes = one.ask(get("/v1/outcomes?feature=calls")).json()["minutes"]
        assert [sum(it[name] for it in minutes) for name in ("requests", "failed")] == [4, 2]
        assert total(process.probe("/metrics")[1], "tiergate_outcomes_total") == 4
        reserved = one.ask(post("/v1/reserve", {"subject": "acme", "feature": "calls", "amount": 9})).json()
        path = f"/v1/reservations/{reserved['reservation']}/commit"
        assert two.ask(post(path, {"amount": 4})).json()["released"] == 5
        wait_for(process, "tiergate_usage_requests_total", 23)
        counted = consume_until(one, lambda: kill_all(pids(process.status())))
        wait_for(process, "tiergate_worker_restarts_total", 2)
        process.until(lambda status: [it["ready"] for it in status.get("workers", ())] == [True, True])
        with process.connect() as again:
            seen = used(again)
            assert counted <= seen - 25 <= counted + 1
            acknowledged = consume_until(again, process.process.kill)
        assert acknowledged
    with sidecar(*arguments) as process, process.connect() as connection:
        assert seen + acknowledged <= used(connection) <= seen + acknowledged + 1
        assert process.end() == 0


def test_workers_lease_together(tmp_path: Path) -> None:
    """One sidecar of several processes is one holder of leases, which reports everything at its end."""
    with control_plane(tmp_path) as plane, ExitStack() as stack:
        client = plane.client()
        send(client, "POST", "/v1/apply", {"catalog": [{"name": "catalog.yaml", "text": METERED}]})
        send(client, "PUT", "/v1/customers/acme", {})
        send(client, "PUT", "/v1/subscriptions/s1", {"customer": "acme", "status": "active", "items": held(1)})
        keys: list[str | Path] = ["--control-plane", plane.url, "--key-file", plane.key_file("sidecar")]
        trusted: list[str | Path] = ["--public-key", plane.public_key_file, "--data", tmp_path / "data"]
        process = stack.enter_context(sidecar(*keys, *trusted, "--workers", "2"))
        one, two = Connections(process, stack).each.values()
        for count in range(1, 21):
            assert consume(one, amount=3)["entitlement"]["used"] == 5 * count - 2
            assert consume(two, amount=2)["entitlement"]["used"] == 5 * count
        assert {used(one), used(two)} == {100}
        assert process.end() == 0
        (window,) = client.get("/v1/customers/acme/usage").json()["items"]
        assert (window["used"], window["leased"]) == (100, 0)


def test_workers_are_one_sidecar(files: Files, tmp_path: Path) -> None:
    """One address, one Unix socket, a change and a signal for all; metrics that add up, and one decision log."""
    log, tokens, uds = tmp_path / "log", tmp_path / "tokens", tmp_path / "sock"
    tokens.write_text(TOKEN)
    request, later = with_token(check_request(), TOKEN), with_token(check_request(), NEXT_TOKEN)
    more: list[str | Path] = ["--decision-log", log, "--token-file", tokens, "--uds", uds]
    with sidecar(*given(files), *more) as process, ExitStack() as stack:
        status = process.status()
        assert [(worker["worker"], worker["ready"]) for worker in status["workers"]] == [(1, True), (2, True)]
        connections = Connections(process, stack, request)
        assert [answer["publication"] for answer in connections.ask(request)] == [1, 1]
        with socket.socket(socket.AF_UNIX) as local:
            local.connect(str(uds))
            assert Connection(local).ask(request).json()["entitlement"]["value"] == 50

        files.write(files.catalog, catalog_text(60))
        process.until(lambda status: [worker["generation"] for worker in status["workers"]] == [2, 2])
        assert [answer["entitlement"]["value"] for answer in connections.ask(request)] == [60, 60]

        wait_for(process, "tiergate_requests_total", connections.asked + 1)
        assert total(process.probe("/metrics")[1], "tiergate_connections") == connections.asked - 4
        wait_for(process, "tiergate_decision_log_records_total", connections.asked + 1)
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        assert len({line["id"] for line in lines}) == connections.asked + 1
        assert {line["id"][:10] for line in lines} == connections.each.keys()

        log.rename(tmp_path / "log.1")
        tokens.write_text(NEXT_TOKEN)
        process.process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + PATIENCE
        while any("allowed" not in answer for answer in connections.ask(later)):
            assert time.monotonic() < deadline
        assert [answer["status"] for answer in connections.ask(request)] == [401, 401]
        assert process.end() == 0
        assert {json.loads(line)["id"][:10] for line in log.read_text().splitlines()} == connections.each.keys()
        assert all(is_gone(pid) for pid in pids(status))
        assert not uds.exists()


def test_a_worker_that_dies_is_replaced(files: Files) -> None:
    """The sidecar is not ready meanwhile, and says so; what was counted stays counted."""
    with sidecar(*given(files)) as process, ExitStack() as stack:
        connections = Connections(process, stack)
        wait_for(process, "tiergate_requests_total", connections.asked)
        killed, other = pids(process.status())
        os.kill(killed, signal.SIGKILL)
        ended = process.event("a worker has ended; starting another one")
        assert (ended["number"], ended["ended"]) == (1, "killed by SIGKILL")
        deadline = time.monotonic() + PATIENCE
        while process.probe("/readyz")[0] != 200:
            assert process.probe("/livez")[0] == 200
            assert time.monotonic() < deadline
        now = pids(process.status())
        assert killed not in now
        assert other in now
        again = Connections(process, stack)
        assert [answer["publication"] for answer in again.ask()] == [1, 1]
        wait_for(process, "tiergate_requests_total", connections.asked + again.asked)
        wait_for(process, "tiergate_worker_restarts_total", 1)


def test_workers_end_with_their_leader(files: Files) -> None:
    """However it ends."""
    with sidecar(*given(files)) as process:
        workers = pids(process.status())
        process.process.kill()
        process.process.wait()
        deadline = time.monotonic() + PATIENCE
        while not all(is_gone(pid) for pid in workers):
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_an_address_in_use_ends_the_start(files: Files) -> None:
    """Also if whoever has it would share it with its own workers."""
    with sidecar(*given(files)) as process:
        taken = str(process.api[1])
        with Process(*given(files), "--port", taken) as second:
            assert second.wait() == 4
            assert f"port {taken}" in second.log()


def test_workers_follow_a_control_plane(tmp_path: Path) -> None:
    """A publication and a change of a subject reach all of them, and what they read is one state."""
    with control_plane(tmp_path) as plane, ExitStack() as stack:
        client = plane.client()
        send(client, "POST", "/v1/apply", {"catalog": CATALOG})
        send(client, "PUT", "/v1/customers/acme", {})
        send(client, "PUT", "/v1/subscriptions/s1", {"customer": "acme", "status": "active", "items": held(1)})
        keys: list[str | Path] = ["--control-plane", plane.url, "--key-file", plane.key_file("sidecar")]
        trusted: list[str | Path] = ["--public-key", plane.public_key_file, "--data", tmp_path / "data"]
        process = stack.enter_context(sidecar(*keys, *trusted, "--workers", "2"))
        connections = Connections(process, stack)
        assert values(connections, {50}) == {50}
        send(client, "PATCH", "/v1/subscriptions/s1", {"items": held(3)})
        assert values(connections, {150}) == {150}
        send(client, "PUT", "/v1/items/gold/draft", {"entitlements": {"movies": 60}})
        send(client, "POST", "/v1/publish", {})
        assert values(connections, {180}) == {180}
        generations = process.until(lambda status: len({worker["generation"] for worker in status["workers"]}) == 1)
        assert generations["publication"] == 2
        assert process.end() == 0


def held(quantity: int) -> list[dict[str, object]]:
    """So many of the plan."""
    return [{"item": "gold", "quantity": quantity}]


def send(client: httpx.Client, method: str, path: str, body: object) -> None:
    """Send a change."""
    answer = client.request(method, path, json=body)
    assert answer.is_success, answer.text


def values(connections: Connections, expected: set[int]) -> set[int]:
    """What the workers say, once it is expected or patience has ended."""
    deadline = time.monotonic() + PATIENCE
    while True:
        found = {answer["entitlement"]["value"] for answer in connections.ask()}
        if found == expected or time.monotonic() > deadline:
            return found
        time.sleep(0.05)
