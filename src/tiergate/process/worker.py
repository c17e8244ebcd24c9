"""Worker processes: a process that does one job for the process that started it.

A worker reads its job as one line of JSON from standard input and writes lines of JSON to standard output; what it
writes to standard error explains a failure. It has a low priority and ends when its standard input ends, so that it
never outlives its parent. It has a session of its own: a Ctrl-C in the terminal is for its parent.

`subprocess` starts it, which neither copies the memory of the parent nor runs Python between fork and exec.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

T = TypeVar("T")

_NICENESS: Final = 10
_MAX_DIAGNOSTICS: Final = 2_000
_LAST_SECONDS: Final = 1.0


class Worker:
    """A started worker. Kill it, and close it, whatever happens."""

    def __init__(self, command: Sequence[str]) -> None:
        """Start the process.

        Raises:
            OSError: it cannot be started.
        """
        self._process = subprocess.Popen(  # noqa: S603 - the command is our own
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
        )
        self._diagnostics = b""
        self._reader = threading.Thread(target=self._read_errors, name="worker-errors", daemon=True)
        self._reader.start()

    def run(self, job: object) -> Iterator[bytes]:
        """Write a job and yield the lines of the answer, until the worker closes its standard output."""
        stdin, stdout = self._process.stdin, self._process.stdout
        if stdin is None or stdout is None:
            raise ValueError("a worker has pipes")
        with suppress(BrokenPipeError):  # it ended before it read the job; its exit status tells
            stdin.write(msgspec.json.encode(job) + b"\n")
            stdin.flush()  # stays open: the worker ends when this process ends
        yield from stdout

    def kill(self) -> None:
        """End the process, whatever it does."""
        self._process.kill()

    def wait(self) -> int:
        """Wait for the end of the process, and return its exit status."""
        return self._process.wait()

    def failure(self) -> str | None:
        """Describe how an ended worker failed, with the end of its standard error; `None` if it succeeded."""
        status = self._process.returncode
        if status == 0:
            return None
        self._reader.join(_LAST_SECONDS)
        text = self._diagnostics.decode(errors="replace").strip()
        return f"{status_text(status)}: {text}" if text else status_text(status)

    def close(self) -> None:
        """Close the pipes of an ended process."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):  # what was not written yet
                    pipe.close()

    def _read_errors(self) -> None:
        if self._process.stderr is None:
            return
        with self._process.stderr as stream:
            while part := os.read(stream.fileno(), 65536):
                self._diagnostics = (self._diagnostics + part)[-_MAX_DIAGNOSTICS:]


def worker_command(module: str) -> tuple[str, ...]:
    """Return the command that runs a module as a worker."""
    return (sys.executable, "-P", "-m", module)


def read_job(job_type: type[T]) -> T:
    """Read the job, as a worker: lower the priority of this process, and end it when standard input ends."""
    os.nice(_NICENESS)
    job = msgspec.json.decode(sys.stdin.buffer.readline(), type=job_type)
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    return job


def write_line(line: bytes) -> None:
    """Write a line of the answer, as a worker."""
    sys.stdout.buffer.write(line + b"\n")
    sys.stdout.buffer.flush()


def _exit_with_parent() -> None:
    while os.read(0, 4096):
        pass
    os._exit(1)


def status_text(status: int) -> str:
    """Describe the exit status of a process, as `subprocess` returns it."""
    if status > 0:
        return f"exit status {status}"
    try:
        return f"killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"killed by signal {-status}"
