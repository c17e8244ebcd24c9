"""`tiergate check`: ask one question, of a running sidecar or of files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tiergate.cli.check_options import (
    AmountOption,
    FeatureArgument,
    IsSubscription,
    LevelOption,
    SubjectArgument,
    UsedOption,
    UserOption,
    UserUsedOption,
    ValueOption,
)
from tiergate.cli.local_engine import CatalogFiles, SubjectsFiles
from tiergate.cli.shared_options import AsJson, At, RulesFolder
from tiergate.errors import SettingsError

if TYPE_CHECKING:
    from tiergate.model import Check

app = typer.Typer()

_TIMEOUT = 5.0


@app.command()
def check(
    subject: SubjectArgument,
    feature: FeatureArgument,
    *,
    amount: AmountOption = None,
    used: UsedOption = None,
    value: ValueOption = None,
    level: LevelOption = None,
    subscription: IsSubscription = False,
    user: UserOption = None,
    user_used: UserUsedOption = None,
    url: Annotated[
        str | None,
        typer.Option(metavar="URL", help="The sidecar: `http://host:port` or `unix:/path`; default: localhost:8437."),
    ] = None,
    token_file: Annotated[Path | None, typer.Option(metavar="FILE", help="The sidecar's token.")] = None,
    catalog: CatalogFiles = None,
    subjects: SubjectsFiles = None,
    rules: RulesFolder = None,
    at: At = None,
    as_json: AsJson = False,
) -> None:
    """Ask whether a subject may use a feature. Exit code 0 is yes, 1 is no.

    Asks a running sidecar; with `--catalog` and `--subjects` it decides by itself, from these files.
    """
    from tiergate.cli.check_options import question

    asked = question(
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
    if catalog or subjects:
        if url or token_file:
            raise SettingsError("url", "asks a sidecar; `--catalog` and `--subjects` do without one")
        body = _decide(asked, catalog, subjects, rules, at)
    elif at or rules:
        raise SettingsError("at" if at else "rules", "needs `--catalog` and `--subjects`; a sidecar has its own")
    else:
        body = _ask(asked, url, token_file)
    _tell(body, as_json=as_json)


def _ask(asked: Check, url: str | None, token_file: Path | None) -> bytes:
    import logging

    from tiergate.client import DEFAULT_URL, Sidecar

    text = token_file.read_text(encoding="utf-8", errors="replace") if token_file else None
    token = None if text is None else text.partition("\n")[0].strip()
    logger = logging.getLogger("tiergate.client")
    level = logger.level
    logger.setLevel(logging.ERROR)  # the command says by itself that nobody answers
    try:
        with Sidecar(url or DEFAULT_URL, token=token, timeout=_TIMEOUT) as sidecar:
            return sidecar.ask(asked)
    finally:
        logger.setLevel(level)


def _decide(
    asked: Check, catalog: list[Path] | None, subjects: list[Path] | None, rules: Path | None, at: str | None
) -> bytes:
    from tiergate.cli.local_engine import open_engine
    from tiergate.cli.shared_options import instant
    from tiergate.engine import decision_json

    now = instant(at)
    with open_engine(catalog, subjects, rules, None, asked.subject) as opened:
        return decision_json(opened.engine.decide(asked, now))


def _tell(body: bytes, *, as_json: bool) -> None:
    import msgspec

    from tiergate.cli.exit_codes import ExitCode
    from tiergate.cli.output.console import say, say_table
    from tiergate.cli.output.decision import lines, verdict
    from tiergate.client import read_answer, read_json

    answer = read_answer(read_json(body))
    if as_json:
        say(msgspec.json.format(body, indent=2).decode())
    else:
        say(verdict(answer), "bold green" if answer.allowed else "bold red")
        say_table(lines(answer))
    if not answer.allowed:
        raise typer.Exit(ExitCode.NO)
