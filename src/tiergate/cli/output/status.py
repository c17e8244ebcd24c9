"""Status of features, reports and monitors, as tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tiergate.cli.output.console import print_line, print_table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Json = Mapping[str, Any]


def print_statuses(statuses: Sequence[Json], *, with_reports: bool) -> None:
    """Print features with their status; `with_reports`: and the reports that are open or begin later."""
    rows = [("feature", "status", "since", "reports")]
    for it in statuses:
        shown = it["status"] if it["state"] == "active" else it["state"]
        rows.append((it["feature"], shown, it.get("since", "-"), str(len(it["reports"]))))
    _print_columns(rows, "no features")
    if with_reports:
        for it in statuses:
            if it["reports"]:
                print_line()
                print_reports(it["reports"])


def print_reports(reports: Sequence[Json]) -> None:
    """Print reports, each with its notes."""
    if not reports:
        print_line("no reports")
    for report in reports:
        print_line(f"{report['id']}  {report['feature']}  {report['status']}")
        rows = [("from", report["start"]), ("until", report.get("until", "open"))]
        if "reporter" in report:
            rows.append(("by", f"{report['reporter']} ({report['reporter_kind']})"))
        notes = [(name, report[name]) for name in ("note", "public_note") if name in report]
        rows += [(name.replace("_", " "), " ".join(text.splitlines())) for name, text in notes]
        rows += [(f"concerns {name}", ", ".join(ids)) for name, ids in report.get("audience", {}).items()]
        print_table(rows)


def print_monitors(monitors: Sequence[Json]) -> None:
    """Print monitors."""
    rows = [("monitor", "state", "every", "heard", "features")]
    for it in monitors:
        state = it["state"].replace("_", " ")
        rows.append((it["name"], state, it.get("every", "-"), it.get("heard_at", "-"), ", ".join(it["features"])))
    _print_columns(rows, "no monitors")


def _print_columns(rows: Sequence[tuple[str, ...]], nothing: str) -> None:
    if len(rows) == 1:
        print_line(nothing)
        return
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    for row in rows:
        print_line("  ".join(f"{text:{width}}" for text, width in zip(row, widths, strict=True)).rstrip())
