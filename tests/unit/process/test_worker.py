"""Tests of `tiergate.process.worker`: real processes."""

from __future__ import annotations

import os
import select
import subprocess
import sys

import pytest

from tiergate.process.worker import Worker, worker_command

ECHO = """
import json, os
from tiergate.process.worker import read_job, write_line
job = read_job(dict[str, int])
write_line(json.dumps(job).encode())
write_line(str(os.nice(0)).encode())
"""

WAITING = """
import time
from tiergate.process.worker import read_job, write_line
read_job(dict[str, int])
write_line(b"begun")
time.sleep(60)
"""


def run(code: str) -> tuple[list[bytes], str | None]:
    """Run code as a worker that gets a small job."""
    worker = Worker([sys.executable, "-c", code])
    try:
        lines = list(worker.run({"a": 1}))
        worker.wait()
        return lines, worker.failure()
    finally:
        worker.close()


def test_a_worker_reads_a_job_and_writes_lines_with_a_low_priority() -> None:
    """Its answer comes line by line, and nothing failed."""
    lines, failure = run(ECHO)
    assert lines == [b'{"a": 1}\n', f"{min(19, os.nice(0) + 10)}\n".encode()]
    assert failure is None


@pytest.mark.parametrize(
    ("code", "failure"),
    [
        ("raise SystemExit('no memory')", "exit status 1: no memory"),
        ("raise SystemExit(3)", "exit status 3"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "killed by SIGKILL"),
        ("import sys; sys.stderr.write('x' * 100_000); sys.exit(1)", f"exit status 1: {'x' * 2000}"),
    ],
)
def test_a_failure_has_the_status_and_the_end_of_standard_error(code: str, failure: str) -> None:
    """A worker that does not read its job is a failure like others."""
    assert run(code) == ([], failure)


def test_a_worker_ends_with_its_parent() -> None:
    """When the parent is gone, standard input ends, and so does the worker."""
    code = f"""
import os, sys
from tiergate.process.worker import Worker
worker = Worker([sys.executable, "-c", {WAITING!r}])
next(worker.run({{}}))
print(worker._process.pid, flush=True)
os._exit(0)
"""
    parent = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    try:
        ended = os.pidfd_open(int(parent.stdout))
    except ProcessLookupError:
        return
    try:
        assert select.select([ended], [], [], 30)[0]
    finally:
        os.close(ended)


def test_the_command_of_a_module_runs_this_python() -> None:
    """Nothing of the working directory is imported."""
    assert worker_command("tiergate") == (sys.executable, "-P", "-m", "tiergate")
