"""`tiergate publications`: what was published, when, and by whom."""

from __future__ import annotations

from typing import Annotated

import typer

from tiergate.cli.control_plane_client import DEFAULT_URL, ControlPlaneUrl, KeyFile
from tiergate.cli.shared_options import AsJson

app = typer.Typer()


@app.command()
def publications(
    *,
    key_file: KeyFile,
    control_plane: ControlPlaneUrl = DEFAULT_URL,
    limit: Annotated[
        int, typer.Option("--limit", metavar="N", min=1, max=500, help="How many, the latest first.")
    ] = 20,
    as_json: AsJson = False,
) -> None:
    """List publications, the latest first."""
    from tiergate.cli.control_plane_client import ControlPlane
    from tiergate.cli.output.console import say
    from tiergate.cli.output.errors import say_json

    found = ControlPlane(control_plane, key_file).ask("GET", "/v1/publications", limit=str(limit))["items"]
    if as_json:
        say_json({"publications": found})
        return
    for one in found:
        back = f", back to {one['rolled_back_to']}" if "rolled_back_to" in one else ""
        note = f": {one['note']}" if one["note"] else ""
        say(f"{one['publication']:>6}  {one['issued_at']}  {one['revision'][:19]}  {one['author']}{back}{note}")
