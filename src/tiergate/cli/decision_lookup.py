"""Finds a decision in decision logs, to make it again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tiergate.cli.output.console import show_activity, warn
from tiergate.cli.replay_sources import ReplayRequest
from tiergate.errors import CheckError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tiergate.impact.replay.decision_log_reader import RecordedDecision
    from tiergate.model import Problem


def find_decision(id_: str, logs: Sequence[Path]) -> RecordedDecision:
    """Find the line of a decision.

    Raises:
        CheckError: if none of the logs has it, or its line cannot be read.
        OSError: if a log cannot be read.
    """
    from tiergate.impact.replay.decision_log_reader import open_log, read_log

    if not logs:
        raise SettingsError("log", "is required with the ID of a decision")
    problems: list[Problem] = []
    parts: list[str] = []
    with show_activity("reading the log"):
        for path in logs:
            with open_log(path) as lines:
                for recorded in read_log(lines, str(path), problems.append, holding=f'"{id_}'.encode()):
                    if recorded.id == id_:
                        return recorded
                    if recorded.id.startswith(f"{id_}."):
                        parts.append(recorded.id)
    raise CheckError("", _not_found(id_, logs, problems, parts))


def _not_found(id_: str, logs: Sequence[Path], problems: Sequence[Problem], parts: Sequence[str]) -> str:
    if parts:
        last = f" to `{parts[-1]}`" if len(parts) > 1 else ""
        return f"`{id_}` is a batch: give one of its decisions, `{parts[0]}`{last}"
    if problems:
        return f"the line of `{id_}` cannot be read: {problems[0]}"
    names = ", ".join(f"`{path}`" for path in logs)
    return (
        f"no decision `{id_}` in {names}: it may be in another file, or the log's filter, its sample or a full queue "
        "left it out"
    )


def replay_request(recorded: RecordedDecision) -> ReplayRequest:
    """Return the request that makes a recorded decision again.

    Raises:
        CheckError: if its subject is masked, or the sidecar had no data.
    """
    place = f"{recorded.file}:{recorded.line}"
    if recorded.check is None:
        detail = f"{place}: the subject is masked: use `--subject`, `--feature` and `--at`"
        raise CheckError("", detail)
    if recorded.basis is not None and not recorded.basis.loaded:
        raise CheckError("", f"{place}: the sidecar had not loaded data: there is no decision to make again")
    if recorded.basis is None:
        warn(f"{place}: the line does not have what the decision was made from; using its instant", "yellow")
    verdict = recorded.verdict
    publication, revision = verdict.publication, verdict.revision
    return ReplayRequest(recorded.check, recorded.request, recorded.at, publication, revision, recorded.basis)
