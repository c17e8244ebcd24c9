"""Previews of a change: computed here, from files, or requested from a control plane."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from tiergate.cli.control_plane_client import read_problems
from tiergate.cli.output.console import show_activity, show_count
from tiergate.cli.output.errors import warn_problems
from tiergate.cli.output.preview import PreviewResult
from tiergate.cli.shared_options import read_instant
from tiergate.errors import PublishError, SettingsError, SyncError
from tiergate.wire.json import encode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tiergate.bundle import Bundle
    from tiergate.cli.commands.preview import PreviewInput
    from tiergate.cli.control_plane_client import ControlPlane
    from tiergate.impact.preview.subject_spool import RecordTable
    from tiergate.impact.preview.usage_data import UsageTable
    from tiergate.model import Instant, Problem

_MOST_SHOWN = 10
_PROGRESS = "checking customers"

_decode = msgspec.json.Decoder(dict[str, Any], float_hook=Decimal).decode


def preview_from_files(options: PreviewInput, control_plane: ControlPlane | None) -> PreviewResult:
    """Preview for the customers in files, or for those that a control plane exports.

    Raises:
        SettingsError: if an option is missing.
        AuthorError: if files have problems.
        OSError, OperatorError, RequestError, SyncError: if something cannot be read.
    """
    from tiergate.catalog import TotalBounds, read_subjects
    from tiergate.cli.diff_sources import DiffSource, open_side
    from tiergate.impact.preview.subject_effects import impact_data
    from tiergate.impact.preview.subject_spool import RecordTable, Spool
    from tiergate.impact.preview.usage_data import UsageTable
    from tiergate.impact.preview.worker_pool import preview_spool

    files, logs = options, options.log or []
    now, only_at = read_instant(None), None if options.at is None else read_instant(options.at)
    if control_plane is None and not (files.catalog and files.catalog_old and files.subjects):
        raise SettingsError("catalog", "`--catalog-old`, `--catalog` and `--subjects` are required without a key file")
    if files.catalog is not None and len(files.catalog) > 1:
        raise SettingsError("catalog", "must be one file or folder here")
    new_name, old_name = (files.catalog or ["pending"])[0], files.catalog_old or "published"
    rules_old = files.rules_old if files.rules_old is not None or files.catalog_old is None else files.rules
    with show_activity("reading both sides"):
        old = open_side(old_name, DiffSource(rules_old, control_plane))
        new = open_side(new_name, DiffSource(files.rules, control_plane))
    with ExitStack() as stack:
        usage, spool = stack.enter_context(UsageTable()), stack.enter_context(Spool())
        table = stack.enter_context(RecordTable()) if logs else None
        subjects = files.subjects or [_exported_subjects(stack, control_plane)]
        features = old.index.features.keys() | new.index.features.keys()
        _read_logged_usage(logs, usage)
        for path in files.usage or ():
            usage.read(path, features)
        with show_count("reading customers") as reading:
            spool.write(read_subjects(subjects, old.index, TotalBounds(old.index, old.definition)), reading)
        for _ in () if table is None else table.store_passing(spool.records()):
            pass
        impact_usage = usage if files.usage or logs else None
        listing = None if files.listing is None else stack.enter_context(files.listing.open("wb"))
        with show_count(_PROGRESS, spool.customers) as progress:
            impact = preview_spool(
                old, new, spool, now=now, at=only_at, usage=impact_usage, progress=progress, listing=listing
            )
        at = now if only_at is None else only_at
        denied = None if table is None else _new_denials(logs, old, new, table, at)
        return PreviewResult(impact_data(impact), {}, denied)


def _exported_subjects(stack: ExitStack, control_plane: ControlPlane | None) -> Path:
    if control_plane is None:
        raise SettingsError("subjects", "is required without a control plane")
    path = Path(stack.enter_context(tempfile.TemporaryDirectory()), "subjects.ndjson")
    with path.open("w", encoding="utf-8") as file:
        file.writelines(line + "\n" for line in control_plane.stream_lines("GET", "/v1/export/subjects"))
    return path


def _read_logged_usage(paths: Sequence[Path], usage: UsageTable) -> None:
    """Keep the usage in the last check of each subject."""
    from tiergate.impact.replay.decision_log_reader import open_log, read_log
    from tiergate.model import Subject

    for path in paths:
        with open_log(path) as lines:
            for recorded in read_log(lines, str(path), lambda _: None):
                check = recorded.check
                if check is not None and check.used is not None and check.subject.user is None:
                    usage.put(Subject(check.subject.id, check.subject.type), check.feature, check.used)


def _new_denials(logs: Sequence[Path], old: Bundle, new: Bundle, table: RecordTable, now: Instant) -> dict[str, Any]:
    """Find the recorded checks that the old side still allows and the new side denies."""
    from tiergate.impact.replay.decision_log_reader import find_new_denials, open_log, read_log

    problems: list[Problem] = []
    checks = times = unread = 0
    examples: list[dict[str, Any]] = []

    def note(problem: Problem) -> None:
        nonlocal unread
        unread += 1
        if len(problems) < _MOST_SHOWN:
            problems.append(problem)

    for path in logs:
        with open_log(path) as lines:
            recorded = read_log(lines, str(path), note)
            for denial in find_new_denials(recorded, new, table.find, now, baseline=old, tell=note):
                times += denial.by_change
                if not denial.by_change or denial.times > 1:
                    continue
                checks += 1
                if len(examples) < _MOST_SHOWN:
                    line = denial.recorded
                    request = msgspec.json.decode(line.request)
                    place = f"{line.file}:{line.line}"
                    examples.append({"at": place, "id": line.id, "request": request, "reason": denial.now.reason})
    if problems:
        warn_problems(problems)
    return {"checks": checks, "times": times, "unread": unread, "examples": examples}


def preview_on_control_plane(
    control_plane: ControlPlane, options: PreviewInput, selection: dict[str, object], *, prune: bool
) -> PreviewResult:
    """Request a preview of publishing, or applying, for the customers of a control plane.

    Raises:
        SettingsError: if options cannot be combined.
        PublishError: if the change has problems.
        AuthorError, OSError: if files cannot be read.
        RequestError, SyncError: if the control plane rejects the request, or breaks off.
    """
    from tiergate.cli.commands.apply import apply_body

    body: dict[str, object] = {} if options.at is None else {"at": options.at}
    if options.catalog:
        if selection:
            raise SettingsError("item", "selections as for `publish` cannot be combined with `--catalog`")
        body["apply"] = apply_body([Path(name) for name in options.catalog], options.rules, prune=prune)
    elif options.rules is not None or prune:
        raise SettingsError("catalog", "is required with `--rules` and `--prune`")
    else:
        body["publish"] = selection
    outcome: dict[str, Any] | None = None
    with ExitStack() as stack:
        file = None if options.listing is None else stack.enter_context(options.listing.open("wb"))
        progress = stack.enter_context(show_count(_PROGRESS))
        for line in control_plane.stream_lines("POST", "/v1/preview", body=body):
            message = _decode(line)
            if "progress" in message:
                progress(message["progress"]["examined"])
            elif "effect" not in message:
                outcome = message.get("outcome", outcome)
            elif file is not None:
                file.write(encode(message["effect"]) + b"\n")
    if outcome is None:
        raise SyncError("the control plane", "the response broke off: see its log")
    problems = read_problems(outcome["problems"])
    if problems:
        raise PublishError(problems)
    impact: dict[str, Any] | None = outcome.pop("impact", None)
    return PreviewResult(impact, outcome)
