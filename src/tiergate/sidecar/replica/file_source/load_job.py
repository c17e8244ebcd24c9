"""What is asked of the loader's process, and what it answers. Both cross as one line of JSON."""

from __future__ import annotations

from typing import Final

import msgspec

from tiergate.model import Problem
from tiergate.sidecar.replica.data_directory import LoadedState
from tiergate.sidecar.replica.file_source.source_files import FileStamp, Sources

MAX_PROBLEMS: Final = 200
"""How many problems an outcome names; it counts them all."""


class LoadJob(msgspec.Struct, frozen=True):
    """What to load, where to put it, and what stands there. `verify`: prove first that what stands is undamaged.

    `strict`: one problem in the subjects refuses all of them.
    """

    sources: Sources
    data: str
    standing: LoadedState | None = None
    verify: bool = False
    strict: bool = False


class LoadResult(msgspec.Struct, frozen=True, kw_only=True):
    """What a load came to.

    `standing`: what shall be in force; it equals the job's, stamps of files apart, where nothing is to be replaced, and
    is none where nothing can be. `problems`: what authors must mend, `problem_count` in all. `error`: what the operator
    must mend; the load is worth another try. `changed`: the files were rewritten under the reading, which must be
    repeated. `stamps`: the files as they were read.
    """

    standing: LoadedState | None = None
    problems: tuple[Problem, ...] = ()
    problem_count: int = 0
    error: str | None = None
    changed: bool = False
    stamps: tuple[FileStamp, ...] = ()
