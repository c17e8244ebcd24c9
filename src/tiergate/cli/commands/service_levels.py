"""`tiergate status service-level`, `service-levels` and `export-service-levels`: how promises are kept."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, NamedTuple

import typer

from tiergate.cli.control_plane_client import ControlPlaneOptions
from tiergate.cli.option_groups import expand_options
from tiergate.cli.shared_options import AsJson

app = typer.Typer()

At = Annotated[
    str | None, typer.Option("--at", metavar="INSTANT", help="The window of this past instant; default: of now.")
]
From = Annotated[
    str | None, typer.Option("--from", metavar="INSTANT", help="From then on, such as 2027-01-01T00:00:00Z.")
]
Until = Annotated[str | None, typer.Option("--until", metavar="INSTANT", help="Until then.")]


class LevelOrder(StrEnum):
    """The order of the list."""

    FEATURE = "feature"
    BUDGET_LEFT = "budget_left"


class PromisedBy(StrEnum):
    """Whose promises are shown."""

    FEATURE = "feature"
    ITEM = "item"


class ExportFormat(StrEnum):
    """The format of an export."""

    CSV = "csv"
    NDJSON = "ndjson"


class LevelOptions(NamedTuple):
    """Which service levels are meant."""

    feature: Annotated[
        list[str] | None, typer.Option("--feature", metavar="ID", help="Only this feature; may be given several times.")
    ] = None
    tag: Annotated[
        list[str] | None,
        typer.Option("--tag", metavar="TAG", help="Only features with this tag; several times: with all of them."),
    ] = None
    item: Annotated[str | None, typer.Option("--item", metavar="ID", help="Only what this item promises.")] = None
    promised_by: Annotated[
        PromisedBy | None,
        typer.Option("--promised-by", help="Only what features promise to everybody, or only what items promise."),
    ] = None
    kept: Annotated[
        bool | None, typer.Option("--kept/--broken", help="Only promises that are kept so far, or only those broken.")
    ] = None

    def query(self) -> dict[str, str]:
        """Return the parameters of the request."""
        given = {
            "feature": ",".join(self.feature or ()),
            "tag": ",".join(self.tag or ()),
            "item": self.item,
            "promised_by": self.promised_by,
            "kept": None if self.kept is None else str(self.kept).lower(),
        }
        return {name: str(value) for name, value in given.items() if value}


@app.command("service-level")
@expand_options
def service_level(
    feature: Annotated[str, typer.Argument(metavar="FEATURE", help="The feature's id.")],
    *,
    item: Annotated[
        str | None, typer.Option(metavar="ID", help="What this plan or add-on promises; default: the feature.")
    ] = None,
    at: At = None,
    since: From = None,
    until: Until = None,
    connection: ControlPlaneOptions,
    as_json: AsJson = False,
) -> None:
    """Show how the service level of a feature is kept: durations, availability, and the error budget."""
    from urllib.parse import quote

    from tiergate.cli.output.errors import print_json
    from tiergate.cli.output.service_levels import print_service_level

    query = _given(item=item, at=at, until=until, **{"from": since})
    found = connection.client().call("GET", f"/v1/features/{quote(feature, safe='')}/service-level", **query)
    if as_json:
        print_json(found)
    else:
        print_service_level(found)


@app.command("service-levels")
@expand_options
def service_levels(
    *,
    narrowed: LevelOptions,
    order: Annotated[
        LevelOrder, typer.Option(help="By feature and item, or the smallest part of an error budget left first.")
    ] = LevelOrder.FEATURE,
    at: At = None,
    connection: ControlPlaneOptions,
    as_json: AsJson = False,
) -> None:
    """List how all service levels are kept in their current windows, of features and of items."""
    from tiergate.cli.output.errors import print_json
    from tiergate.cli.output.service_levels import print_service_levels

    query = narrowed.query() | _given(order=order.value, at=at)
    found = list(connection.client().list_all("/v1/service-levels", **query))
    if as_json:
        print_json(found)
    else:
        print_service_levels(found)


@app.command("export-service-levels")
@expand_options
def export_service_levels(
    *,
    format_: Annotated[ExportFormat, typer.Option("--format", help="The format.")] = ExportFormat.CSV,
    narrowed: LevelOptions,
    since: From = None,
    until: Until = None,
    cursor: Annotated[
        str | None, typer.Option(metavar="CURSOR", help="Continue behind the row that ends with this cursor.")
    ] = None,
    connection: ControlPlaneOptions,
) -> None:
    """Write service levels by windows to standard output, as CSV or NDJSON."""
    import sys
    from urllib.parse import urlencode

    query = narrowed.query() | _given(until=until, cursor=cursor, **{"from": since})
    path = "/v1/export/service-levels" + ("/csv" if format_ is ExportFormat.CSV else "")
    for line in connection.client().stream_lines("GET", f"{path}?{urlencode(query)}"):
        sys.stdout.write(f"{line}\n")


def _given(**parameters: str | None) -> dict[str, str]:
    return {name: value for name, value in parameters.items() if value is not None}
