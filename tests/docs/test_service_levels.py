"""The worked example of the page about service levels, computed."""

from __future__ import annotations

from tests.docs.pages import ROOT
from tiergate.model import (
    MILLIONTHS,
    Interval,
    Reporter,
    ReporterKind,
    ServiceLevel,
    Status,
    StatusReport,
    parse_instant,
)
from tiergate.status.courses import pieces_of
from tiergate.status.figures import Target, budget_of, figures

TEXT = (ROOT / "docs" / "explanation" / "service-levels.md").read_text(encoding="utf-8")
NOW = parse_instant("2027-06-15T12:00:00Z")
REPORTER = Reporter(ReporterKind.PERSON, "ops")
JUNE = Interval(parse_instant("2027-06-01"), parse_instant("2027-07-01"))


def report(status: Status, start: str, until: str) -> StatusReport:
    """A row of the page's table."""
    begun, ended = (parse_instant(f"2027-06-{text.replace(' ', 'T')}:00Z") for text in (start, until))
    return StatusReport(id="", feature="api", status=status, start=begun, until=ended, reporter=REPORTER)


REPORTS = [
    report(Status.MAINTENANCE, "01 00:00", "01 01:00"),
    report(Status.DOWN, "01 01:00", "01 01:10"),
    report(Status.DEGRADED, "04 09:00", "04 10:00"),
    report(Status.PARTIAL, "15 11:30", "15 11:45"),
    report(Status.MAINTENANCE, "20 02:00", "20 04:00"),
]


def text_of(milliseconds: int) -> str:
    """Minutes and seconds as the page writes them, without tenths."""
    minutes, seconds = divmod(round(abs(milliseconds) / 1000), 60)
    return f"{minutes} minutes and {seconds} seconds"


def test_the_example_is_right() -> None:
    """Each figure stands on the page."""
    page = " ".join(TEXT.split())
    level = ServiceLevel(availability=999_000)
    so_far, rest = Interval(JUNE.start, NOW), Interval(NOW, JUNE.until)
    found = figures(REPORTS, so_far, [Target(JUNE, level)])
    assert found.availability is not None
    assert f"= {found.availability / 10_000} %" in page
    assert found.kept is False
    assert text_of((found.allowed or 0) // MILLIONTHS) in page
    budget = budget_of(found, level, rest, pieces_of(REPORTS))
    assert (budget.allowed, budget.left) == (43 * 60_000 * MILLIONTHS + 1_200 * MILLIONTHS, 18 * 60_000 + 1_200)
    assert "43 minutes and 1.2 seconds are allowed. 18 minutes and 1.2 seconds are left, and 58 % are spent" in page
    for length, rate in ((300_000, 0), (3_600_000, 250)):
        assert figures(REPORTS, Interval(NOW - length, NOW), [Target(JUNE, level)]).burn_rate == rate
    premium = ServiceLevel(availability=999_900)
    overdrawn = budget_of(figures(REPORTS, so_far, [Target(JUNE, premium)]), premium, rest, pieces_of(REPORTS)).left
    assert f"overdrawn by {text_of(overdrawn)}" in page
