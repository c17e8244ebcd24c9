"""`tiergate sidecar`: serve decisions on this machine. Its options are the table of the sidecar's settings.

`tiergate health`, which asks it how it is, is made here too, because the module `health` must not import typer.
"""

from __future__ import annotations

from typing import Annotated, Any

import typer

from tiergate.cli.fast_start import serve
from tiergate.cli.setting_options import add_command, given
from tiergate.sidecar.settings import TABLE

app = typer.Typer()


def sidecar(**flags: Any) -> None:  # noqa: ANN401 - what each flag takes, its setting says
    """Answer checks on this machine, from a catalog and subjects on disk, following their changes.

    Every option can also be set by the variable `TIERGATE_<OPTION>`, or in the file that `--settings` names.
    """
    serve(given(flags))


add_command(app, sidecar, TABLE)


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
