"""`tiergate sidecar`: serve decisions on this machine. Its options are its settings.

`tiergate health` is declared here too, because the module `health` must not import typer.
"""

from __future__ import annotations

from typing import Annotated, Any

import typer

from tiergate.cli.setting_options import add_command, setting_values
from tiergate.cli.sidecar_startup import serve
from tiergate.sidecar.settings import TABLE

app = typer.Typer()


def sidecar(**flags: Any) -> None:  # noqa: ANN401 - as the settings declare
    """Answer checks on this machine, from a catalog and subjects on disk, and load their changes.

    Every option can also be set by the variable `TIERGATE_<OPTION>`, or in the file that `--settings` names.
    """
    serve(setting_values(flags))


add_command(app, sidecar, TABLE)


@app.command("health")
def health(
    *,
    host: Annotated[str, typer.Option(metavar="ADDRESS", help="The address of the sidecar's probes.")] = "127.0.0.1",
    port: Annotated[
        int,
        typer.Option(
            metavar="PORT",
            help="The port of the probes; default: `TIERGATE_PROBE_PORT`, else 8438.",
            show_default=False,
        ),
    ] = 0,
    timeout: Annotated[float, typer.Option(metavar="SECONDS", help="How long to wait for an answer.")] = 2.0,
    live: Annotated[bool, typer.Option("--live", help="Check whether it runs, not whether it can decide.")] = False,
    startup: Annotated[
        bool, typer.Option("--startup", help="Check whether its start is over, with or without data.")
    ] = False,
) -> None:
    """Check whether a sidecar can decide. Exit code 0 is yes, 1 is no, 5 is no answer."""
    from tiergate.cli.health import probe, probe_port

    path = "livez" if live else "startupz" if startup else "readyz"
    code, message = probe(host, port or probe_port(), timeout, path=path)
    typer.echo(message)
    raise typer.Exit(code)
