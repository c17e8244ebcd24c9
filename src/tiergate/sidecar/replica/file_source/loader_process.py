"""Run the loader in a worker process, with a deadline."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import msgspec

from tiergate.process.detached_threads import run_detached
from tiergate.process.worker import Worker, worker_command
from tiergate.sidecar.replica.file_source.load_job import LoadResult

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tiergate.sidecar.replica.file_source.load_job import LoadJob

LOADER: Final = worker_command("tiergate.sidecar.replica.file_source.loader")
"""The command that runs a `LoadJob`."""

_LAST_SECONDS: Final = 5.0


async def run_loader(job: LoadJob, command: Sequence[str] = LOADER, *, timeout: float = 1800.0) -> LoadResult:  # noqa: ASYNC109
    """Run a job in a worker. If the worker fails, the result has an error and nothing is replaced.

    `timeout`: seconds after which it has failed. Cancelling kills the worker.
    """
    try:
        worker = Worker(command)
    except OSError as error:
        return LoadResult(state=job.state, error=f"cannot start the loader: {error.strerror}")
    try:
        async with asyncio.timeout(timeout):
            lines = await run_detached(lambda: _run(worker, job), "loader")
    except TimeoutError:
        return LoadResult(state=job.state, error=f"the loader did not finish within {timeout:g} seconds")
    finally:
        worker.kill()
        with suppress(TimeoutError):  # a file system that hangs may delay its end
            async with asyncio.timeout(_LAST_SECONDS):
                await run_detached(worker.wait, "loader-end")
    failure = worker.failure()
    if failure is None:
        try:
            return msgspec.json.decode(lines[-1] if lines else b"", type=LoadResult)
        except msgspec.DecodeError:
            failure = "invalid result"
    return LoadResult(state=job.state, error=f"the loader failed: {failure}")


def _run(worker: Worker, job: LoadJob) -> list[bytes]:
    lines = list(worker.run(job))
    worker.wait()
    worker.close()
    return lines
