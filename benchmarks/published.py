"""The published results: `benchmarks/results.json`, and the tables that docs/explanation/performance.md shows of them.

A run with `--update-page` replaces the results that it measured; all others stay, with the date of their own run.
"""

from __future__ import annotations

import os
import platform
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from benchmarks.race.report import markdown_differences, markdown_losses, markdown_table
from benchmarks.race.results import PeerResult  # noqa: TC001 - msgspec reads it
from benchmarks.table import Row, figure

if TYPE_CHECKING:
    from collections.abc import Iterable

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results.json"
PAGE = ROOT / "docs" / "explanation" / "performance.md"


@dataclass
class GroupResult:
    """The rows of a group, when they were measured, and of which commit."""

    rows: list[Row]
    date: str
    commit: str


@dataclass
class Published:
    """The race's results by peer, and the rows by group."""

    machine: str = ""
    race: dict[str, PeerResult] = field(default_factory=dict)
    groups: dict[str, GroupResult] = field(default_factory=dict)


def read_published() -> Published:
    """Read the published results."""
    return msgspec.json.decode(RESULTS.read_bytes(), type=Published)


def publish_race(results: Iterable[PeerResult]) -> None:
    """Replace the results of the measured peers, and update the page."""
    published = read_published()
    for result in results:
        result.date, result.commit = _today(), _commit()
        published.race[result.name] = result
    _write(published)


def publish_group(group: str, rows: list[Row]) -> None:
    """Replace the rows of a group, and update the page."""
    published = read_published()
    published.groups[group] = GroupResult(rows, _today(), _commit())
    _write(published)


def update_page(text: str, published: Published) -> str:
    """Return the page's text with its generated parts renewed.

    Raises:
        ValueError: The page lacks the markers of a part.
    """
    race = list(published.race.values())
    parts = {
        "machine": published.machine,
        "race": markdown_table(race),
        "differences": markdown_differences(race),
        "losses": markdown_losses(race),
        "targets": _targets_table(published),
    }
    for name, part in parts.items():
        text = _replace_part(text, name, part)
    return text


def _replace_part(text: str, name: str, part: str) -> str:
    begin, end = f"<!-- {name}: generated -->", f"<!-- {name}: end -->"
    if text.count(begin) != 1 or text.count(end) != 1:
        msg = f"the page needs the markers `{begin}` and `{end}` once"
        raise ValueError(msg)
    before, _, rest = text.partition(begin)
    return f"{before}{begin}\n{part}\n{end}{rest.partition(end)[2]}"


def _write(published: Published) -> None:
    published.machine = f"{os.cpu_count()} cores ({platform.machine()}), Python {platform.python_version()}"
    text = msgspec.json.format(msgspec.json.encode(published), indent=2)
    RESULTS.write_bytes(text + b"\n")
    PAGE.write_text(update_page(PAGE.read_text("utf-8"), published), "utf-8")


def _targets_table(published: Published) -> str:
    lines = ["| what | measured | target | | from | group, date, commit |", "|---|---|---|---|---|---|"]
    for name, group in published.groups.items():
        for row in group.rows:
            met = {True: "met", False: "**missed**", None: ""}[row.met]
            origin = ", ".join(part for part in (f"`{name}`", group.date, group.commit) if part)
            cells = (row.what, figure(row.figure, row.unit), row.bound, met, row.text, origin)
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _today() -> str:
    return time.strftime("%Y-%m-%d", time.gmtime())


def _commit() -> str:
    command = ["git", "-C", str(ROOT), "rev-parse", "--short=8", "HEAD"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
