"""`tiergate replay`: a decision of the past made again, and why it was so; and what it would be today."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tiergate.cli.check_options import (
    AmountOption,
    IsSubscription,
    LevelOption,
    UsedOption,
    UserOption,
    UserUsedOption,
    ValueOption,
)
from tiergate.cli.control_plane_client import DEFAULT_URL, ControlPlaneUrl, OptionalKeyFile
from tiergate.cli.local_engine import CatalogFiles, DataFolder
from tiergate.cli.shared_options import AsJson, RulesFolder
from tiergate.errors import CallerError, CheckError, SettingsError, SyncError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tiergate.cli.replay_sources import Asked, Past, Replayed
    from tiergate.impact.replay.decision_log_reader import RecordedDecision
    from tiergate.model import Check, Instant, Problem

app = typer.Typer()


@app.command()
def replay(
    id_: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="The decision's id: the answer's header, the line's `id`.")
    ] = None,
    *,
    log: Annotated[
        list[Path] | None,
        typer.Option("--log", metavar="FILE", help="A decision log, also `.gz` or `-`; may be given several times."),
    ] = None,
    subject: Annotated[
        str | None, typer.Option("--subject", metavar="ID", help="Without a log: whom the check was about.")
    ] = None,
    feature: Annotated[
        str | None, typer.Option("--feature", metavar="ID", help="Without a log: the feature that was asked about.")
    ] = None,
    at: Annotated[
        str | None, typer.Option(metavar="INSTANT", help="Without a log: when, such as 2026-11-17T14:03:00Z.")
    ] = None,
    amount: AmountOption = None,
    used: UsedOption = None,
    value: ValueOption = None,
    level: LevelOption = None,
    subscription: IsSubscription = False,
    user: UserOption = None,
    user_used: UserUsedOption = None,
    control_plane: ControlPlaneUrl = DEFAULT_URL,
    key_file: OptionalKeyFile = None,
    catalog: CatalogFiles = None,
    subjects_file: Annotated[
        list[Path] | None,
        typer.Option(
            "--subjects", metavar="FILE", help="A subjects file; not needed where the log holds the subjects' records."
        ),
    ] = None,
    rules: RulesFolder = None,
    data: DataFolder = None,
    today: Annotated[
        bool, typer.Option("--today", help="Say too what the same check would be told now, and what differs.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Make a decision of the past again, and say why it was so. Exit code 1: it did not come out as recorded.

    A line of a decision log says what its decision rested on, and the control plane kept that: the decision is the
    same, byte by byte. Without a log, `--subject`, `--feature` and `--at` ask what the store would have decided then.
    """
    from tiergate.cli.check_options import question
    from tiergate.cli.exit_codes import ExitCode
    from tiergate.cli.output.replay import is_same, say_replay, tell_replay
    from tiergate.cli.shared_options import instant

    recorded: RecordedDecision | None = None
    told = {"--subject": subject, "--feature": feature, "--at": at, "--amount": amount, "--used": used}
    told |= {"--value": value, "--level": level, "--user": user, "--user-used": user_used}
    if id_ is not None:
        said = [name for name, given in told.items() if given is not None] + ["--subscription"] * subscription
        if said:
            raise SettingsError(said[0].strip("-"), "stands in the log already: an ID comes without it")
        recorded = _find(id_, log or ())
        asked = _asked(recorded)
    else:
        if log:
            raise SettingsError("log", "needs the ID of a decision")
        if subject is None or feature is None or at is None:
            missing = next(name for name in ("--subject", "--feature", "--at") if told[name] is None).strip("-")
            raise SettingsError(missing, "is required without the ID of a decision")
        check = question(
            subject,
            feature,
            subscription=subscription,
            user=user,
            amount=amount,
            used=used,
            user_used=user_used,
            value=value,
            level=level,
        )
        asked = _question(check, instant(at))
    local = bool(catalog or data)
    if today and catalog and not subjects_file:
        raise SettingsError("subjects", "is required with `--today`: a record in the log is of its day")
    if local:
        key_file = None
    with _open(control_plane, key_file, catalog, subjects_file, rules, data, asked, instant(None)) as past:
        made = past.replay(asked)
        now = _today(past, asked) if today else None
    (say_replay if as_json else tell_replay)(recorded, made, now)
    if recorded is not None and not is_same(recorded, made):
        raise typer.Exit(ExitCode.NO)


