"""`tiergate check`: run one check, on a running sidecar or from files."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tiergate.cli.check_options import CheckOptions, FeatureArgument, SubjectArgument
from tiergate.cli.exit_codes import ExitCode
from tiergate.cli.local_engine import open_engine
from tiergate.cli.option_groups import expand_options
from tiergate.cli.output.errors import print_json_bytes
from tiergate.cli.shared_options import AsJson, At, EngineFiles, read_instant
from tiergate.errors import SettingsError

if TYPE_CHECKING:
    from tiergate.model import Check

app = typer.Typer()

_TIMEOUT = 5.0


@app.command()
@expand_options
def check(
    subject: SubjectArgument,
    feature: FeatureArgument,
    *,
    options: CheckOptions,
    url: Annotated[
        str | None,
        typer.Option(metavar="URL", help="The sidecar: `http://host:port` or `unix:/path`; default: localhost:8437."),
    ] = None,
    token_file: Annotated[Path | None, typer.Option(metavar="FILE", help="The sidecar's token.")] = None,
    files: EngineFiles,
    at: At = None,
    as_json: AsJson = False,
) -> None:
    """Check whether a subject may use a feature. Exit code 0 is yes, 1 is no.

    A running sidecar decides; with `--catalog` and `--subjects`, the command decides from these files.
    """
    request = options.check(subject, feature)
    if files.catalog or files.subjects:
        if url or token_file:
            raise SettingsError("url", "is for a sidecar; `--catalog` and `--subjects` decide without one")
        body = _decide(request, files, at)
    elif at or files.rules:
        raise SettingsError("at" if at else "rules", "needs `--catalog` and `--subjects`; a sidecar has its own")
    else:
        body = _call_sidecar(request, url, token_file)
    _print(body, as_json=as_json)


def _call_sidecar(request: Check, url: str | None, token_file: Path | None) -> bytes:
    from tiergate.client import DEFAULT_URL, Sidecar

    text = token_file.read_text(encoding="utf-8", errors="replace") if token_file else None
    token = None if text is None else text.partition("\n")[0].strip()
    logger = logging.getLogger("tiergate.client")
    level = logger.level
    logger.setLevel(logging.ERROR)  # the command reports by itself that the sidecar does not answer
    try:
        with Sidecar(url or DEFAULT_URL, token=token, timeout=_TIMEOUT) as sidecar:
            return sidecar.ask(request)
    finally:
        logger.setLevel(level)


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
