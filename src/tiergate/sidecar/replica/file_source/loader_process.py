"""Running the loader in a process of its own, with a deadline. Its job and its result are a line of JSON each."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import msgspec

from tiergate.model import Problem
from tiergate.process.detached_threads import run_detached
from tiergate.process.worker import Worker, worker_command
from tiergate.sidecar.replica.file_source.source_files import Sources
from tiergate.sidecar.replica.loaded_state import FileStamp, LoadedState

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_PROBLEMS: Final = 200
"""Most problems in a result; it counts all of them."""

LOADER: Final = worker_command("tiergate.sidecar.replica.file_source.loader")
"""The command that runs a `LoadJob`."""

_LAST_SECONDS: Final = 5.0


class LoadJob(msgspec.Struct, frozen=True):
    """The files to load, the data directory, and the state in it. `verify`: verify first that its data is undamaged.

    `strict`: one problem in the subjects rejects all of them. `limit`: how many bytes the data directory may take.
    """

    sources: Sources
    data: str
    state: LoadedState | None = None
    verify: bool = False
    strict: bool = False
    limit: int | None = None


class LoadResult(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a load.

    `state`: the state to activate. It equals the job's, apart from stamps, if nothing changed, and is none if there is
    nothing usable. `problems`: for the authors of the files, `problem_count` in all. `error`: for the operator; the
    load is tried again. `changed`: files were rewritten during every read; the load must be repeated. `stamps`: of the
    files as they were read.
    """

    state: LoadedState | None = None
    problems: tuple[Problem, ...] = ()
    problem_count: int = 0
    error: str | None = None
    changed: bool = False
    stamps: tuple[FileStamp, ...] = ()


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
