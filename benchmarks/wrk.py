"""Drive a server with wrk from the second core."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.processes import pinned

if TYPE_CHECKING:
    from pathlib import Path

_RATE = re.compile(r"Requests/sec:\s+([\d.]+)")
_PERCENTILE = re.compile(r"^\s+(50|99)%\s+([\d.]+)(us|ms|s|m) *$", re.MULTILINE)
_WRONG_STATUS = re.compile(r"Non-2xx or 3xx responses: \d+")
_SOCKET_ERRORS = re.compile(r"Socket errors: .*")
_MILLISECONDS = {"us": 1e-3, "ms": 1.0, "s": 1e3, "m": 6e4}


@dataclass(frozen=True)
class Load:
    """The requests per second of one run, and the latency of its responses in milliseconds."""

    rate: float
    median_ms: float
    p99_ms: float


def drive(port: int, script: Path, seconds: float, connections: int = 16, *, any_status: bool = False) -> Load:
    """Run wrk with a script for whole seconds, at least one.

    `any_status`: a status other than 2xx or 3xx is an answer too.

    Raises:
        RuntimeError: If wrk is missing, or a response is an error.
    """
    if shutil.which("wrk") is None:
        msg = "wrk is needed (Debian: apt-get install wrk)"
        raise RuntimeError(msg)
    command = [*pinned(1), "wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--latency"]
    command += ["--timeout", "10s", "-s", str(script), f"http://127.0.0.1:{port}/"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return read_output(done.stdout, any_status=any_status)


def read_output(output: str, *, any_status: bool = False) -> Load:
    """Read what wrk printed.

    Raises:
        RuntimeError: If a response is an error, or there is no rate.
    """
    wrong = _SOCKET_ERRORS.search(output) or (None if any_status else _WRONG_STATUS.search(output))
    if wrong:
        raise RuntimeError(wrong[0])
    rate = _RATE.search(output)
    latency = {share: float(figure) * _MILLISECONDS[unit] for share, figure, unit in _PERCENTILE.findall(output)}
    if rate is None or latency.keys() != {"50", "99"}:
        msg = f"wrk printed no rate or no latency: {output[-300:]!r}"
        raise RuntimeError(msg)
    return Load(float(rate[1]), latency["50"], latency["99"])
