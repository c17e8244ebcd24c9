"""Run the measured servers on the first core; read their memory and start-up time."""

from __future__ import annotations

import http.client
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tiergate.process.server_process import find_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def free_port() -> int:
    """Return a free port on localhost."""
    return find_port(0)


def pinned(core: int) -> list[str]:
    """Return the start of a command that keeps it on one core, or nothing if there is only one."""
    cores = sorted(os.sched_getaffinity(0))
    if shutil.which("taskset") is None or len(cores) < 2:
        return []
    return ["taskset", "-c", str(cores[core % len(cores)])]


def wait_for(port: int, process: subprocess.Popen[bytes], path: str | None = None, seconds: float = 600) -> float:
    """Wait until a port accepts connections, or until `GET path` returns 200; return the seconds."""
    begun = time.perf_counter()
    while time.perf_counter() - begun < seconds:
        if process.poll() is not None:
            msg = f"the server ended with status {process.returncode}"
            raise RuntimeError(msg)
        try:
            if path is None:
                socket.create_connection(("127.0.0.1", port), 1).close()
                return time.perf_counter() - begun
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", path)
            if connection.getresponse().status == 200:
                return time.perf_counter() - begun
        except OSError:
            pass
        time.sleep(0.005)
    msg = f"nothing on port {port} after {seconds} s"
    raise RuntimeError(msg)


def end(process: subprocess.Popen[bytes]) -> None:
    """Terminate a process; kill it after a minute."""
    process.terminate()
    try:
        process.wait(60)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextmanager
def running(arguments: list[str], port: int, path: str | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server on the first core until the block ends."""
    process = subprocess.Popen([*pinned(0), *arguments], stdout=subprocess.DEVNULL)
    try:
        wait_for(port, process, path)
        yield process
    finally:
        end(process)


def rss(pid: int, figure: str = "VmRSS") -> int:
    """Return the resident bytes of a process (`VmHWM`: their maximum), or 0 if the system does not report them."""
    with open(f"/proc/{pid}/status", encoding="ascii") as status:  # noqa: PTH123
        for line in status:
            if line.startswith(f"{figure}:"):
                return int(line.split()[1]) * 1024
    return 0


class Sidecar:
    """A running sidecar: its ports, its process, and the seconds from start to ready."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, probe_port: int, ready: float) -> None:
        self.process = process
        self.port = port
        self.probe_port = probe_port
        self.ready = ready

    def rss(self) -> int:
        """Return the resident bytes of the sidecar's process."""
        return rss(self.process.pid)


@contextmanager
def sidecar(catalog: Path, subjects: Path, data: Path, *more: str) -> Iterator[Sidecar]:
    """Run `tiergate sidecar` on the first core until the block ends; yield when it is ready."""
    port, probe_port = free_port(), free_port()
    command = [sys.executable, "-m", "tiergate", "sidecar", "--catalog", str(catalog), "--subjects", str(subjects)]
    command += ["--data", str(data), "--port", str(port), "--probe-port", str(probe_port), "--log-level", "warning"]
    process = subprocess.Popen([*pinned(0), *command, *more], stdout=subprocess.DEVNULL)
    try:
        yield Sidecar(process, port, probe_port, wait_for(probe_port, process, "/readyz"))
    finally:
        end(process)


def ask(port: int, body: str, path: str = "/v1/check") -> tuple[bytes, bytes]:
    """Send one request over a raw socket; return head (with its blank line) and body of the response, unchanged."""
    request = (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n{body}"
    )
    with socket.create_connection(("127.0.0.1", port), 10) as connection:
        connection.sendall(request.encode())
        got = b""
        while b"\r\n\r\n" not in got:
            got += connection.recv(65_536)
        head, _, content = got.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: (\d+)", head)
        if length is None or not head.startswith(b"HTTP/1.1 200"):
            msg = f"unexpected answer: {got[:300]!r}"
            raise RuntimeError(msg)
        while len(content) < int(length[1]):
            content += connection.recv(65_536)
    return head + b"\r\n\r\n", content
