"""Processes that others start, and end."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

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
