"""`tiergate outcomes`: report how a request to a feature went to a running sidecar, and show what was reported."""

from __future__ import annotations

from typing import Annotated

import typer

from tiergate.cli.check_options import FeatureArgument
from tiergate.cli.option_groups import expand_options
from tiergate.cli.output.errors import print_json_bytes
from tiergate.cli.shared_options import AsJson, read_moment
from tiergate.cli.sidecar_client import SidecarOptions

app = typer.Typer()
group = typer.Typer(help="Tell a running sidecar how requests to features went, and show it.", no_args_is_help=True)
app.add_typer(group, name="outcomes")


@group.command("report")
@expand_options
def report(
    feature: FeatureArgument,
    *,
    failed: Annotated[bool, typer.Option("--failed", help="The feature failed; without it, it worked.")] = False,
    duration: Annotated[
        float | None, typer.Option("--duration-ms", metavar="N", min=0, help="How many milliseconds it took.")
    ] = None,
    at: Annotated[
        str | None, typer.Option(metavar="INSTANT", help="When it ended, such as 2027-01-01T00:00:00Z; default: now.")
    ] = None,
    id_: Annotated[
        str | None, typer.Option("--id", metavar="ID", help="With the same id, an outcome of a feature counts once.")
    ] = None,
    connection: SidecarOptions,
    as_json: AsJson = False,
) -> None:
    """Say how one request to a feature went."""
    from tiergate.cli.output.outcomes import print_recorded, recorded_json

    with connection.open() as sidecar:
        replayed = sidecar.outcome(feature, ok=not failed, duration_ms=duration, at=read_moment(at), id=id_, wait=True)
    if as_json:
        print_json_bytes(recorded_json(feature, replayed=bool(replayed)))
    else:
        print_recorded(feature, replayed=bool(replayed))


@group.command("show")
@expand_options
def show(
    feature: FeatureArgument,
    *,
    since: Annotated[
        str | None,
        typer.Option("--from", metavar="INSTANT", help="Only minutes from then on; default: those of the last hour."),
    ] = None,
    connection: SidecarOptions,
    as_json: AsJson = False,
) -> None:
    """Show what was reported of a feature to this sidecar, by minute."""
    from tiergate.cli.output.outcomes import minutes_json, print_minutes

    with connection.open() as sidecar:
        found = sidecar.outcomes(feature, read_moment(since, "from"))
    if as_json:
        print_json_bytes(minutes_json(found))
    else:
        print_minutes(feature, found)
