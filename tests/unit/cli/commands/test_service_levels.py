"""`tiergate status service-level`, `service-levels` and `export-service-levels` at a control plane."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.unit.control.levels_plane import HOUR, JUNE, serve_levels
from tiergate.cli.exit_codes import ExitCode
from tiergate.cli.output.service_levels import duration_text
from tiergate.model import Status

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.cli.conftest import Cli, Ran


def test_service_levels_are_shown_listed_and_exported(sqlite_template: Path, cli: Cli, tmp_path: Path) -> None:
    """As text and as the API's JSON; of a feature or of an item."""
    with serve_levels(sqlite_template, tmp_path) as plane:
        plane.forget()
        plane.report("api", Status.DOWN, JUNE, JUNE + HOUR // 4)
        (tmp_path / "key").write_text("analyst")
        url = str(plane.viewer.base_url)

        def status(command: str, *args: str) -> Ran:
            return cli("status", command, "--key-file", tmp_path / "key", "--control-plane", url, *args)

        shown = status("service-level", "api").out
        assert shown.splitlines()[0] == "api: 99.9 % of each month"
        assert "error budget  15 min spent (34.7%), 28 min 12 s left of 43 min 12 s" in shown
        assert "availability  99.9281 %, kept" in shown
        found = json.loads(status("service-level", "api", "--item", "premium", "--json").out)
        assert (found["item"], found["budget"]["spent_ms"], found["kept"]) == ("premium", HOUR // 4, False)
        assert "nothing is promised" in status("service-level", "plain", "--from", "2027-06-01").out
        lines = [line.split() for line in status("service-levels", "--order", "budget_left").out.splitlines()]
        assert [line[:2] for line in lines[1:]] == [
            ["api", "premium"],
            ["api", "-"],
            ["chat", "-"],
            ["plain", "premium"],
        ]
        broken = json.loads(status("service-levels", "--broken", "--json").out)
        assert [(it["feature"], it["item"]) for it in broken] == [("api", "premium")]
        assert status("service-levels", "--item", "basic").out == "no service levels\n"
        rows = status("export-service-levels", "--from", "2027-06-01", "--feature", "api").out.splitlines()
        assert [row.split(",")[:3] for row in rows[1:]] == [
            ["api", "", "2027-06-01T00:00:00.000Z"],
            ["api", "premium", "2027-06-01T00:00:00.000Z"],
        ]
        (line,) = status(
            "export-service-levels", "--format", "ndjson", "--broken", "--from", "2027-06-01"
        ).out.splitlines()
        assert json.loads(line)["spent_ms"] == HOUR // 4
        assert status("service-level", "apo").code == ExitCode.USAGE


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [
        (0, "0"),
        (999, "999 ms"),
        (-61_000, "-1 min 1 s"),
        (3_600_000, "1 h"),
        (3_601_000, "1 h"),
        (90_061_000, "1 d 1 h"),
    ],
)
def test_durations_are_their_two_largest_units(milliseconds: int, text: str) -> None:
    """Rounded down."""
    assert duration_text(milliseconds) == text
