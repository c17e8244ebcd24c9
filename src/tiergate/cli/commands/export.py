"""`tiergate export`: what the control plane has published, as a catalog file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tiergate.cli.control_plane_client import DEFAULT_URL, ControlPlaneUrl, KeyFile

app = typer.Typer()

_ENDINGS = {"policies": ".cedar", "schemas": ".cedarschema", "entities": ".entities.json"}


@app.command()
def export(
    *,
    key_file: KeyFile,
    control_plane: ControlPlaneUrl = DEFAULT_URL,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Where to write it; default: standard output.")
    ] = None,
    rules: Annotated[
        Path | None,
        typer.Option("--rules", metavar="DIR", help="Write the rules into this folder, whose own files stay."),
    ] = None,
    private: Annotated[bool, typer.Option("--private", help="Also items that are private to one customer.")] = False,
) -> None:
    """Write what is published as a catalog file, which `tiergate apply` publishes elsewhere at the same revision."""
    from tiergate.cli.control_plane_client import ControlPlane
    from tiergate.cli.output.console import say, warn

    query = {"rules": "true"} if rules is not None else {}
    said = ControlPlane(control_plane, key_file).ask(
        "GET", "/v1/export", **query, **({"private": "true"} if private else {})
    )
    if rules is not None:
        rules.mkdir(parents=True, exist_ok=True)
        for kind, ending in _ENDINGS.items():
            for name, text in said["rules"].get(kind, {}).items():
                (rules / f"{name}{ending}").write_text(text, encoding="utf-8")
    text = said["catalog"][0]["text"]
    if output is None:
        say(text.removesuffix("\n"))
    else:
        output.write_text(text, encoding="utf-8")
    warn(f"publication {said['publication']}: {said['revision']}")
