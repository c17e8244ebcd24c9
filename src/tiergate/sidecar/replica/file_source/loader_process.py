"""The loader's process, as the sidecar sees it: started, waited for, ended.

It is spawned by the standard library's `subprocess`, which neither copies this process's memory nor runs Python between
fork and exec, and has a session of its own, so that a Ctrl-C at the terminal is the sidecar's to handle.
"""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import msgspec

from tiergate.process.detached_threads import run_detached
from tiergate.sidecar.replica.file_source.load_job import LoadResult

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tiergate.sidecar.replica.file_source.load_job import LoadJob

LOADER: Final = (sys.executable, "-P", "-m", "tiergate.sidecar.replica.file_source.loader")
"""The command that does a `LoadJob`."""

_LAST_WORDS: Final = 2000
_LAST_SECONDS: Final = 5.0


async def run_loader(job: LoadJob, command: Sequence[str] = LOADER, *, timeout: float = 1800.0) -> LoadResult:  # noqa: ASYNC109
    """Have a process do a job. A process that fails has an outcome too: an error, and nothing replaced.

    One that takes more than `timeout` seconds has failed. Cancelling ends the process.
    """
    try:
        process = subprocess.Popen(  # noqa: ASYNC220, S603 - takes a millisecond; the command is our own
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except OSError as error:
        return LoadResult(standing=job.standing, error=f"the loader cannot be started: {error.strerror}")
    try:
        async with asyncio.timeout(timeout):
            said = await run_detached(lambda: _converse(process, msgspec.json.encode(job) + b"\n"), "loader")
    except TimeoutError:
        words = f"the files were not loaded within {timeout:g} seconds"
        return LoadResult(standing=job.standing, error=words)
    finally:
        process.kill()
        await _bury(process)
    if process.returncode == 0:
        try:
            return msgspec.json.decode(said.splitlines()[-1] if said else b"", type=LoadResult)
        except msgspec.DecodeError:
            pass
    return LoadResult(standing=job.standing, error=_failure(process.returncode, said))


async def _bury(process: subprocess.Popen[bytes]) -> None:
    """Wait for the end of a process that was killed; not for long, as a dead file system may hold it."""
    with suppress(TimeoutError):
        async with asyncio.timeout(_LAST_SECONDS):
            await run_detached(process.wait, "loader-end")


def _converse(process: subprocess.Popen[bytes], line: bytes) -> bytes:
    """Say the job, leave standard input open for as long as it is done, and hear everything."""
    if process.stdin is None or process.stdout is None:
        raise ValueError("the process has no pipes")
    try:
        process.stdin.write(line)
        process.stdin.flush()
    except BrokenPipeError:
        # It ended without listening. What is left to be written would be tried again, and fail, at the closing.
        with suppress(BrokenPipeError):
            process.stdin.close()
    with process.stdout:
        said = process.stdout.read()
    process.wait()
    with suppress(BrokenPipeError):
        process.stdin.close()
    return said


def _failure(status: int, said: bytes) -> str:
    words = said[-_LAST_WORDS:].decode(errors="replace").strip()
    if status < 0:
        try:
            name = signal.Signals(-status).name
        except ValueError:
            name = f"signal {-status}"
        return f"the loader was ended by {name}" + (f": {words}" if words else "")
    return f"the loader failed with status {status}: {words}"
