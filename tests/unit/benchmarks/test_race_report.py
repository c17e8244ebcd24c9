from __future__ import annotations

from benchmarks.race.report import markdown_losses, markdown_table, summary
from benchmarks.race.results import PeerResult, Speed


def result(name: str, varying: float, *, rss_mb: float = 100, problem: str = "") -> PeerResult:
    """Return a result with a varying speed, as a share of the floor."""
    if problem:
        return PeerResult(name, "1.0.0", "Differs.", problem=problem)
    speed = Speed(varying * 100_000, varying, 1.0)
    return PeerResult(
        name, "1.0.0", "Differs.", varying=speed, repeated=speed, rss_mb=rss_mb, change_ms=4, change="file"
    )


def test_the_fastest_of_varying_checks_stands_first() -> None:
    """The table is in the order of the harder work, with ratios to the floor and to Tiergate."""
    table = markdown_table([result("Tiergate", 0.2), result("OPA", 0.4)])
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()[2:]]
    assert [row[0] for row in rows] == ["OPA 1.0.0", "Tiergate 1.0.0"]
    assert rows[0][2] == "40,000 (0.4)"
    assert rows[0][4] == "2"
    assert rows[0][-1] == "4 ms (file)"


def test_losses_have_whoever_is_better_and_by_how_much() -> None:
    """More requests and less memory are better; what is equal or worse is not listed."""
    losses = markdown_losses([result("Tiergate", 0.2), result("OPA", 0.4, rss_mb=50), result("flagd", 0.1, rss_mb=300)])
    lines = losses.splitlines()
    assert "- **varying checks**: OPA 2.0×" in lines
    assert "- **memory**: OPA 2.0×" in lines
    assert "flagd" not in losses
    assert "change" not in losses


def test_a_peer_with_a_problem_has_no_figures() -> None:
    """Its row and its line have the problem instead."""
    wrong = result("OPA", 0, problem="3 of 400 answers wrong")
    assert markdown_table([wrong]).splitlines()[2].startswith("| OPA 1.0.0 | 3 of 400 answers wrong |  |")
    assert summary(wrong) == "OPA 1.0.0: 3 of 400 answers wrong"
