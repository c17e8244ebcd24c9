"""`tiergate diff`: compare what two catalogs mean, not their text."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tiergate.cli.control_plane_client import OptionalControlPlaneOptions
from tiergate.cli.exit_codes import ExitCode
from tiergate.cli.option_groups import expand_options
from tiergate.cli.output.console import show_activity
from tiergate.cli.output.errors import print_json_bytes
from tiergate.cli.shared_options import AsJson, read_instant

app = typer.Typer()

_SIDE = "a catalog file or folder, the folder of a bundle, or what a control plane keeps: `published`, `pending`, \
`publication:17`, `revision:sha256:…`."


@app.command()
@expand_options
def diff(
    old: Annotated[str, typer.Argument(metavar="OLD", help=f"The old side: {_SIDE}")],
    new: Annotated[str, typer.Argument(metavar="NEW", help="The new side, in the same forms.")],
    *,
    rules: Annotated[
        Path | None, typer.Option(metavar="DIR", help="A folder of your own rules, for both sides.")
    ] = None,
    rules_old: Annotated[
        Path | None, typer.Option(metavar="DIR", help="The rules of the old side, if different.")
    ] = None,
    rules_new: Annotated[
        Path | None, typer.Option(metavar="DIR", help="The rules of the new side, if different.")
    ] = None,
    at: Annotated[
        str | None,
        typer.Option(metavar="INSTANT", help="Compare from this instant, such as 2027-01-01T00:00:00Z; default: now."),
    ] = None,
    connection: OptionalControlPlaneOptions,
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help="Exit with 1 unless it is proved that nothing differs.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Compare what two catalogs mean: what subscribers of each item get of each feature, and what rules change.

    Both sides decide every case at its boundaries, so a change of the text alone is shown to change nothing.
    """
    from tiergate.cli.diff_sources import DiffSource, is_stored, open_side
    from tiergate.cli.output.diff import print_diff
    from tiergate.cli.output.diff_json import diff_json
    from tiergate.impact.diff.semantic_diff import compare_bundles

    now, control_plane = read_instant(at), connection.client()
    with show_activity("reading both sides"):
        before, after = (
            open_side(side, DiffSource(own if own is not None or is_stored(side) else rules, control_plane))
            for side, own in ((old, rules_old), (new, rules_new))
        )
    with show_activity("deciding on both sides"):
        comparison = compare_bundles(before, after, now)
    if as_json:
        print_json_bytes(diff_json(comparison))
    else:
        print_diff(comparison)
    if exit_code and not comparison.is_same:
        raise typer.Exit(ExitCode.NO)
