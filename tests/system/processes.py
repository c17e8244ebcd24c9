"""A sidecar as a process, for tests: started on free ports, its log read event by event."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

from tests.wire import Connection, request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from tests.wire import Answer

PATIENCE = 60.0


class Process:
    """A running sidecar."""

    def __init__(
        self,
        *arguments: str | Path,
        environ: Mapping[str, str] | None = None,
        ports: bool = True,
        command: str = "sidecar",
        before: Sequence[str] = (),
    ) -> None:
        """Start it. `before`: a command line that runs the rest of its own."""
        free = ("--port", "0", "--probe-port", "0", "--probe-host", "127.0.0.1") if ports else ()
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("TIERGATE_")}
        self.process = subprocess.Popen(
            [*before, sys.executable, "-m", "tiergate", command, *free, "--log-format", "json", *map(str, arguments)],
            env={**inherited, **(environ or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.lines: list[str] = []
        self._news = threading.Condition()
        self._over = False
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self._news:
                self.lines.append(line)
                self._news.notify_all()
        with self._news:
            self._over = True
            self._news.notify_all()

    def events(self, name: str) -> list[dict[str, Any]]:
        """The events of one name that were logged so far."""
        found = (json.loads(line) for line in self.lines if line.startswith("{"))
        return [event for event in found if event["event"] == name]

    def event(self, name: str, count: int = 1) -> dict[str, Any]:
        """Wait until an event was logged, for the `count`th time."""
        with self._news:
            known = self._news.wait_for(lambda: len(self.events(name)) >= count or self._over, PATIENCE)
            assert known, f"`{name}` was not logged:\n{''.join(self.lines)}"
            assert len(self.events(name)) >= count, f"ended without `{name}`:\n{''.join(self.lines)}"
        return self.events(name)[count - 1]

    @property
    def api(self) -> tuple[str, int]:
        """Host and port of the API."""
        return _address(self.event("listening")["api"])

    @property
    def probes(self) -> tuple[str, int]:
        """Host and port of the probes."""
        return _address(self.event("listening")["probes"])

    def connect(self) -> Connection:
        """Connect to the API."""
        made = socket.create_connection(self.api, timeout=PATIENCE)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return Connection(made)

    def ask(self, data: bytes) -> Answer:
        """Send one request on a connection of its own."""
        with self.connect() as connection:
            return connection.ask(data)

    def probe(self, path: str) -> tuple[int, Any]:
        """Ask a probe for its status and body."""
        connection = http.client.HTTPConnection(*self.probes, timeout=PATIENCE)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            body = answer.read()
        finally:
            connection.close()
        return answer.status, json.loads(body) if "json" in answer.headers["content-type"] else body.decode()

    def status(self) -> Any:  # noqa: ANN401 - a document
        """What `/status` says."""
        return self.probe("/status")[1]

    def until(self, happened: Callable[[Any], object], patience: float = PATIENCE) -> Any:  # noqa: ANN401 - a document
        """Wait, for at most `patience` seconds, until `/status` says something."""
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            status = self.status()
            if happened(status):
                return status
            time.sleep(0.02)
        raise AssertionError(f"waited for in vain: {self.status()}")

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and wait for the end; return the exit code."""
        self.process.send_signal(number)
        return self.wait()

    def wait(self) -> int:
        """Wait for the end."""
        code = self.process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        return code

    def log(self) -> str:
        """Everything that it said on standard error."""
        return "".join(self.lines)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        self._reader.join(PATIENCE)
        for pipe in (self.process.stdout, self.process.stderr):
            assert pipe is not None
            pipe.close()


@contextmanager
def sidecar(*arguments: str | Path, environ: Mapping[str, str] | None = None) -> Iterator[Process]:
    """Run a sidecar that is ready."""
    with Process(*arguments, environ=environ) as process:
        process.event("ready")
        yield process


def check_request(subject: str = "acme", feature: str = "movies", **fields: object) -> bytes:
    """The bytes of a check."""
    body = json.dumps({"subject": subject, "feature": feature, **fields}).encode()
    headers = {"Host": "localhost", "Content-Type": "application/json", "Content-Length": str(len(body))}
    return request("POST", "/v1/check", headers, body)


def _address(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    return parts.hostname, parts.port
