"""Processes that others start, and end."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tiergate.process import server_process
from tiergate.process.server_process import find_port, find_ports

if TYPE_CHECKING:
    from pathlib import Path

_STARTS = """
import os, signal, subprocess, sys
from tiergate.process import server_process
from tiergate.process.termination import install_signal_handlers

install_signal_handlers(serves=True)
real = subprocess.Popen

def told_meanwhile(*arguments, **options):
    process = real(*arguments, **options)
    print(process.pid, flush=True)
    os.kill(os.getpid(), signal.{signal})
    return process

subprocess.Popen = told_meanwhile
with server_process.start_server(["--catalog", sys.argv[1], "--port", "0", "--probe-port", "0"]):
    print("goes on", flush=True)
"""


@pytest.mark.parametrize("signal", ["SIGTERM", "SIGINT"])
def test_a_signal_while_a_process_is_started_ends_both(signal: str, tmp_path: Path) -> None:
    """It is held back until somebody would end the other one, and is not lost."""
    catalog = tmp_path / "catalog.yaml"
    catalog.write_text("apiVersion: tiergate/v1\nfeatures: []\nitems: []\n")
    program = _STARTS.replace("{signal}", signal)
    found = subprocess.run(
        [sys.executable, "-c", program, str(catalog)], capture_output=True, text=True, timeout=60, check=False
    )
    assert (found.returncode, found.stderr) == (0, "")
    (started,) = found.stdout.split()
    with pytest.raises(ProcessLookupError):
        os.kill(int(started), 0)


def test_a_free_port_is_none_that_a_connection_may_get() -> None:
    """Between its choice and its use, an outgoing connection of another process cannot take it."""
    first = int(server_process._CONNECTION_PORTS.read_text().split()[0])
    found = {find_port(0), *find_ports(0)}
    assert len(found) > 1
    assert all(port < first for port in found)


def test_a_free_port_is_found_where_connections_may_get_any(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A system may give nearly all ports to connections, or not say which."""
    ports = tmp_path / "ip_local_port_range"
    monkeypatch.setattr(server_process, "_CONNECTION_PORTS", ports)
    assert find_port(0) > 0
    ports.write_text("1024\t65535\n")
    assert find_port(0) > 0
