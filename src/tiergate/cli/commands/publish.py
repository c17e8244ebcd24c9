"""`tiergate publish`: publish what is edited on the control plane."""

from __future__ import annotations

import typer

from tiergate.cli.control_plane_client import ControlPlaneOptions
from tiergate.cli.option_groups import expand_options
from tiergate.cli.output.console import show_activity
from tiergate.cli.publish_options import PublishOptions, SelectionOptions

app = typer.Typer()


@app.command()
@expand_options
def publish(*, connection: ControlPlaneOptions, selection: SelectionOptions, options: PublishOptions) -> None:
    """Publish the pending edits, and print what they change.

    If customers would lose something or get less, this is rejected with exit code 1, unless `--accept-loss`.
    """
    body, control_plane = selection.body(), connection.client()
    with show_activity("publishing"):
        result = options.request(control_plane, "/v1/publish", body)
    options.print_result(result)