@contextmanager
def _open(
    url: str,
    key_file: Path | None,
    catalog: Sequence[Path] | None,
    subjects: Sequence[Path] | None,
    rules: Path | None,
    data: Path | None,
    asked: Asked,
    now: Instant,
) -> Iterator[Past]:
    from tiergate.cli.replay_sources import open_files, open_remote

    if catalog or data:
        with open_files(catalog, subjects, rules, data, asked, now) as past:
            yield past
        return
    if subjects or rules:
        raise SettingsError("catalog", "is required with `--subjects` and `--rules`")
    if key_file is None:
        raise SettingsError("key-file", "is required to ask a control plane; or give `--catalog`, or `--data`")
    yield open_remote(url, key_file)


# ── what is asked ────────────────────────────────────────────────────────────────────────────────────────────────────


def _find(id_: str, logs: Sequence[Path]) -> RecordedDecision:
    """Find a decision's line.

    Raises:
        CheckError: it is in none of the logs, or cannot be read.
        OSError: a log cannot be read.
    """
    from tiergate.cli.output.console import working
    from tiergate.impact.replay.decision_log_reader import open_log, read_log

    if not logs:
        raise SettingsError("log", "is required with the ID of a decision")
    problems: list[Problem] = []
    parts: list[str] = []
    with working("reading the log"):
        for path in logs:
            with open_log(path) as lines:
                for one in read_log(lines, str(path), problems.append, holding=f'"{id_}'.encode()):
                    if one.id == id_:
                        return one
                    if one.id.startswith(f"{id_}."):
                        parts.append(one.id)
    raise CheckError("", _not_found(id_, logs, problems, parts))


def _not_found(id_: str, logs: Sequence[Path], problems: Sequence[Problem], parts: Sequence[str]) -> str:
    if parts:
        last = f" to `{parts[-1]}`" if len(parts) > 1 else ""
        return f"`{id_}` is a batch: ask for one of its decisions, `{parts[0]}`{last}"
    if problems:
        return f"the line of `{id_}` cannot be read: {problems[0]}"
    names = ", ".join(f"`{path}`" for path in logs)
    return (
        f"no decision `{id_}` in {names}: it may stand in another file, be none that this log wants, or not be in its "
        "sample, or have been dropped"
    )


def _asked(recorded: RecordedDecision) -> Asked:
    from tiergate.cli.output.console import warn
    from tiergate.cli.replay_sources import Asked

    where = f"{recorded.file}:{recorded.line}"
    if recorded.check is None:
        detail = f"{where}: whom this decision was about is masked: ask by `--subject`, `--feature` and `--at`"
        raise CheckError("", detail)
    if recorded.basis is not None and not recorded.basis.loaded:
        raise CheckError("", f"{where}: the sidecar had loaded nothing yet: it decided nothing that can be made again")
    if recorded.basis is None:
        warn(f"{where}: the line does not say what the decision rested on: its instant stands for that", "yellow")
    verdict = recorded.verdict
    return Asked(recorded.check, recorded.request, recorded.at, verdict.publication, verdict.revision, recorded.basis)


def _question(check: Check, at: Instant) -> Asked:
    from tiergate.cli.replay_sources import Asked
    from tiergate.client.questions import check_json
    from tiergate.wire.json import encode

    return Asked(check, encode(check_json(check)), at)


def _today(past: Past, asked: Asked) -> Replayed | str:
    """The same check today; why it cannot be asked any more, where that is so."""
    try:
        return past.replay(asked.now())
    except SyncError:
        raise
    except CallerError as error:
        return str(error)
