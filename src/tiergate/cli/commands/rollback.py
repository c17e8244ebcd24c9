"""`tiergate rollback`: publish a past publication again."""

from __future__ import annotations

from typing import Annotated

import typer

from tiergate.cli.control_plane_client import ControlPlaneOptions
from tiergate.cli.option_groups import expand_options
from tiergate.cli.publish_options import PublishOptions

app = typer.Typer()


@app.command()
@expand_options
def rollback(
    publication: Annotated[int, typer.Argument(metavar="PUBLICATION", min=1, help="The number to go back to.")],
    *,
    connection: ControlPlaneOptions,
    roles: Annotated[bool, typer.Option("--roles", help="Restore the table of roles too.")] = False,
    options: PublishOptions,
) -> None:
    """Publish the catalog and the rules of a past publication again, as a new publication.

    It is meant for emergencies: a loss for customers does not stop it. With `--accept-loss` it is rejected if the loss
    differs from what the token names.
    """
    path = f"/v1/publications/{publication}/rollback"
    options.print_result(options.request(connection.client(), path, {"roles": roles}))
