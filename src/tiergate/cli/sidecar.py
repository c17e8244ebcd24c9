"""`tiergate sidecar`: serve decisions on this machine. Its options are the table of the sidecar's settings.

`tiergate health`, which asks it how it is, is made here too, because the module `health` must not import typer.
"""

from __future__ import annotations

import inspect
import os
from typing import Annotated, Any

import typer

from tiergate.sidecar.settings import SETTINGS, Setting

__all__ = ["app", "sidecar"]

app = typer.Typer()


def sidecar(**flags: Any) -> None:  # noqa: ANN401 - what each flag takes, its setting says
    """Answer checks on this machine, from a catalog and subjects on disk, following their changes.

    Every option can also be set by the variable `TIERGATE_<OPTION>`, or in the file that `--settings` names.
    """
    from tiergate.sidecar import server
    from tiergate.sidecar.setting_sources import resolve

    given = {name.replace("_", "-"): value for name, value in flags.items()}
    server.run(resolve(given, os.environ))


def _parameters() -> list[inspect.Parameter]:
    file = typer.Option("--settings", metavar="PATH", help="A settings file, in TOML.", show_default=False)
    rows = [("settings", Annotated[str | None, file]), *((row.field, _annotation(row)) for row in SETTINGS)]
    return [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)
        for name, annotation in rows
    ]


def _annotation(setting: Setting) -> Any:  # noqa: ANN401 - a type made of data
    words = setting.help
    default = setting.shown_default
    if default:
        words += f" Default: `{default}`."
    if setting.kind.word == "boolean":
        return Annotated[bool | None, typer.Option(setting.flag, help=words, show_default=False)]
    option = typer.Option(setting.flag, metavar=setting.kind.word.upper(), help=words, show_default=False)
    return Annotated[list[str] | None, option] if setting.many else Annotated[str | None, option]


# Typer makes the options from the signature: the table's, not one written a second time.
sidecar.__signature__ = inspect.Signature(_parameters())  # type: ignore[attr-defined]
sidecar.__annotations__ = {parameter.name: parameter.annotation for parameter in _parameters()}
app.command()(sidecar)


@app.command("health")
def ask_health(
    *,
    host: Annotated[str, typer.Option(metavar="ADDRESS", help="The address of the sidecar's probes.")] = "127.0.0.1",
    port: Annotated[
        int,
        typer.Option(metavar="PORT", help="Their port; default: `TIERGATE_PROBE_PORT`, else 8438.", show_default=False),
    ] = 0,
    timeout: Annotated[float, typer.Option(metavar="SECONDS", help="How long to wait for an answer.")] = 2.0,
    live: Annotated[bool, typer.Option("--live", help="Ask whether it runs, not whether it can decide.")] = False,
) -> None:
    """Say whether a sidecar can decide: 0 is yes, 1 is no, 5 is that nothing answers."""
    from tiergate.cli.health import ask, probe_port

    code, said = ask(host, port or probe_port(), timeout, live=live)
    typer.echo(said)
    raise typer.Exit(code)
