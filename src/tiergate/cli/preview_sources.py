"""How `preview` finds what it tells: here, from files, or by asking a control plane."""

from __future__ import annotations

import tempfile
import time
from contextlib import ExitStack, contextmanager
from decimal import Decimal
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

import msgspec

from tiergate.errors import PublishError, SettingsError, SyncError
from tiergate.wire.json import encode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tiergate.bundle import Bundle
    from tiergate.cli.control_plane_client import ControlPlane
    from tiergate.impact.preview.subject_spool import RecordTable
    from tiergate.impact.preview.usage_data import UsageTable
    from tiergate.model import Instant, Problem

_SHOWN = 10
_EVERY = 5.0
"""Seconds between two lines about how far it is, where nobody watches at a terminal."""

_decode = msgspec.json.Decoder(dict[str, Any], float_hook=Decimal).decode


class Local(NamedTuple):
    """What is looked at here: both sides, customers, what they have used, and where the single effects go."""

    catalog: list[str] | None
    catalog_old: str | None
    subjects: list[Path]
    rules: Path | None
    rules_old: Path | None
    usage: list[Path]
    log: list[Path]
    listing: Path | None
    now: Instant


class Found(NamedTuple):
    """What was found: the tally; what would be published, where it was asked of a control plane; and of a log."""

    impact: dict[str, Any] | None
    outcome: dict[str, Any]
    denied: dict[str, Any] | None = None

    @property
    def takes(self) -> bool:
        """Say whether something is taken from somebody."""
        lost = self.impact is not None and bool(self.impact["customers"]["take"])
        return lost or (self.denied is not None and bool(self.denied["checks"]))


# ── from files ───────────────────────────────────────────────────────────────────────────────────────────────────────


def on_files(local: Local, at: Instant | None, asked: ControlPlane | None) -> Found:
    """Look at the customers of files, or of those that a control plane exports.

    Raises:
        SettingsError: something is missing.
        AuthorError: files have problems.
        OSError, OperatorError, RequestError, SyncError: something cannot be read.
    """
    from tiergate.catalog import TotalBounds, read_subjects
    from tiergate.cli.diff_sources import Source, open_side
    from tiergate.cli.output.console import working
    from tiergate.impact.preview.subject_effects import impact_data
    from tiergate.impact.preview.subject_spool import RecordTable, Spool
    from tiergate.impact.preview.usage_data import UsageTable
    from tiergate.impact.preview.worker_pool import preview_spool

    if asked is None and not (local.catalog and local.catalog_old and local.subjects):
        raise SettingsError("catalog", "`--catalog-old`, `--catalog` and `--subjects` are required without a key file")
    if local.catalog is not None and len(local.catalog) > 1:
        raise SettingsError("catalog", "must be one file or folder here")
    new_name, old_name = (local.catalog or ["pending"])[0], local.catalog_old or "published"
    rules_old = local.rules_old if local.rules_old is not None or local.catalog_old is None else local.rules
    with working("reading both sides"):
        old = open_side(old_name, Source(rules_old, asked))
        new = open_side(new_name, Source(local.rules, asked))
    with ExitStack() as opened:
        figures, spool = opened.enter_context(UsageTable()), opened.enter_context(Spool())
        table = opened.enter_context(RecordTable()) if local.log else None
        subjects = local.subjects or [_exported(opened, asked)]
        features = old.index.features.keys() | new.index.features.keys()
        if local.log:
            _read_logs(local.log, figures)
        for path in local.usage:
            figures.read(path, features)
        with counting("reading customers") as reading:
            spool.write(read_subjects(subjects, old.index, TotalBounds(old.index, old.definition)), reading)
        for _ in () if table is None else table.store_passing(spool.records()):
            pass
        usage = figures if local.usage or local.log else None
        listing = None if local.listing is None else opened.enter_context(local.listing.open("wb"))
        with counting("asking about customers", spool.customers) as progress:
            impact = preview_spool(
                old, new, spool, now=local.now, at=at, usage=usage, progress=progress, listing=listing
            )
        denied = None if table is None else _denied(local, old, new, table, local.now if at is None else at)
        return Found(impact_data(impact), {}, denied)


def _exported(opened: ExitStack, asked: ControlPlane | None) -> Path:
    if asked is None:
        raise SettingsError("subjects", "is required without a control plane")
    path = Path(opened.enter_context(tempfile.TemporaryDirectory()), "subjects.ndjson")
    with path.open("w", encoding="utf-8") as file:
        file.writelines(line + "\n" for line in asked.stream("GET", "/v1/export/subjects"))
    return path


def _read_logs(paths: Sequence[Path], figures: UsageTable) -> None:
    """Keep what subjects had used when they were last asked about."""
    from tiergate.impact.replay.decision_log_reader import open_log, read_log
    from tiergate.model import Subject

    for path in paths:
        with open_log(path) as lines:
            for recorded in read_log(lines, str(path), lambda _: None):
                check = recorded.check
                if check is not None and check.used is not None and check.subject.user is None:
                    figures.put(Subject(check.subject.id, check.subject.type), check.feature, check.used)


