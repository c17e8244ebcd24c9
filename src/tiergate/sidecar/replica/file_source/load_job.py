"""The job of the loader's process, and its result. Both are one line of JSON."""

from __future__ import annotations

from typing import Final

import msgspec

from tiergate.model import Problem
from tiergate.sidecar.replica.file_source.source_files import Sources
from tiergate.sidecar.replica.loaded_state import FileStamp, LoadedState

MAX_PROBLEMS: Final = 200
"""Most problems in a result; it counts all of them."""


class LoadJob(msgspec.Struct, frozen=True):
    """The files to load, the data directory, and the state in it. `verify`: verify first that its data is undamaged.

    `strict`: one problem in the subjects rejects all of them.
    """

    sources: Sources
    data: str
    state: LoadedState | None = None
    verify: bool = False
    strict: bool = False


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
