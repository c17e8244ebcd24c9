"""How a load's outcome is told: in the report behind `/status` and the metrics, and in the log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import structlog
from msgspec.structs import replace

from tiergate.sidecar.replica.file_source.source_files import MISSING
from tiergate.sidecar.state import SourceReport, StatusReport

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tiergate.model import Instant, Problem
    from tiergate.sidecar.replica.builder import ReplicaFile
    from tiergate.sidecar.replica.file_source.load_job import LoadResult
    from tiergate.sidecar.replica.file_source.source_files import FileStamp, Sources

_LOGGED_PROBLEMS: Final = 20
_IN_THE_LOG: Final = "what is wrong may name a customer, so that it stands in the log alone"

_log = structlog.get_logger(__name__)


class LoadReport:
    """The newest report, kept up to date by file mode."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._set_aside: tuple[Problem, ...] = ()
        self.status = StatusReport(mode="files", sources=_source_reports(sources, ()), loading=True)

    def begin(self, stamps: Sequence[FileStamp]) -> None:
        """A load of the files with these stamps begins."""
        self.status = replace(self.status, loading=True, sources=_source_reports(self._sources, stamps))

    def hold(self, file: ReplicaFile) -> None:
        """These subjects are in force now."""
        self.status = replace(
            self.status, customers=file.customers, subscriptions=file.subscriptions, quarantined=file.quarantined
        )
        if file.problems == self._set_aside:
            return
        self._set_aside = file.problems
        for problem in file.problems[:_LOGGED_PROBLEMS]:
            _log.warning("problem in a record: its customer is in quarantine", problem=str(problem))
        if file.quarantined:
            _log.warning(
                "subjects in quarantine",
                count=file.quarantined,
                in_force="their earlier records; where there are none, their checks are evaluation_error",
            )
        else:
            _log.info("no subject is in quarantine any more")

    def interrupt(self) -> None:
        """The load came to nothing because a file was rewritten while it was read."""
        self.status = replace(self.status, abandoned=self.status.abandoned + 1)
        _log.warning("a file was rewritten in place whenever it was read; reading again")

    def end(self, outcome: LoadResult, seconds: float, now: Instant, *, serving: bool) -> None:
        """A load ended at `now` after `seconds`; `serving`: there is something in force, whatever it came to."""
        error = _summary(outcome)
        open_ = replace(outcome, problems=tuple(self._unnamed(problem) for problem in outcome.problems))
        set_aside = () if open_.problems else tuple(self._unnamed(problem) for problem in self._set_aside)
        status = replace(self.status, loading=False, error=_summary(open_), problems=open_.problems or set_aside)
        if error is None:
            self.status = replace(status, loads=status.loads + 1, loaded_at=now, load_seconds=round(seconds, 3))
            _log.info("loaded", seconds=round(seconds, 3))
            return
        self.status = replace(status, failures=status.failures + 1, failed_at=now)
        for problem in outcome.problems[:_LOGGED_PROBLEMS]:
            _log.error("problem in a file", problem=str(problem))
        _log.error(
            "load failed",
            error=error,
            in_force="the last good state" if serving else "nothing: no check can be decided until this is mended",
        )

    def _unnamed(self, problem: Problem) -> Problem:
        """A problem as it may be told to whoever asks on the probe port: nothing of what a subjects file says."""
        if not any(problem.file == path or problem.file.startswith(f"{path}/") for path in self._sources.subjects):
            return problem
        return replace(problem, message=_IN_THE_LOG)


def _summary(outcome: LoadResult) -> str | None:
    """Why a load failed, in one line; none where it did not."""
    if outcome.error is not None:
        return outcome.error
    if not outcome.problems:
        return None
    more = outcome.problem_count - 1
    return str(outcome.problems[0]) + (f" (and {more} more)" if more > 0 else "")


def _source_reports(sources: Sources, stamps: Sequence[FileStamp]) -> tuple[SourceReport, ...]:
    named = [("catalog", path) for path in sources.catalog]
    named += [("rules", sources.rules)] if sources.rules else []
    named += [("subjects", path) for path in sources.subjects]
    return tuple(
        SourceReport(kind=kind, location=location, changed_at=_changed_at(location, stamps)) for kind, location in named
    )


def _changed_at(location: str, stamps: Sequence[FileStamp]) -> Instant | None:
    inside = (stamp for stamp in stamps if stamp.path == location or stamp.path.startswith(location + "/"))
    return max((stamp.mtime_ns // 1_000_000 for stamp in inside if stamp.size != MISSING), default=None)
