"""Start a sidecar or a control plane as a child process, wait for it, read its log, end it."""

from __future__ import annotations

import http.client
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from tiergate.errors import ListenError, ReplicaError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_HOST = "127.0.0.1"
_CONNECTION_PORTS = Path("/proc/sys/net/ipv4/ip_local_port_range")
_USUAL_FIRST, _LEAST, _MOST = 32_768, 15_000, 65_536
_DRAWS = 100
_START_TIMEOUT = 30.0
_POLL = 0.05
_SLICE = 0.5


def find_port(port: int, option: str = "--port") -> int:
    """Return the port of a control plane: `port`, or any free port for 0. `option`: the option for another port.

    Raises:
        ListenError: it is in use.
    """
    with _bind(port, option) as listener:
        return int(listener.getsockname()[1])


def find_ports(port: int) -> tuple[int, int]:
    """Return the ports of a sidecar's API and probes: `port` and the next one; any two free ports for 0.

    Raises:
        ListenError: one is in use.
    """
    if port:
        for wanted in (port, port + 1):
            _bind(wanted).close()
        return port, port + 1
    with _bind(0) as api, _bind(0) as probes:
        return api.getsockname()[1], probes.getsockname()[1]


def _bind(port: int, option: str = "--port") -> socket.socket:
    if port == 0:
        return _bind_free()
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((_HOST, port))
        listener.listen()
    except OSError:
        listener.close()
        raise ListenError(
            f"port {port} is in use, perhaps by another {'sidecar' if option == '--port' else 'control plane'}: "
            f"select another one with `{option}`, or any free port with `{option} 0`"
        ) from None
    return listener


def _bind_free() -> socket.socket:
    # The port is given up before the server that is started takes it. Meanwhile the system gives none of these to
    # anybody's outgoing connection, and whoever else looks here is unlikely to draw the same.
    for _ in range(_DRAWS):
        with suppress(ListenError):
            return _bind(secrets.choice(_kept_from_connections()))
    listener = socket.socket()
    listener.bind((_HOST, 0))
    listener.listen()
    return listener


def _kept_from_connections() -> range:
    try:
        first = int(_CONNECTION_PORTS.read_text(encoding="ascii").split()[0])
    except (OSError, ValueError, IndexError):  # another system than Linux
        first = _USUAL_FIRST
    return range(_LEAST, first) if first > _LEAST + _DRAWS else range(_LEAST, _MOST)


class ServerProcess:
    """A running `tiergate sidecar`, or another server command, and its log."""

    def __init__(self, process: subprocess.Popen[str], command: str = "sidecar") -> None:
        self.process = process
        self._name = command.replace("-", " ")
        self._hidden: list[str] | None = []
        self._lock = threading.Lock()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        if self.process.stderr is None:
            return
        for line in self.process.stderr:
            with self._lock:
                if self._hidden is not None:
                    self._hidden.append(line)
                    continue
            with suppress(OSError):  # no terminal: continue to read, so that the server can end
                sys.stderr.write(line)

    def hidden_log(self) -> str:
        """Return its log so far, while the log is not shown."""
        with self._lock:
            return "".join(self._hidden or ())

    def show_log(self) -> None:
        """Show its log from now on."""
        with self._lock:
            self._hidden = None

    def wait_until_ready(self, probe_port: int) -> None:
        """Wait until it is ready.

        Raises:
            ReplicaError: it ended, or was not ready in half a minute; the message has its log.
        """
        deadline = time.monotonic() + _START_TIMEOUT
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                self._reader.join(1)
                raise ReplicaError(f"the {self._name} ended during its start:\n{self.hidden_log()}")
            if _is_ready(probe_port):
                return
            time.sleep(_POLL)
        raise ReplicaError(f"the {self._name} was not ready after {_START_TIMEOUT:.0f} seconds:\n{self.hidden_log()}")

    def wait(self) -> None:
        """Wait until it ends by itself.

        In slices: a signal just before an endless wait would be handled only after it.
        """
        while self.process.poll() is None:
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(_SLICE)

    def end(self) -> None:
        """End it and wait."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.process.wait(_START_TIMEOUT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._reader.join(1)
        if self.process.stderr is not None and not self._reader.is_alive():
            self.process.stderr.close()


@contextmanager
def start_server_for_command(arguments: list[str], command: str = "sidecar") -> Iterator[ServerProcess]:
    """Do as `start_server`, and end the server also when a signal ends this process, which is one of our commands."""
    with _exit_on_signals(), start_server(arguments, command) as server:
        yield server


@contextmanager
def start_server(arguments: list[str], command: str = "sidecar") -> Iterator[ServerProcess]:
    """Start a server command with these arguments, without `TIERGATE_` variables; end it at the end of the context."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TIERGATE_")}
    server: ServerProcess | None = None
    try:
        with _delay_signals():
            # A session of its own: a Ctrl-C in the terminal is for the parent, which then ends it in order.
            process = subprocess.Popen(  # noqa: S603 - our own command
                [sys.executable, "-m", "tiergate", command, *arguments],
                env=environment,
                stdin=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )
            server = ServerProcess(process, command)
        yield server
    finally:
        if server is not None:
            server.end()


@contextmanager
def _delay_signals() -> Iterator[None]:
    """Delay signals while a child is started, which nobody would end otherwise."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    pending: list[int] = []
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    handled = {number: handler for number, handler in before.items() if callable(handler)}
    for number in handled:
        signal.signal(number, lambda number, _: pending.append(number))
    try:
        yield
    finally:
        for number, handler in handled.items():
            signal.signal(number, handler)
        if pending:
            signal.raise_signal(pending[0])


@contextmanager
def _exit_on_signals() -> Iterator[None]:
    """Make signals that end this process run `finally` blocks, so that no child is left."""

    def leave(number: int, _: object) -> None:
        raise SystemExit(128 + number)

    before: dict[signal.Signals, Callable[..., object] | int | None] = {}
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:
            before[number] = signal.signal(number, leave)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _is_ready(probe_port: int) -> bool:
    with closing(http.client.HTTPConnection(_HOST, probe_port, timeout=1)) as connection:
        with suppress(OSError, http.client.HTTPException):
            connection.request("GET", "/readyz")
            return connection.getresponse().status == http.HTTPStatus.OK
        return False
