"""`tiergate rollback`: a past publication in force again."""

from __future__ import annotations

from typing import Annotated

import typer

from tiergate.cli.control_plane_client import DEFAULT_URL, ControlPlaneUrl, KeyFile
from tiergate.cli.output.changeset import DryRun, IfMatch, Note
from tiergate.cli.output.impact import AcceptLoss
from tiergate.cli.shared_options import AsJson

app = typer.Typer()


@app.command()
def rollback(
    publication: Annotated[int, typer.Argument(metavar="PUBLICATION", min=1, help="The one to go back to.")],
    *,
    key_file: KeyFile,
    control_plane: ControlPlaneUrl = DEFAULT_URL,
    roles: Annotated[bool, typer.Option("--roles", help="The table of roles too.")] = False,
    accept_loss: AcceptLoss = None,
    if_match: IfMatch = None,
    dry_run: DryRun = False,
    note: Note = "",
    as_json: AsJson = False,
) -> None:
    """Put the catalog and the rules of a past publication in force again, as a new publication.

    It is not refused for what it takes from customers, being there for emergencies; with `--accept-loss` it is, where
    that is something else than what the token names.
    """
    from tiergate.cli.control_plane_client import ControlPlane
    from tiergate.cli.output.changeset import ask_to_publish, tell

    body: dict[str, object] = {"roles": roles, "dry_run": dry_run, "note": note}
    asked, path = ControlPlane(control_plane, key_file), f"/v1/publications/{publication}/rollback"
    said = ask_to_publish(asked, path, body, accept_loss=accept_loss, if_match=if_match, as_json=as_json)
    tell(said, dry_run=dry_run, as_json=as_json)
