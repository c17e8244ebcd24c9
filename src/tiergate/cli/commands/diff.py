"""`tiergate diff`: what changes in meaning from one catalog to another, not in text."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tiergate.cli.control_plane_client import DEFAULT_URL, ControlPlaneUrl, OptionalKeyFile
from tiergate.cli.shared_options import AsJson

app = typer.Typer()

_OLD = (
    "What is: a catalog file or folder, the folder of a bundle, or what a control plane keeps: `published`, `pending`, \
`publication:17`, `revision:sha256:…`."
)


@app.command()
def diff(
    old: Annotated[str, typer.Argument(metavar="OLD", help=_OLD)],
    new: Annotated[str, typer.Argument(metavar="NEW", help="What comes in its place: likewise.")],
    *,
    rules: Annotated[
        Path | None, typer.Option("--rules", metavar="DIR", help="A folder of your own rules, for both sides.")
    ] = None,
    rules_old: Annotated[
        Path | None, typer.Option("--rules-old", metavar="DIR", help="The rules of the old side, if it has others.")
    ] = None,
    rules_new: Annotated[
        Path | None, typer.Option("--rules-new", metavar="DIR", help="The rules of the new side, if it has others.")
    ] = None,
    at: Annotated[
        str | None,
        typer.Option(
            metavar="INSTANT", help="Compare from this instant on, such as 2027-01-01T00:00:00Z; default: now."
        ),
    ] = None,
    control_plane: ControlPlaneUrl = DEFAULT_URL,
    key_file: OptionalKeyFile = None,
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help="End with 1 unless it is proved that nothing differs.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Compare what two catalogs mean: what holders of each item get of each feature, and what rules make of it.

    Both sides decide every case at its boundaries, so that a change of the text alone is shown to change nothing.
    """
    from tiergate.cli.control_plane_client import ControlPlane
    from tiergate.cli.diff_sources import Source, is_stored, open_side
    from tiergate.cli.exit_codes import ExitCode
    from tiergate.cli.output.console import say, working
    from tiergate.cli.output.diff import meaning_data, tell_meaning
    from tiergate.cli.shared_options import instant
    from tiergate.impact.diff.semantic_diff import compare_bundles

    now = instant(at)
    asked = ControlPlane(control_plane, key_file) if key_file is not None else None
    sources = [
        Source(own if own is not None or is_stored(side) else rules, asked)
        for side, own in ((old, rules_old), (new, rules_new))
    ]
    with working("reading both sides"):
        before, after = (open_side(side, source) for side, source in zip((old, new), sources, strict=True))
    with working("deciding on both sides"):
        found = compare_bundles(before, after, now)
    if as_json:
        import msgspec

        say(msgspec.json.format(meaning_data(found), indent=2).decode())
    else:
        tell_meaning(found)
    if exit_code and not found.is_same:
        raise typer.Exit(ExitCode.NO)
