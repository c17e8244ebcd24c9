"""`tiergate replay`: make a past decision again, explain it, and compare it with today's."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tiergate.cli.check_options import CheckOptions
from tiergate.cli.control_plane_client import OptionalControlPlaneOptions
from tiergate.cli.exit_codes import ExitCode
from tiergate.cli.option_groups import expand_options
from tiergate.cli.shared_options import AsJson, DataFolder, EngineFiles, read_instant
from tiergate.errors import CallerError, SettingsError, SyncError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tiergate.cli.replay_sources import ReplayRequest, ReplayResult, ReplaySource
    from tiergate.impact.replay.decision_log_reader import RecordedDecision

app = typer.Typer()


@app.command()
@expand_options
def replay(
    id_: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="The decision's id: the response's header, the line's `id`.")
    ] = None,
    *,
    log: Annotated[
        list[Path] | None, typer.Option(metavar="FILE", help="A decision log, also `.gz` or `-`; several times.")
    ] = None,
    subject: Annotated[str | None, typer.Option(metavar="ID", help="Without a log: the check's subject.")] = None,
    feature: Annotated[str | None, typer.Option(metavar="ID", help="Without a log: the check's feature.")] = None,
    at: Annotated[
        str | None, typer.Option(metavar="INSTANT", help="Without a log: when, such as 2026-11-17T14:03:00Z.")
    ] = None,
    options: CheckOptions,
    connection: OptionalControlPlaneOptions,
    files: EngineFiles,
    data: DataFolder = None,
    today: Annotated[
        bool, typer.Option("--today", help="Decide the same check now too, and print the differences.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Make a past decision again, and explain it. Exit code 1: it differs from what was recorded.

    A line of a decision log has what its decision was made from, and the control plane keeps that: the decision is the
    same, byte for byte. Without a log, `--subject`, `--feature` and `--at` show what the store would have decided then.
    `--subjects` is not needed if the log has the subjects' records.
    """
    from tiergate.cli.decision_lookup import find_decision, replay_request
    from tiergate.cli.output.replay import is_same, print_replay, print_replay_json

    recorded: RecordedDecision | None = None
    if id_ is not None:
        named = {"subject": subject, "feature": feature, "at": at}
        given = [*(name for name, value in named.items() if value is not None), *options.given()]
        if given:
            raise SettingsError(given[0], "is in the log already: do not combine it with an ID")
        recorded = find_decision(id_, log or ())
        request = replay_request(recorded)
    else:
        if log:
            raise SettingsError("log", "needs the ID of a decision")
        request = _described_request(subject, feature, at, options)
    if today and files.catalog and not files.subjects:
        raise SettingsError("subjects", "is required with `--today`: the record in the log is from its day")
    with _open_source(connection, files, data, request) as source:
        result = source.replay(request)
        now = _replay_today(source, request) if today else None
    (print_replay_json if as_json else print_replay)(recorded, result, now)
    if recorded is not None and not is_same(recorded, result):
        raise typer.Exit(ExitCode.NO)


def _described_request(
    subject: str | None, feature: str | None, at: str | None, options: CheckOptions
) -> ReplayRequest:
    from tiergate.cli.replay_sources import ReplayRequest
    from tiergate.client.check_arguments import check_json
    from tiergate.wire.json import encode

    if subject is None or feature is None or at is None:
        missing = "subject" if subject is None else "feature" if feature is None else "at"
        raise SettingsError(missing, "is required without the ID of a decision")
    check = options.check(subject, feature)
    return ReplayRequest(check, encode(check_json(check)), read_instant(at))


@contextmanager
def _open_source(
    connection: OptionalControlPlaneOptions, files: EngineFiles, data: Path | None, request: ReplayRequest
) -> Iterator[ReplaySource]:
    from tiergate.cli.replay_sources import RemoteSource, open_local_source

    if files.catalog or data:
        with open_local_source(files, data, request, read_instant(None)) as source:
            yield source
        return
    if files.subjects or files.rules:
        raise SettingsError("catalog", "is required with `--subjects` and `--rules`")
    control_plane = connection.client()
    if control_plane is None:
        raise SettingsError("key-file", "is required for a control plane; or give `--catalog`, or `--data`")
    yield RemoteSource(control_plane)


def _replay_today(source: ReplaySource, request: ReplayRequest) -> ReplayResult | str:
    """Decide the same check today; return the message if that is not possible any more."""
    try:
        return source.replay(request.today())
    except SyncError:
        raise
    except CallerError as error:
        return str(error)
