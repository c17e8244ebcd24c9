"""More connections than open files: probes answer, requests are refused in words, and the log says what is lowered."""

from __future__ import annotations

import http.client
import json
import socket
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from tests.control_planes import ControlPlane, prepare_store
from tests.system.processes import PATIENCE, Process, check_request

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CATALOG = """\
apiVersion: tiergate/v1
features: [{id: analytics, type: switch}]
items:
  - {id: gold, kind: plan, entitlements: {analytics: true}}
  - {id: lead, kind: plan, entitlements: {analytics: true}}
"""
SUBJECTS = """\
apiVersion: tiergate/v1
customers: [{id: a}, {id: b}]
subscriptions:
  - {id: sub-a, customer: a, status: active, items: [{item: gold}]}
  - {id: sub-b, customer: b, status: active, items: [{item: lead}]}
"""


def limited(soft: int, hard: int) -> tuple[str, ...]:
    """A command line that runs another one with these limits of open files."""
    return ("sh", "-c", f'ulimit -Sn {soft} && ulimit -Hn {hard} && exec "$@"', "sh")


def ask(address: tuple[str, int], path: str) -> tuple[int, Any]:
    """Ask once, on a connection of its own."""
    connection = http.client.HTTPConnection(*address, timeout=PATIENCE)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read()
    finally:
        connection.close()
    return answer.status, body


@contextmanager
def crowd(address: tuple[str, int], count: int) -> Iterator[list[socket.socket]]:
    """So many connections that ask nothing."""
    with ExitStack() as stack:
        yield [stack.enter_context(socket.create_connection(address, timeout=PATIENCE)) for _ in range(count)]


def closed(connections: list[socket.socket], count: int) -> bool:
    """Wait until so many connections were closed by the other side."""
    gone = 0
    deadline = time.monotonic() + PATIENCE
    for connection in connections:
        connection.settimeout(0.001)
    left = list(connections)
    while gone < count and time.monotonic() < deadline:
        for connection in list(left):
            try:
                connection.recv(1)
            except TimeoutError:
                continue
            except OSError:
                pass
            left.remove(connection)
            gone += 1
    return gone >= count


@pytest.mark.slow
def test_a_control_plane_raises_its_soft_limit_of_open_files(tmp_path: Path) -> None:
    """With a soft limit of 64 it serves 300 connections, for the hard one is higher."""
    with ControlPlane(prepare_store(tmp_path), "--max-waiting", "100", before=limited(64, 1024)) as plane:
        host, port = plane.url.removeprefix("http://").split(":")
        address = (host, int(port))
        with crowd(address, 300):
            status, body = ask(address, "/metrics")
            assert status == 200
            assert b"process_max_fds 1024.0" in body
            assert ask(address, "/v1/whoami")[0] == 401
        assert not plane.process.events("setting lowered: the limit of open files is too low")


def test_a_control_plane_beyond_its_open_files_answers_probes_and_refuses_the_rest(tmp_path: Path) -> None:
    """Beyond the hard limit, probes are served, other requests get 503, and its database can still be opened."""
    with ControlPlane(prepare_store(tmp_path), before=limited(256, 256)) as plane:
        host, port = plane.url.removeprefix("http://").split(":")
        address = (host, int(port))
        lowered = plane.process.event("setting lowered: the limit of open files is too low")
        assert (lowered["setting"], lowered["wanted"]) == ("max-waiting", 5000)
        assert lowered["allowed"] < 128
        with crowd(address, 600) as connections:
            assert closed(connections, 600 - 128 - 40)
            for path in ("/livez", "/readyz", "/metrics"):
                assert ask(address, path)[0] == 200
            status, body = ask(address, "/v1/whoami")
            assert status == 503
            assert json.loads(body)["type"] == "urn:tiergate:problem:too-many-connections"
            assert b"tiergate_cp_open_files_exhausted_total 0.0" in ask(address, "/metrics")[1]
            connections[0].settimeout(PATIENCE)
            key = plane.credentials.keys["admin"].encode()
            connections[0].sendall(b"GET /v1/whoami HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %b\r\n\r\n" % key)
            assert connections[0].recv(12) == b"HTTP/1.1 200"
        assert ask(address, "/v1/whoami")[0] == 401


def test_a_sidecar_beyond_its_open_files_decides_and_answers_probes(tmp_path: Path) -> None:
    """Beyond the hard limit a sidecar still reads its files: who is connected gets decisions, probes are answered."""
    (tmp_path / "catalog.yaml").write_text(CATALOG)
    (tmp_path / "subjects.yaml").write_text(SUBJECTS)
    arguments = ("--catalog", tmp_path / "catalog.yaml", "--subjects", tmp_path / "subjects.yaml")
    with Process(*arguments, "--data", tmp_path / "data", before=limited(256, 256)) as sidecar:
        lowered = sidecar.event("setting lowered: the limit of open files is too low")
        assert (lowered["setting"], lowered["wanted"]) == ("max-connections", 4096)
        sidecar.event("ready")
        with sidecar.connect() as first, crowd(sidecar.api, 600) as connections:
            assert closed(connections, 600 - 128 - 40)
            for customer in ("a", "b"):
                answer = first.ask(check_request(customer, "analytics"))
                assert answer.json()["reason"] == "granted"
            assert sidecar.probe("/livez")[0] == sidecar.probe("/readyz")[0] == 200
            assert "tiergate_open_files_exhausted_total 0.0" in sidecar.probe("/metrics")[1]
            refused = sidecar.ask(check_request("a", "analytics"))
            assert refused.status == 503
            assert refused.json()["type"] == "urn:tiergate:problem:too-many-connections"
