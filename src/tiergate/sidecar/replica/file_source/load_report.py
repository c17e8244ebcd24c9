"""Reporting on the loads of file mode: for `/status`, the metrics and the log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import structlog
from msgspec.structs import replace

from tiergate.sidecar.replica.file_source.source_files import MISSING
from tiergate.sidecar.state import SourceReport, StatusReport

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tiergate.model import Instant, Problem
    from tiergate.sidecar.replica.file_source.loader_process import LoadResult
    from tiergate.sidecar.replica.file_source.source_files import Sources
    from tiergate.sidecar.replica.loaded_state import FileStamp, ReplicaFile

_LOGGED_PROBLEMS: Final = 20
_REDACTED: Final = "see the log: the message may name a customer"

_log = structlog.get_logger(__name__)


class LoadReport:
    """The report of file mode, kept up to date by the follower."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._quarantine_problems: tuple[Problem, ...] = ()
        self.status = StatusReport(mode="files", sources=_source_reports(sources, ()), loading=True)

    def begin(self, stamps: Sequence[FileStamp]) -> None:
        """Note the begin of a load of files with these stamps."""
        self.status = replace(self.status, loading=True, sources=_source_reports(self._sources, stamps))

    def set_active(self, file: ReplicaFile) -> None:
        """Set the active replica."""
        self.status = replace(
            self.status, customers=file.customers, subscriptions=file.subscriptions, quarantined=file.quarantined
        )
        if file.problems == self._quarantine_problems:
            return
        self._quarantine_problems = file.problems
        for problem in file.problems[:_LOGGED_PROBLEMS]:
            _log.warning("problem in a record; its customer is in quarantine", problem=str(problem))
        if file.quarantined:
            _log.warning(
                "subjects in quarantine",
                count=file.quarantined,
                in_force="their earlier records; without one, their checks are evaluation_error",
            )
        else:
            _log.info("no subjects in quarantine any more")

    def interrupt(self) -> None:
        """Note a load that ended because a file was rewritten during every read."""
        self.status = replace(self.status, abandoned=self.status.abandoned + 1)
        _log.warning("a file was rewritten during every read; reading again")

    def end(self, result: LoadResult, seconds: float, now: Instant, *, serving: bool) -> None:
        """Note the end of a load at `now` after `seconds`. `serving`: some publication is active."""
        error = _summary(result)
        public = replace(result, problems=tuple(self._redact(problem) for problem in result.problems))
        quarantine = () if public.problems else tuple(self._redact(problem) for problem in self._quarantine_problems)
        status = replace(self.status, loading=False, error=_summary(public), problems=public.problems or quarantine)
        if error is None:
            self.status = replace(status, loads=status.loads + 1, loaded_at=now, load_seconds=round(seconds, 3))
            _log.info("loaded", seconds=round(seconds, 3))
            return
        self.status = replace(status, failures=status.failures + 1, failed_at=now)
        for problem in result.problems[:_LOGGED_PROBLEMS]:
            _log.error("problem in a file", problem=str(problem))
        _log.error(
            "load failed",
            error=error,
            in_force="the last good state" if serving else "nothing: checks cannot be decided until this is fixed",
        )

    def _redact(self, problem: Problem) -> Problem:
        """Return a problem as the probe port may show it: without content of a subjects file."""
        if not any(problem.file == path or problem.file.startswith(f"{path}/") for path in self._sources.subjects):
            return problem
        return replace(problem, message=_REDACTED)


def _summary(result: LoadResult) -> str | None:
    """Return why a load failed, in one line; none if it succeeded."""
    if result.error is not None:
        return result.error
    if not result.problems:
        return None
    more = result.problem_count - 1
    return str(result.problems[0]) + (f" (and {more} more)" if more > 0 else "")


def _source_reports(sources: Sources, stamps: Sequence[FileStamp]) -> tuple[SourceReport, ...]:
    locations = [("catalog", path) for path in sources.catalog]
    locations += [("rules", sources.rules)] if sources.rules else []
    locations += [("subjects", path) for path in sources.subjects]
    return tuple(
        SourceReport(kind=kind, location=location, changed_at=_changed_at(location, stamps))
        for kind, location in locations
    )


def _changed_at(location: str, stamps: Sequence[FileStamp]) -> Instant | None:
    inside = (stamp for stamp in stamps if stamp.path == location or stamp.path.startswith(location + "/"))
    return max((stamp.mtime_ns // 1_000_000 for stamp in inside if stamp.size != MISSING), default=None)
