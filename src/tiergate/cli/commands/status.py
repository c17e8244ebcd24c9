"""`tiergate status`: how well features work, reports on that, and monitors."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, NamedTuple
from urllib.parse import quote

import typer

from tiergate.cli.commands import service_levels
from tiergate.cli.control_plane_client import ControlPlaneOptions
from tiergate.cli.option_groups import expand_options
from tiergate.cli.shared_options import AsJson
from tiergate.errors import SettingsError

app = typer.Typer()
group = typer.Typer(help="How well features work, reports on that, and monitors.", no_args_is_help=True)
group.add_typer(service_levels.app)
app.add_typer(group, name="status")

_REPORTS = "/v1/status/reports"
_MONITORS = "/v1/status/monitors"


class ReportedStatus(StrEnum):
    """A status that can be reported."""

    MAINTENANCE = "maintenance"
    DEGRADED = "degraded"
    PARTIAL = "partial"
    DOWN = "down"


ReportId = Annotated[str, typer.Argument(metavar="ID", help="The report's id, such as rep_5af968335f628a5f8116.")]
MonitorName = Annotated[str, typer.Argument(metavar="NAME", help="The monitor's name.")]
Start = Annotated[
    str | None, typer.Option("--start", metavar="INSTANT", help="Since when, such as 2027-01-01T00:00:00Z.")
]
Until = Annotated[str | None, typer.Option("--until", metavar="INSTANT", help="Until when.")]
Note = Annotated[str | None, typer.Option("--note", metavar="TEXT", help="A note for those who work here.")]
PublicNote = Annotated[str | None, typer.Option("--public-note", metavar="TEXT", help="A note for the public page.")]
Reason = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why, for the audit log.")]


class AudienceOptions(NamedTuple):
    """Whom a partial outage concerns."""

    tag: Annotated[
        list[str] | None,
        typer.Option("--tag", metavar="TAG", help="Of `partial`: it concerns customers with this tag."),
    ] = None
    item: Annotated[
        list[str] | None,
        typer.Option("--item", metavar="ID", help="Of `partial`: it concerns subscriptions that have this item."),
    ] = None

    def body(self) -> dict[str, object]:
        """Return the member of a report."""
        given = {"tags": self.tag, "items": self.item}
        audience = {name: ids for name, ids in given.items() if ids}
        return {"audience": audience} if audience else {}


@group.command("show")
@expand_options
def show(
    feature: Annotated[str | None, typer.Argument(metavar="[FEATURE]", help="A feature; default: all.")] = None,
    *,
    tag: Annotated[
        list[str] | None, typer.Option("--tag", metavar="TAG", help="Only features with this tag; several: with all.")
    ] = None,
    connection: ControlPlaneOptions,
    as_json: AsJson = False,
) -> None:
    """Show the status that features have now, with the reports that say so."""
    from tiergate.cli.output.errors import print_json
    from tiergate.cli.output.status import print_statuses

    client = connection.client()
    if feature is None:
        query = {} if not tag else {"tag": ",".join(tag)}
        found = list(client.list_all("/v1/status", **query))
    else:
        found = [client.call("GET", f"/v1/features/{quote(feature, safe='')}/status")]
    if as_json:
        print_json(found)
    else:
        print_statuses(found, with_reports=feature is not None)


@group.command("report")
@expand_options
def report(
    feature: Annotated[str, typer.Argument(metavar="FEATURE", help="A feature's id.")],
    status: Annotated[ReportedStatus, typer.Argument(metavar="STATUS", help="maintenance, degraded, partial or down.")],
    *,
    start: Start = None,
    until: Until = None,
    note: Note = None,
    public_note: PublicNote = None,
    audience: AudienceOptions,
    reason: Reason = "",
    connection: ControlPlaneOptions,
    as_json: AsJson = False,
) -> None:
    """Report the status of a feature, from now on or over an interval, also after the fact."""
    body = {"feature": feature, "status": status.value, "start": start, "until": until}
    body |= {"note": note, "public_note": public_note}
    sent = _given(body) | audience.body()
    _print_report(connection.client().call("POST", _REPORTS, body=sent, reason=reason), as_json=as_json)


@group.command("list")
@expand_options
def list_all(
    *,
    feature: Annotated[str | None, typer.Option("--feature", metavar="ID", help="Only on this feature.")] = None,
    status: Annotated[
        list[ReportedStatus] | None, typer.Option("--status", metavar="STATUS", help="Only this status; or several.")
    ] = None,
    reporter: Annotated[
        str | None, typer.Option("--reporter", metavar="NAME", help="Only by this caller or monitor.")
    ] = None,
    open_: Annotated[bool, typer.Option("--open", help="Only those that are open now.")] = False,
    since: Annotated[str | None, typer.Option("--from", metavar="INSTANT", help="Only what ended after.")] = None,
    until: Annotated[
        str | None, typer.Option("--until", metavar="INSTANT", help="Only what began before this.")
    ] = None,
    connection: ControlPlaneOptions,
    as_json: AsJson = False,
) -> None:
    """List reports, the latest first."""
    from tiergate.cli.output.errors import print_json
    from tiergate.cli.output.status import print_reports

    asked = {"feature": feature, "reporter": reporter, "from": since, "until": until}
    asked |= {"status": ",".join(it.value for it in status or ()) or None, "open": "true" if open_ else None}
    query = {name: value for name, value in asked.items() if value is not None}
    found = list(connection.client().list_all(_REPORTS, **query))
    if as_json:
        print_json(found)
    else:
        print_reports(found)


@group.command("edit")
@expand_options
def edit(
    id_: ReportId,
    *,
    status: Annotated[ReportedStatus | None, typer.Option("--status", metavar="STATUS", help="Another status.")] = None,
    start: Start = None,
    until: Until = None,
    reopen: Annotated[bool, typer.Option("--reopen", help="Remove its end.")] = False,
    note: Note = None,
    public_note: PublicNote = None,
    audience: AudienceOptions,
    no_audience: Annotated[
        bool, typer.Option("--no-audience", help="It concerns everybody, as all but `partial` do.")
    ] = False,
    reason: Reason = "",
    connection: ControlPlaneOptions,
    as_json: AsJson = False,
) -> None:
    """Change a report, also after the fact; what is not given stays."""
    if reopen and until is not None:
        raise SettingsError("reopen", "excludes `--until`")
    if no_audience and audience.body():
        raise SettingsError("no-audience", "excludes `--tag` and `--item`")
    body = {"status": None if status is None else status.value, "start": start, "until": until}
    body |= {"note": note, "public_note": public_note}
    sent = _given(body) | audience.body() | ({"until": None} if reopen else {})
    sent |= {"audience": None} if no_audience else {}
    found = connection.client().call("PATCH", _report_path(id_), body=sent, reason=reason)
    _print_report(found, as_json=as_json)


@group.command("end")
@expand_options
def end(
    id_: ReportId,
    *,
    at: Annotated[str | None, typer.Option("--at", metavar="INSTANT", help="When it ended; default: now.")] = None,
    note: Note = None,
    public_note: PublicNote = None,
    reason: Reason = "",
    connection: ControlPlaneOptions,
    as_json: AsJson = False,
) -> None:
    """End a report."""
    body = _given({"at": at, "note": note, "public_note": public_note})
    found = connection.client().call("POST", f"{_report_path(id_)}/end", body=body, reason=reason)
    _print_report(found, as_json=as_json)


@group.command("delete")
@expand_options
def delete(id_: ReportId, *, reason: Reason = "", connection: ControlPlaneOptions) -> None:
    """Delete a report that was a mistake: it counts no more."""
    from tiergate.cli.output.console import print_line

    connection.client().call("DELETE", _report_path(id_), reason=reason)
    print_line(f"report {id_} deleted")


# ── monitors ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@group.command("monitors")
@expand_options
def monitors(*, connection: ControlPlaneOptions, as_json: AsJson = False) -> None:
    """List monitors, when they were heard, and whether they are silent."""
    from tiergate.cli.output.errors import print_json
    from tiergate.cli.output.status import print_monitors

    found = list(connection.client().list_all(_MONITORS))
    if as_json:
        print_json(found)
    else:
        print_monitors(found)


@group.command("declare-monitor")
@expand_options
def declare_monitor(
    name: MonitorName,
    *,
    feature: Annotated[
        list[str],
        typer.Option("--feature", metavar="ID", help="A feature that it watches; may be given several times."),
    ],
    every: Annotated[
        str | None,
        typer.Option("--every", metavar="DURATION", help="How often it should be heard, such as `5 minutes`."),
    ] = None,
    monitor_key: Annotated[
        str | None, typer.Option("--only-key", metavar="ID", help="The id of the only API key that may speak for it.")
    ] = None,
    description: Annotated[str | None, typer.Option("--description", metavar="TEXT", help="What it is.")] = None,
    reason: Reason = "",
    connection: ControlPlaneOptions,
    as_json: AsJson = False,
) -> None:
    """Declare a monitor, or replace what is declared."""
    from tiergate.cli.output.errors import print_json
    from tiergate.cli.output.status import print_monitors

    body = _given({"every": every, "key": monitor_key, "description": description}) | {"features": feature}
    found = connection.client().call("PUT", _monitor_path(name), body=body, reason=reason)
    if as_json:
        print_json(found)
    else:
        print_monitors([found])


@group.command("delete-monitor")
@expand_options
def delete_monitor(name: MonitorName, *, reason: Reason = "", connection: ControlPlaneOptions) -> None:
    """Delete a monitor; its open reports end."""
    from tiergate.cli.output.console import print_line

    connection.client().call("DELETE", _monitor_path(name), reason=reason)
    print_line(f"monitor {name} deleted")


@group.command("heartbeat")
@expand_options
def heartbeat(name: MonitorName, *, connection: ControlPlaneOptions) -> None:
    """Say that a monitor runs, such as at the end of a scheduled check."""
    connection.client().call("POST", f"{_monitor_path(name)}/heartbeat")


def _given(members: dict[str, str | None]) -> dict[str, object]:
    return {name: value for name, value in members.items() if value is not None}


def _report_path(id_: str) -> str:
    return f"{_REPORTS}/{_segment('ID', id_)}"


def _monitor_path(name: str) -> str:
    return f"{_MONITORS}/{_segment('NAME', name)}"


def _segment(argument: str, text: str) -> str:
    from tiergate.naming import ID_RULE, is_id

    if not is_id(text):
        raise SettingsError(argument, f"`{text}` {ID_RULE}")
    return text


def _print_report(found: dict[str, object], *, as_json: bool) -> None:
    from tiergate.cli.output.errors import print_json
    from tiergate.cli.output.status import print_reports

    if as_json:
        print_json(found)
    else:
        print_reports([found])
