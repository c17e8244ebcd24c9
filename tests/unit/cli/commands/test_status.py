"""`tiergate status` at a control plane."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.unit.control.status_plane import status_plane
from tiergate.cli.exit_codes import ExitCode

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.cli.conftest import Cli, Ran


def test_reports_are_made_changed_and_ended(sqlite_url: str, cli: Cli, tmp_path: Path) -> None:
    """With notes, and a reason for the audit log."""
    with status_plane(sqlite_url) as plane:
        (tmp_path / "key").write_text("operations")

        def status(command: str, *args: str) -> Ran:
            return cli("status", command, "--key-file", tmp_path / "key", "--control-plane", plane.admin.url, *args)

        assert status("list").out == "no reports\n"
        report = json.loads(status("report", "calls", "partial", "--tag", "eu", "--note", "x", "--json").out)
        assert (report["audience"], report["note"]) == ({"tags": ["eu"]}, "x")
        lines = [line.split() for line in status("show").out.splitlines()]
        assert lines[0] == ["feature", "status", "since", "reports"]
        assert lines[1:] == [["calls", "partial", "2027-01-15T08:00:00.000Z", "1"], ["mail", "operational", "-", "0"]]
        assert "concerns tags  eu" in status("show", "calls").out
        edited = json.loads(
            status("edit", report["id"], "--start", "2027-01-15T07:00:00Z", "--public-note", "y", "--json").out
        )
        assert (edited["start"], edited["public_note"]) == ("2027-01-15T07:00:00.000Z", "y")
        ended = status("end", report["id"], "--reason", "wieder da")
        assert "until          2027-01-15T08:00:00.000Z" in ended.out
        assert json.loads(status("list", "--open", "--json").out) == []
        assert "open" in status("edit", report["id"], "--reopen").out
        assert status("edit", report["id"], "--reopen", "--until", "2027-01-16").code == ExitCode.USAGE
        both = status("edit", report["id"], "--status", "down", "--no-audience", "--tag", "eu")
        assert both.code == ExitCode.USAGE
        worse = json.loads(status("edit", report["id"], "--status", "down", "--no-audience", "--json").out)
        assert (worse["status"], "audience" in worse) == ("down", False)
        status("edit", report["id"], "--status", "partial")
        assert len(json.loads(status("list", "--status", "partial", "--feature", "calls", "--json").out)) == 1
        assert status("delete", report["id"]).out == f"report {report['id']} deleted\n"
        assert status("delete", "a/b").code == ExitCode.USAGE


def test_monitors_are_declared_and_heard(sqlite_url: str, cli: Cli, tmp_path: Path) -> None:
    """A heartbeat writes nothing, for scheduled jobs."""
    with status_plane(sqlite_url) as plane:
        (tmp_path / "key").write_text("operations")

        def status(command: str, *args: str) -> Ran:
            return cli("status", command, "--key-file", tmp_path / "key", "--control-plane", plane.admin.url, *args)

        assert status("monitors").out == "no monitors\n"
        declared = status("declare-monitor", "probe", "--feature", "calls", "--feature", "mail", "--every", "5 minutes")
        assert "never heard" in declared.out
        assert status("heartbeat", "probe") == (0, "", "")
        (monitor,) = json.loads(status("monitors", "--json").out)
        assert (monitor["state"], monitor["features"]) == ("heard", ["calls", "mail"])
        assert status("delete-monitor", "probe").code == 0
        assert status("heartbeat", "probe").code == ExitCode.USAGE
