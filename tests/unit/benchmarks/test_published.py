from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from benchmarks import published
from benchmarks.race.results import PeerResult, Speed
from benchmarks.table import Row

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each test write copies of the results and the page."""
    for name in ("RESULTS", "PAGE"):
        path = getattr(published, name)
        shutil.copyfile(path, tmp_path / path.name)
        monkeypatch.setattr(published, name, tmp_path / path.name)


def test_the_rows_of_a_measured_group_replace_the_earlier_ones() -> None:
    """All other groups and the race stay; the page shows the new rows with date and commit."""
    before = published.read_published()
    published.publish_group("engine", [Row("a decision", 0.5, 0.6, "made of", most=True)])
    after = published.read_published()
    engine = after.groups.pop("engine")
    assert [row.what for row in engine.rows] == ["a decision"]
    assert engine.date
    assert engine.commit
    before.groups.pop("engine")
    assert (after.groups, after.race) == (before.groups, before.race)
    line = f"| a decision | 0.5 | ≤ 0.6 | met | made of | `engine`, {engine.date}, {engine.commit} |"
    assert line in published.PAGE.read_text("utf-8").splitlines()


def test_the_result_of_a_measured_peer_replaces_the_earlier_one() -> None:
    """A peer that was not on the path keeps its earlier result."""
    before = published.read_published()
    speed = Speed(rate=5_000, of_floor=0.05, p99_ms=2)
    published.publish_race([PeerResult("OPA", "9.9.9", "Differs.", repeated=speed, varying=speed)])
    after = published.read_published()
    opa = after.race["OPA"]
    assert (opa.version, opa.varying, bool(opa.date)) == ("9.9.9", speed, True)
    assert after.race["Cerbos"] == before.race["Cerbos"]
    assert "| OPA 9.9.9 | 5,000 (0.05) |" in published.PAGE.read_text("utf-8")
