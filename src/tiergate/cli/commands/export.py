"""`tiergate export`: write the published catalog as a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tiergate.cli.control_plane_client import ControlPlaneOptions
from tiergate.cli.option_groups import expand_options
from tiergate.cli.output.console import print_line, warn
from tiergate.cli.shared_options import OutputFile

app = typer.Typer()

_ENDINGS = {"policies": ".cedar", "schemas": ".cedarschema", "entities": ".entities.json"}


@app.command()
@expand_options
def export(
    *,
    connection: ControlPlaneOptions,
    output: OutputFile = None,
    rules: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write the rules into this folder; its other files stay.")
    ] = None,
    private: Annotated[bool, typer.Option("--private", help="Include items that are private to one customer.")] = False,
) -> None:
    """Write what is published as a catalog file. `tiergate apply` publishes it elsewhere with the same revision."""
    query = {"rules": "true"} if rules is not None else {}
    query |= {"private": "true"} if private else {}
    exported = connection.client().call("GET", "/v1/export", **query)
    if rules is not None:
        rules.mkdir(parents=True, exist_ok=True)
        for kind, ending in _ENDINGS.items():
            for name, text in exported["rules"].get(kind, {}).items():
                (rules / f"{name}{ending}").write_text(text, encoding="utf-8")
    text = exported["catalog"][0]["text"]
    if output is None:
        print_line(text.removesuffix("\n"))
    else:
        output.write_text(text, encoding="utf-8")
    warn(f"publication {exported['publication']}: {exported['revision']}")
