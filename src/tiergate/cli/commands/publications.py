"""`tiergate publications`: list publications with their time and author."""

from __future__ import annotations

from typing import Annotated

import typer

from tiergate.cli.control_plane_client import ControlPlaneOptions
from tiergate.cli.option_groups import expand_options
from tiergate.cli.output.console import print_line
from tiergate.cli.output.errors import print_json
from tiergate.cli.shared_options import AsJson

app = typer.Typer()


@app.command()
@expand_options
def publications(
    *,
    connection: ControlPlaneOptions,
    limit: Annotated[
        int, typer.Option("--limit", metavar="N", min=1, max=500, help="How many, the latest first.")
    ] = 20,
    as_json: AsJson = False,
) -> None:
    """List publications, the latest first."""
    rows = connection.client().call("GET", "/v1/publications", limit=str(limit))["items"]
    if as_json:
        print_json({"publications": rows})
        return
    for row in rows:
        back = f", back to {row['rolled_back_to']}" if "rolled_back_to" in row else ""
        note = f": {row['note']}" if row["note"] else ""
        print_line(f"{row['publication']:>6}  {row['issued_at']}  {row['revision'][:19]}  {row['author']}{back}{note}")
