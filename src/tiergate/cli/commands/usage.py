"""`tiergate usage`: count usage on a running sidecar, show and export it, and write off what a lost sidecar holds."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from tiergate.cli.check_options import FeatureArgument, SubjectArgument, read_number
from tiergate.cli.control_plane_client import ControlPlaneOptions
from tiergate.cli.exit_codes import ExitCode
from tiergate.cli.option_groups import expand_options
from tiergate.cli.output.errors import print_json_bytes
from tiergate.cli.shared_options import AsJson, read_moment
from tiergate.cli.sidecar_client import SidecarOptions

if TYPE_CHECKING:
    from tiergate.model import Subject

app = typer.Typer()
group = typer.Typer(help="Count usage on a running sidecar, show it, and export it.", no_args_is_help=True)
app.add_typer(group, name="usage")

Amount = Annotated[str | None, typer.Option(metavar="N", help="How much; default: one, or the smallest amount.")]
Key = Annotated[
    str | None, typer.Option(metavar="KEY", help="The idempotency key: the same key counts once; default: a new one.")
]


class SubjectOptions(NamedTuple):
    """What a subject is beside its id."""

    subscription: Annotated[bool, typer.Option("--subscription", help="SUBJECT is a subscription's id.")] = False
    user: Annotated[str | None, typer.Option(metavar="ID", help="A user of the subject.")] = None

    def subject(self, id_: str) -> Subject:
        """Return the subject with an id."""
        from tiergate.model import Subject, SubjectType

        kind = SubjectType.SUBSCRIPTION if self.subscription else SubjectType.CUSTOMER
        return Subject(id_, kind, self.user)


@group.command("consume")
@expand_options
def consume(
    subject: SubjectArgument,
    feature: FeatureArgument,
    *,
    about: SubjectOptions,
    amount: Amount = None,
    key: Key = None,
    connection: SidecarOptions,
    as_json: AsJson = False,
) -> None:
    """Check a metered feature, and count the amount if it is allowed. Exit code 0 is yes, 1 is no."""
    from tiergate.cli.output.usage import consumption_json, print_consumption

    with connection.open() as sidecar:
        found = sidecar.consume(about.subject(subject), feature, amount=read_number("amount", amount), key=key)
    if as_json:
        print_json_bytes(consumption_json(found))
    else:
        print_consumption(found)
    if not found:
        raise typer.Exit(ExitCode.NO)


@group.command("report")
@expand_options
def report(
    subject: SubjectArgument,
    feature: FeatureArgument,
    *,
    about: SubjectOptions,
    amount: Amount = None,
    at: Annotated[
        str | None, typer.Option(metavar="INSTANT", help="When it was, such as 2027-01-01T00:00:00Z; default: now.")
    ] = None,
    key: Key = None,
    connection: SidecarOptions,
    as_json: AsJson = False,
) -> None:
    """Count usage that has happened, even if it exceeds the limit."""
    from tiergate.cli.output.usage import print_recorded, recorded_json

    with connection.open() as sidecar:
        found = sidecar.report_usage(
            about.subject(subject), feature, amount=read_number("amount", amount), at=read_moment(at), key=key
        )
    if as_json:
        print_json_bytes(recorded_json(found))
    else:
        print_recorded(found)


@group.command("show")
@expand_options
def show(
    subject: SubjectArgument,
    feature: Annotated[str | None, typer.Argument(metavar="[FEATURE]", help="A metered feature; default: all.")] = None,
    *,
    about: SubjectOptions,
    connection: SidecarOptions,
    as_json: AsJson = False,
) -> None:
    """Show what a subject has used in the current windows, and what is left."""
    from tiergate.cli.output.usage import print_usage, usage_json

    with connection.open() as sidecar:
        found = sidecar.usage(about.subject(subject), feature)
    if as_json:
        print_json_bytes(usage_json(found))
    else:
        print_usage(found)


class ExportFormat(StrEnum):
    """The format of an export."""

    CSV = "csv"
    NDJSON = "ndjson"


class ExportDataset(StrEnum):
    """What is exported."""

    WINDOWS = "windows"
    DAYS = "days"
    HOURS = "hours"
    GRANTS = "grants"


class ExportOptions(NamedTuple):
    """What an export is narrowed to."""

    feature: Annotated[
        list[str] | None, typer.Option("--feature", metavar="ID", help="Only this feature; may be given several times.")
    ] = None
    customer: Annotated[str | None, typer.Option("--customer", metavar="ID", help="Only this customer.")] = None
    item: Annotated[
        str | None, typer.Option("--item", metavar="ID", help="Only customers who have this plan or add-on now.")
    ] = None
    tag: Annotated[
        list[str] | None,
        typer.Option("--tag", metavar="TAG", help="Only customers with this tag; several: with all of them."),
    ] = None
    since: Annotated[
        str | None, typer.Option("--from", metavar="INSTANT", help="Only windows that overlap the time from then on.")
    ] = None
    until: Annotated[str | None, typer.Option("--until", metavar="INSTANT", help="… the time until then.")] = None

    def query(self) -> dict[str, str]:
        """Return the parameters of the request."""
        given = {
            "feature": ",".join(self.feature or ()),
            "customer": self.customer,
            "item": self.item,
            "tag": ",".join(self.tag or ()),
            "from": self.since,
            "until": self.until,
        }
        return {name: value for name, value in given.items() if value}


@group.command("export")
@expand_options
def export(
    *,
    dataset: Annotated[
        ExportDataset,
        typer.Option(help="Windows with their limits, what was used by days or hours in UTC, or grants."),
    ] = ExportDataset.WINDOWS,
    format_: Annotated[ExportFormat, typer.Option("--format", help="The format.")] = ExportFormat.CSV,
    narrowed: ExportOptions,
    cursor: Annotated[
        str | None, typer.Option(metavar="CURSOR", help="Continue behind the row that ends with this cursor.")
    ] = None,
    connection: ControlPlaneOptions,
) -> None:
    """Write the usage that a control plane has counted to standard output, as CSV or NDJSON."""
    import sys
    from urllib.parse import urlencode

    query = {"dataset": dataset.value, **narrowed.query(), **({} if cursor is None else {"cursor": cursor})}
    path = "/v1/export/usage/csv" if format_ is ExportFormat.CSV else "/v1/export/usage"
    for line in connection.client().stream_lines("GET", f"{path}?{urlencode(query)}"):
        sys.stdout.write(f"{line}\n")


@group.command("export-days")
@expand_options
def export_days(
    first: Annotated[str | None, typer.Argument(metavar="[FIRST]", help="A day such as 2026-11-29, in UTC.")] = None,
    last: Annotated[str | None, typer.Argument(metavar="[LAST]", help="The last day; default: FIRST alone.")] = None,
    *,
    connection: ControlPlaneOptions,
    as_json: AsJson = False,
) -> None:
    """Let a control plane write days of usage to its object store again; without days, show how far it is."""
    from tiergate.cli.output.errors import print_json
    from tiergate.cli.output.usage import print_exports

    client = connection.client()
    if first is None:
        found = client.call("GET", "/v1/usage/exports")
    else:
        found = client.call("POST", "/v1/usage/exports", body={"first": first, "last": first if last is None else last})
    if as_json:
        print_json(found)
    else:
        print_exports(found)


@group.command("allocation")
@expand_options
def allocation(
    feature: Annotated[
        str | None, typer.Argument(metavar="[FEATURE]", help="A metered feature; default: all of them.")
    ] = None,
    *,
    tag: Annotated[
        list[str] | None, typer.Option(metavar="TAG", help="Only customers with this tag; several times: with all.")
    ] = None,
    item: Annotated[
        str | None, typer.Option(metavar="ID", help="Only customers who hold this plan, add-on or trial now.")
    ] = None,
    at: Annotated[str | None, typer.Option(metavar="INSTANT", help="The windows of this past instant.")] = None,
    connection: ControlPlaneOptions,
    as_json: AsJson = False,
) -> None:
    """Show how much of each feature all customers may use, how much they have used, and how near their limits are."""
    from tiergate.cli.output.errors import print_json
    from tiergate.cli.output.usage import print_allocation

    asked = {"feature": feature, "tag": ",".join(tag or ()) or None, "item": item, "at": at}
    query = {name: value for name, value in asked.items() if value is not None}
    found = list(connection.client().list_all("/v1/usage/allocation", **query))
    if as_json:
        print_json(found)
    else:
        print_allocation(found)


class LeaseOptions(NamedTuple):
    """Which leases are meant."""

    customer: Annotated[str | None, typer.Option("--customer", metavar="ID", help="Only this customer's.")] = None
    feature: Annotated[str | None, typer.Option("--feature", metavar="ID", help="Only of this feature.")] = None

    def members(self) -> dict[str, str]:
        """Return what is given."""
        return {name: value for name, value in self._asdict().items() if value is not None}


@group.command("leases")
@expand_options
def leases(
    holder: Annotated[
        str | None, typer.Argument(metavar="[HOLDER]", help="The name of a sidecar; default: all.")
    ] = None,
    *,
    narrowed: LeaseOptions,
    connection: ControlPlaneOptions,
    as_json: AsJson = False,
) -> None:
    """List which sidecar holds units of whom, until when, and whether it has expired."""
    from tiergate.cli.output.errors import print_json
    from tiergate.cli.output.usage import print_leases

    query = narrowed.members() | ({} if holder is None else {"holder": holder})
    found = list(connection.client().list_all("/v1/usage/leases", **query))
    if as_json:
        print_json(found)
    else:
        print_leases(found)


class WrittenOffAs(StrEnum):
    """As what leases are written off."""

    ALL = "all"
    NONE = "none"


@group.command("write-off")
@expand_options
def write_off(
    holder: Annotated[str, typer.Argument(metavar="HOLDER", help="The name of a sidecar, as `usage leases` lists it.")],
    *,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why, for the audit log.")],
    spent: Annotated[
        WrittenOffAs,
        typer.Option(help="`all`: the units count as spent until the sidecar reports; `none`: they can be used again."),
    ] = WrittenOffAs.ALL,
    narrowed: LeaseOptions,
    connection: ControlPlaneOptions,
    as_json: AsJson = False,
) -> None:
    """Give up the expired leases of a sidecar that is lost with its disk."""
    from tiergate.cli.output.errors import print_json
    from tiergate.cli.output.usage import print_written_off

    body = {"holder": holder, "spent": spent.value, **narrowed.members()}
    found = connection.client().call("POST", "/v1/usage/leases/write-off", body=body, reason=reason)
    if as_json:
        print_json(found)
    else:
        print_written_off(found)