def _denied(local: Local, old: Bundle, new: Bundle, table: RecordTable, now: Instant) -> dict[str, Any]:
    """Which checks of the logs were allowed, are so still, and would be denied."""
    from tiergate.cli.output.errors import warn_problems
    from tiergate.impact.replay.decision_log_reader import find_new_denials, open_log, read_log

    problems: list[Problem] = []
    checks = times = told = 0
    examples: list[dict[str, Any]] = []

    def tell(problem: Problem) -> None:
        nonlocal told
        told += 1
        if len(problems) < _SHOWN:
            problems.append(problem)

    for path in local.log:
        with open_log(path) as lines:
            found = find_new_denials(read_log(lines, str(path), tell), new, table.find, now, baseline=old, tell=tell)
            for one in found:
                if not one.by_change:
                    continue
                times += 1
                if one.times > 1:
                    continue
                checks += 1
                if len(examples) < _SHOWN:
                    request = msgspec.json.decode(one.recorded.request)
                    place = f"{one.recorded.file}:{one.recorded.line}"
                    examples.append({"at": place, "id": one.recorded.id, "request": request, "reason": one.now.reason})
    if problems:
        warn_problems(problems)
    return {"checks": checks, "times": times, "unread": told, "examples": examples}


# ── from a control plane ─────────────────────────────────────────────────────────────────────────────────────────────


def on_control_plane(
    asked: ControlPlane,
    catalog: Sequence[str],
    rules: Path | None,
    choice: dict[str, object],
    *,
    prune: bool,
    at: str | None,
    listing: Path | None,
) -> Found:
    """Ask a control plane what publishing, or applying, would do to its customers.

    Raises:
        SettingsError: options do not go with each other.
        PublishError: something stands against it.
        AuthorError, OSError: files cannot be read.
        RequestError, SyncError: it refuses, or breaks off.
    """
    from tiergate.cli.commands.apply import application
    from tiergate.cli.control_plane_client import problems_of

    body: dict[str, object] = {} if at is None else {"at": at}
    if catalog:
        if choice:
            raise SettingsError("item", "choices as for `publish` do not go with `--catalog`")
        body["apply"] = application([Path(name) for name in catalog], rules, prune=prune)
    elif rules is not None or prune:
        raise SettingsError("catalog", "is required with `--rules` and `--prune`")
    else:
        body["publish"] = choice
    outcome: dict[str, Any] | None = None
    with _written(listing) as write, counting("asking about customers") as progress:
        for line in asked.stream("POST", "/v1/preview", body=body):
            said = _decode(line)
            if "progress" in said:
                progress(said["progress"]["examined"])
            elif "effect" in said:
                write(said["effect"])
            else:
                outcome = said.get("outcome", outcome)
    if outcome is None:
        raise SyncError("the control plane", "the answer broke off: its log says why")
    problems = problems_of(outcome["problems"])
    if problems:
        raise PublishError(problems)
    impact: dict[str, Any] | None = outcome.pop("impact", None)
    return Found(impact, outcome)


# ── what is told ─────────────────────────────────────────────────────────────────────────────────────────────────────


def tell(found: Found, *, as_json: bool) -> None:
    """Tell what was found."""
    from tiergate.cli.output.changeset import tell_changes
    from tiergate.cli.output.console import say
    from tiergate.cli.output.impact import tell_impact

    if as_json:
        said = found.outcome | ({} if found.impact is None else {"impact": found.impact})
        said |= {} if found.denied is None else {"denied": found.denied}
        say(msgspec.json.format(encode(said), indent=2).decode())
        return
    tell_changes(found.outcome.get("changes", ()))
    if found.impact is None:
        say(
            "nothing is published yet: no customer can lose anything"
            if found.outcome.get("changes")
            else "nothing changes"
        )
    else:
        tell_impact(found.impact)
        if "accept_loss" in found.outcome:
            say(f"to accept exactly this loss: --accept-loss {found.outcome['accept_loss']}")
    if found.denied is not None:
        checks, times = found.denied["checks"], found.denied["times"]
        what = "check that was" if checks == 1 else "checks that were"
        say(f"{checks:,} recorded {what} allowed would be denied ({times:,} times in the log)")
        for one in found.denied["examples"]:
            say(f"    {one['at']}: {encode(one['request']).decode()}: {one['reason']}")


@contextmanager
def counting(what: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
    """Show on standard error how far it is: a bar at a terminal, else a line every few seconds."""
    import sys

    from tiergate.cli.output.console import console, warn

    if not sys.stderr.isatty():
        told = time.monotonic()

        def line(count: int) -> None:
            nonlocal told
            if time.monotonic() - told >= _EVERY:
                told = time.monotonic()
                warn(f"{what}: {count:,}" + (f" of {total:,}" if total else ""))

        yield line
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, console=console(sys.stderr), transient=True) as shown:
        task = shown.add_task(what, total=total)
        yield lambda count: shown.update(task, completed=count)


@contextmanager
def _written(path: Path | None) -> Iterator[Callable[[dict[str, Any]], None]]:
    if path is None:
        yield lambda _: None
        return
    file: IO[bytes]
    with path.open("wb") as file:
        yield lambda entry: _write(file, entry)


def _write(file: IO[bytes], entry: dict[str, Any]) -> None:
    file.write(encode(entry) + b"\n")
