"""The end of a sidecar: no accepted request is lost, and it comes within a bound."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import time
from typing import TYPE_CHECKING

import pytest

from tests.system.processes import Process, check_request, sidecar
from tests.unit.sidecar.catalogs import Files
from tests.wire import Connection

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

HAMMERS = 8
BODY = check_request()


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """A catalog with a customer."""
    return Files(tmp_path / "files")


def given(files: Files) -> list[str]:
    """The flags that name them."""
    return ["--catalog", str(files.catalog), "--subjects", str(files.subjects)]


class Hammer:
    """Asks without pause until nobody listens any more, and notes what became of each request."""

    def __init__(self, connect: Callable[[], socket.socket], *, keep_alive: bool, varied: bool) -> None:
        self.answered = 0
        self.lost: list[str] = []
        self._connect = connect
        self._keep_alive = keep_alive
        self._varied = varied
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def join(self) -> None:
        """Wait until nobody listens."""
        self._thread.join(60)
        assert not self._thread.is_alive()

    def _run(self) -> None:
        while True:
            try:
                connection = Connection(self._connect())
            except (ConnectionRefusedError, FileNotFoundError):
                return
            with connection:
                while self._ask(connection):
                    pass

    def _ask(self, connection: Connection) -> bool:
        """Ask once; say whether one may ask again on this connection."""
        request = check_request(used=self.answered) if self._varied else BODY
        try:
            answer = connection.ask(request)
        except (OSError, AssertionError) as error:
            self.lost.append(repr(error))
            return False
        assert answer.status == 200
        assert answer.json()["feature"] == "movies"
        self.answered += 1
        return self._keep_alive and answer.headers.get("connection") != "close"


@pytest.mark.parametrize(
    "way",
    ["connecting", "workers", *(pytest.param(way, marks=pytest.mark.slow) for way in ("repeated", "varied", "unix"))],
)
def test_no_accepted_request_is_lost(files: Files, way: str) -> None:
    """Every request that was sent is answered, on connections that stay and on new ones; then nobody listens."""
    path = files.folder / "s"
    workers = "2" if way == "workers" else "1"

    with sidecar(*given(files), "--uds", path, "--workers", workers) as process:
        address = process.api

        def tcp() -> socket.socket:
            return socket.create_connection(address, timeout=30)

        def unix() -> socket.socket:
            made = socket.socket(socket.AF_UNIX)
            try:
                made.settimeout(30)
                made.connect(str(path))
            except OSError:
                made.close()
                raise
            return made

        keep_alive = way in {"repeated", "varied"}
        hammers = [
            Hammer(unix if way == "unix" else tcp, keep_alive=keep_alive, varied=way == "varied")
            for _ in range(HAMMERS)
        ]
        while min(hammer.answered for hammer in hammers) < 50:
            time.sleep(0.01)
        began = time.monotonic()
        assert process.end() == 0
        assert time.monotonic() - began < 5
        for hammer in hammers:
            hammer.join()
    assert [lost for hammer in hammers for lost in hammer.lost] == []


def test_a_request_under_way_is_answered(files: Files) -> None:
    """Half of it was there when the signal came; the answer says that the connection ends."""
    with sidecar(*given(files)) as process, process.connect() as connection:
        connection.send(BODY[:-5])
        process.process.send_signal(signal.SIGTERM)
        process.event("shutting down")
        assert process.probe("/readyz")[0] == 503
        connection.send(BODY[-5:])
        answer = connection.read()
        assert answer is not None
        assert answer.status == 200
        assert answer.headers["connection"] == "close"
        assert connection.ended()
        assert process.wait() == 0


def test_an_idle_connection_is_closed(files: Files) -> None:
    """It does not hold up the end."""
    with sidecar(*given(files)) as process, process.connect() as connection:
        assert connection.ask(BODY).status == 200
        began = time.monotonic()
        assert process.end() == 0
        assert time.monotonic() - began < 5
        assert connection.ended()


def test_readiness_turns_first(files: Files) -> None:
    """While a request is under way, `/readyz` says no and `/livez` yes, and nobody new gets in."""
    with sidecar(*given(files)) as process, process.connect() as connection:
        address = process.api
        connection.send(BODY[:-5])
        process.process.send_signal(signal.SIGTERM)
        process.event("shutting down")
        assert process.probe("/readyz")[0] == 503
        assert process.probe("/livez")[0] == 200
        assert process.status()["draining"] is True
        while True:
            try:
                socket.create_connection(address, timeout=30).close()
            except ConnectionRefusedError:
                break
        connection.send(BODY[-5:])
        answer = connection.read()
        assert answer is not None
        assert answer.status == 200
        assert process.wait() == 0


def test_a_request_that_never_ends_does_not_hold_up_the_end_for_ever(files: Files) -> None:
    """After `shutdown-timeout` the process ends without it."""
    with sidecar(*given(files), "--shutdown-timeout", "1") as process, process.connect() as connection:
        connection.send(BODY[:-5])
        began = time.monotonic()
        assert process.end() == 0
        assert 0.9 < time.monotonic() - began < 6
        assert process.events("shutdown timeout passed with open connections")


def test_a_second_signal_ends_it_at_once(files: Files) -> None:
    """Somebody is in a hurry."""
    with sidecar(*given(files), "--shutdown-timeout", "600") as process, process.connect() as connection:
        connection.send(BODY[:-5])
        process.process.send_signal(signal.SIGINT)
        process.event("shutting down")
        assert process.end(signal.SIGINT) == 0


def test_a_signal_during_the_first_load_ends_it(files: Files) -> None:
    """Nothing waits for a load."""
    files.subjects.unlink()
    os.mkfifo(files.subjects)
    with Process(*given(files)) as process:
        process.event("listening")
        began = time.monotonic()
        assert process.end() == 0
        assert time.monotonic() - began < 5


def test_every_decision_given_is_in_the_decision_log(files: Files) -> None:
    """It is written out before the end."""
    log = files.folder / "decisions.ndjson"
    with sidecar(*given(files), "--decision-log", log) as process:
        address = process.api
        hammers = [
            Hammer(lambda: socket.create_connection(address, timeout=30), keep_alive=True, varied=True)
            for _ in range(2)
        ]
        while min(hammer.answered for hammer in hammers) < 200:
            time.sleep(0.01)
        assert process.end() == 0
        for hammer in hammers:
            hammer.join()
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert len(lines) == sum(hammer.answered for hammer in hammers)
    assert len({line["id"] for line in lines}) == len(lines)


def test_a_hangup_opens_the_decision_log_anew(files: Files) -> None:
    """As log rotation asks for."""
    log = files.folder / "decisions.ndjson"
    with sidecar(*given(files), "--decision-log", log) as process:
        process.ask(BODY)
        while not log.read_text():
            time.sleep(0.01)
        log.rename(files.folder / "decisions.1")
        process.process.send_signal(signal.SIGHUP)
        while not log.exists():
            time.sleep(0.01)
        process.ask(BODY)
        assert process.end() == 0
    assert len(log.read_text().splitlines()) == 1
