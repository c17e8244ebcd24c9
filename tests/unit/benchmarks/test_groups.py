from __future__ import annotations

import re
from pathlib import Path

import pytest

from benchmarks.__main__ import GROUPS
from benchmarks.race.peers import PEERS
from benchmarks.table import Row, figure

ROOT = Path(__file__).parents[3]


def test_the_readme_describes_every_group() -> None:
    """A reader finds each group of `python -m benchmarks` in the table, and none that is gone."""
    text = (ROOT / "benchmarks" / "README.md").read_text("utf-8")
    assert set(re.findall(r"^\| `([a-z-]+)` \|", text, re.MULTILINE)) == set(GROUPS)


def test_the_page_of_results_is_measured_by_groups_that_exist() -> None:
    """`make performance` names groups of `python -m benchmarks`."""
    named = re.search(r"--update-page \$\(or \$\(ARGS\),([a-z -]+)\)", (ROOT / "Makefile").read_text("utf-8"))
    assert named
    assert set(named[1].split()) <= set(GROUPS)


def test_keys_of_peers_are_words_for_a_command_line() -> None:
    """Each peer can be chosen by a key of its own."""
    keys = [peer.key() for peer in PEERS]
    assert len(set(keys)) == len(keys)
    assert all(re.fullmatch(r"[a-z-]+", key) for key in keys)
    assert "flagd-static-flags" in keys


@pytest.mark.parametrize(
    ("row", "met", "bound"),
    [
        (Row("a", 0.3, 0.25, ""), True, "≥ 0.25"),
        (Row("a", 0.2, 0.25, ""), False, "≥ 0.25"),
        (Row("a", 3, 4, "", "ms", most=True), True, "≤ 4 ms"),
        (Row("a", 5, 4, "", "ms", most=True), False, "≤ 4 ms"),
        (Row("a", 5, None, ""), None, ""),
    ],
)
def test_a_target_is_a_lower_or_an_upper_bound(row: Row, met: bool | None, bound: str) -> None:
    """Ratios of speed must be at least their target; times and memory at most."""
    assert (row.met, row.bound) == (met, bound)


def test_figures_have_three_digits_or_thousands() -> None:
    """A figure is as exact as it can be reproduced."""
    assert [figure(*it) for it in ((0.02154, ""), (143.21, "ms"), (12345.6, "/s"))] == ["0.0215", "143 ms", "12,346 /s"]
