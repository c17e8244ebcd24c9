"""`tiergate rollback`: a past publication in force again."""

from __future__ import annotations

from typing import Annotated

import typer

from tiergate.cli.changes import DryRun, Note
from tiergate.cli.options import AsJson
from tiergate.cli.remote import DEFAULT_URL, ControlPlaneUrl, KeyFile

__all__ = ["app"]

app = typer.Typer()


@app.command()
def rollback(
    publication: Annotated[int, typer.Argument(metavar="PUBLICATION", min=1, help="The one to go back to.")],
    *,
    key_file: KeyFile,
    control_plane: ControlPlaneUrl = DEFAULT_URL,
    roles: Annotated[bool, typer.Option("--roles", help="The table of roles too.")] = False,
    dry_run: DryRun = False,
    note: Note = "",
    as_json: AsJson = False,
) -> None:
    """Put the catalog and the rules of a past publication in force again, as a new publication."""
    from tiergate.cli.changes import tell
    from tiergate.cli.remote import ControlPlane

    body = {"roles": roles, "dry_run": dry_run, "note": note}
    said = ControlPlane(control_plane, key_file).ask_to_publish(f"/v1/publications/{publication}/rollback", body)
    tell(said, dry_run=dry_run, as_json=as_json)
