"""A sidecar or a control plane as a process of its own: started, waited for, listened to, ended."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING

from tiergate.errors import ListenError, ReplicaError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_HOST = "127.0.0.1"
_START_TIMEOUT = 30.0
_POLL = 0.05
_SLICE = 0.5


def find_port(port: int, option: str = "--port") -> int:
    """Find the port of a control plane: `port`, or any that is free for 0. `option` is how another one is named.

    Raises:
        ListenError: it is in use.
    """
    with _bind(port, option) as listener:
        return int(listener.getsockname()[1])


def find_ports(port: int) -> tuple[int, int]:
    """Find the ports of a sidecar's API and probes: `port` and the next one; any two that are free for 0.

    Raises:
        ListenError: one of them is in use.
    """
    if port:
        for wanted in (port, port + 1):
            _bind(wanted).close()
        return port, port + 1
    api, probes = _bind(0), _bind(0)
    try:
        return api.getsockname()[1], probes.getsockname()[1]
    finally:
        api.close()
        probes.close()


def _bind(port: int, option: str = "--port") -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((_HOST, port))
        listener.listen()
    except OSError:
        listener.close()
        raise ListenError(
            f"port {port} is in use, perhaps by another {'sidecar' if option == '--port' else 'control plane'}: "
            f"name another one with `{option}`, or `{option} 0` for any that is free"
        ) from None
    return listener


class ServerProcess:
    """A running `tiergate sidecar`, or another command that serves, and what it logs."""

    def __init__(self, process: subprocess.Popen[str], command: str = "sidecar") -> None:
        self.process = process
        self._name = command.replace("-", " ")
        self._held: list[str] | None = []
        self._lock = threading.Lock()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        if self.process.stderr is None:
            return
        for line in self.process.stderr:
            with self._lock:
                if self._held is not None:
                    self._held.append(line)
                    continue
            with suppress(OSError):  # a terminal that is gone: the log is read on, so that the sidecar can end
                sys.stderr.write(line)

    def logged(self) -> str:
        """What it has logged, while its log is held back."""
        with self._lock:
            return "".join(self._held or ())

    def let_log(self) -> None:
        """From now on, show what it logs."""
        with self._lock:
            self._held = None

    def wait_until_ready(self, probe_port: int) -> None:
        """Wait until it can decide.

        Raises:
            ReplicaError: it ended, or did not get ready in half a minute; with what it logged.
        """
        deadline = time.monotonic() + _START_TIMEOUT
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                self._reader.join(1)
                raise ReplicaError(f"the {self._name} ended at its start:\n{self.logged()}")
            if _is_ready(probe_port):
                return
            time.sleep(_POLL)
        raise ReplicaError(f"the {self._name} did not get ready in {_START_TIMEOUT:.0f} seconds:\n{self.logged()}")

    def wait(self) -> None:
        """Wait until it ends by itself.

        In slices: a signal that comes just before a wait without end would be noticed after it only.
        """
        while self.process.poll() is None:
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(_SLICE)

    def end(self) -> None:
        """End it, and wait until it has."""
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
    """Do as `start_server`, and end it too when a signal ends this process, which is a command of ours."""
    with _signals_raise(), start_server(arguments, command) as served:
        yield served


@contextmanager
def start_server(arguments: list[str], command: str = "sidecar") -> Iterator[ServerProcess]:
    """Start a command that serves with these arguments, away from the environment's settings; end it at the end."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TIERGATE_")}
    served: ServerProcess | None = None
    try:
        with _signals_wait():
            # A session of its own: a Ctrl-C at the terminal is for whoever started it, who then ends it in order.
            process = subprocess.Popen(  # noqa: S603 - our own command
                [sys.executable, "-m", "tiergate", command, *arguments],
                env=environment,
                stdin=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )
            served = ServerProcess(process, command)
        yield served
    finally:
        if served is not None:
            served.end()


@contextmanager
def _signals_wait() -> Iterator[None]:
    """Have signals that end this process wait while another one is started, which nobody would end else."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    handled = {number: handler for number, handler in before.items() if callable(handler)}
    for number in handled:
        signal.signal(number, lambda number, _: came.append(number))
    try:
        yield
    finally:
        for number, handler in handled.items():
            signal.signal(number, handler)
        if came:
            signal.raise_signal(came[0])


@contextmanager
def _signals_raise() -> Iterator[None]:
    """Make the signals that end a process leave through `finally`, so that no sidecar is left behind."""

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
