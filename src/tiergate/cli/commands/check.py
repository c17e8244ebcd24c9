"""`tiergate check`: run one check, on a running sidecar or from files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from tiergate.cli.check_options import CheckOptions, FeatureArgument, SubjectArgument
from tiergate.cli.exit_codes import ExitCode
from tiergate.cli.local_engine import open_engine
from tiergate.cli.option_groups import expand_options
from tiergate.cli.output.errors import print_json_bytes
from tiergate.cli.shared_options import AsJson, At, EngineFiles, read_instant
from tiergate.cli.sidecar_client import SidecarOptions
from tiergate.errors import SettingsError

if TYPE_CHECKING:
    from tiergate.model import Check

app = typer.Typer()


@app.command()
@expand_options
def check(
    subject: SubjectArgument,
    feature: FeatureArgument,
    *,
    options: CheckOptions,
    connection: SidecarOptions,
    files: EngineFiles,
    at: At = None,
    as_json: AsJson = False,
) -> None:
    """Check whether a subject may use a feature. Exit code 0 is yes, 1 is no.

    A running sidecar decides; with `--catalog` and `--subjects`, the command decides from these files.
    """
    request = options.check(subject, feature)
    if files.catalog or files.subjects:
        if connection.url or connection.token_file:
            raise SettingsError("url", "is for a sidecar; `--catalog` and `--subjects` decide without one")
        body = _decide(request, files, at)
    elif at or files.rules:
        raise SettingsError("at" if at else "rules", "needs `--catalog` and `--subjects`; a sidecar has its own")
    else:
        with connection.open() as sidecar:
            body = sidecar.ask(request)
    _print(body, as_json=as_json)


def _decide(request: Check, files: EngineFiles, at: str | None) -> bytes:
    from tiergate.engine import decision_json

    now = read_instant(at)
    with open_engine(files, None, request.subject) as opened:
        return decision_json(opened.engine.decide(request, now))


def _print(body: bytes, *, as_json: bool) -> None:
    from tiergate.cli.output.decision import print_answer
    from tiergate.client import read_answer, read_json

    answer = read_answer(read_json(body))
    if as_json:
        print_json_bytes(body)
    else:
        print_answer(answer)
    if not answer.allowed:
        raise typer.Exit(ExitCode.NO)
