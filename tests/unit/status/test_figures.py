"""Uptime, downtime and error budgets of one month."""

from __future__ import annotations

from typing import Final

import pytest

from tiergate.model import Interval, Reporter, ReporterKind, ServiceLevel, Status, StatusReport, parse_instant
from tiergate.status.courses import Durations, pieces_of
from tiergate.status.figures import Budget, Target, budget_of, durations, figures, silences

MINUTE: Final = 60_000
JUNE: Final = Interval(parse_instant("2026-06-01"), parse_instant("2026-07-01"))
MONTH: Final = JUNE.until - JUNE.start
THREE_NINES: Final = ServiceLevel(availability=999_000)


def report(status: Status, first: int, minutes: int) -> StatusReport:
    """A report that begins `first` minutes into the month."""
    start = JUNE.start + first * MINUTE
    return StatusReport(
        id=f"{status}-{first}",
        feature="api",
        status=status,
        start=start,
        until=start + minutes * MINUTE,
        reporter=Reporter(ReporterKind.PERSON, "ops"),
    )


def test_a_month_without_reports_is_all_uptime() -> None:
    """And the whole budget is left: 43.2 minutes of 30 days."""
    found = figures([], JUNE, [Target(JUNE, THREE_NINES)])
    assert found.durations == Durations(operational=MONTH)
    assert (found.availability, found.kept, found.left) == (1_000_000, True, MONTH // 1_000)
    assert budget_of(found, None, None).left == found.left


def test_the_budget_of_a_window_has_its_rest_too() -> None:
    """Without the maintenance that is planned; what was promised before counts as it was."""
    half = Interval(JUNE.start, JUNE.start + MONTH // 2)
    rest = Interval(half.until, JUNE.until)
    so_far = figures([report(Status.DOWN, 0, 10)], half, [Target(half, ServiceLevel(availability=990_000))])
    planned = [report(Status.MAINTENANCE, 20 * 1440, 1000), report(Status.DOWN, 20 * 1440, 60)]
    budget = budget_of(so_far, THREE_NINES, rest, pieces_of(planned))
    assert budget == Budget(MONTH // 2 * 10_000 + (MONTH // 2 - 1000 * MINUTE) * 1_000, 10 * MINUTE)
    assert budget_of(so_far, None, rest).allowed == MONTH // 2 * 10_000


@pytest.mark.parametrize(("spent", "percent", "expected"), [(0, 50, False), (49, 50, False), (50, 50, True)])
def test_levels_of_a_budget_are_reached_exactly(spent: int, percent: int, expected: bool) -> None:
    """Of an empty budget, anything is all of it."""
    assert Budget(100_000_000, spent).has_spent(percent) is expected
    assert Budget(0, spent).has_spent(100) is (spent > 0)
    assert Budget(0, spent).share_spent is None


def test_downtime_within_maintenance_is_maintenance() -> None:
    """What was announced is counted apart, and not measured."""
    reports = [report(Status.MAINTENANCE, 0, 60), report(Status.DOWN, 50, 30)]
    found = figures(reports, JUNE, [Target(JUNE, THREE_NINES)])
    assert found.durations.maintenance == 60 * MINUTE
    assert found.durations.down == found.spent == 20 * MINUTE
    assert found.promised == MONTH - 60 * MINUTE


def test_degradation_spends_the_budget_only_if_the_promise_says_so() -> None:
    """By itself, degraded is counted but not spent."""
    reports = [report(Status.DEGRADED, 0, 100)]
    assert figures(reports, JUNE, [Target(JUNE, THREE_NINES)]).spent == 0
    strict = ServiceLevel(availability=999_000, spent_by=Status.DEGRADED)
    found = figures(reports, JUNE, [Target(JUNE, strict)])
    assert (found.spent, found.kept) == (100 * MINUTE, False)
    assert found.left == MONTH // 1_000 - 100 * MINUTE


def test_a_budget_is_kept_to_the_last_millisecond() -> None:
    """Spending exactly the budget keeps the promise; one millisecond more breaks it."""
    budget = MONTH // 1_000
    for more, kept in ((0, True), (1, False)):
        down = StatusReport(
            id="1",
            feature="api",
            status=Status.DOWN,
            start=JUNE.start,
            until=JUNE.start + budget + more,
            reporter=Reporter(ReporterKind.MONITOR, "probe"),
        )
        assert figures([down], JUNE, [Target(JUNE, THREE_NINES)]).kept is kept


def test_a_burn_rate_of_one_spends_the_budget_exactly() -> None:
    """Twice the budget is a rate of 2."""
    found = figures([report(Status.DOWN, 0, 2 * 432)], JUNE, [Target(JUNE, ServiceLevel(availability=990_000))])
    assert found.burn_rate == pytest.approx(2.0)


def test_nothing_measured_is_no_availability() -> None:
    """A month of maintenance, or of silence, says neither yes nor no."""
    for unknown in (True, False):
        reports = [] if unknown else [report(Status.MAINTENANCE, -5, 10**6)]
        found = figures(reports, JUNE, [Target(JUNE, THREE_NINES)], [JUNE] if unknown else [])
        assert found.availability is None
        assert found.burn_rate is None


def test_a_silent_monitor_is_told_apart_from_one_that_says_all_is_well() -> None:
    """Unknown from the time at which it should have been heard."""
    heard = [JUNE.start, JUNE.start + MINUTE, JUNE.start + 20 * MINUTE]
    quiet = silences(heard, 5 * MINUTE, JUNE.start + 22 * MINUTE)
    assert quiet == [Interval(JUNE.start + 6 * MINUTE, JUNE.start + 20 * MINUTE)]
    assert durations([], JUNE, quiet).unknown == 14 * MINUTE
    assert silences(heard, 5 * MINUTE, JUNE.until)[-1].until == JUNE.until
    assert silences([], 5 * MINUTE, JUNE.until) == []


def test_no_promise_has_no_budget() -> None:
    """The durations are there all the same."""
    found = figures([report(Status.DOWN, 0, 5)], JUNE, [Target(JUNE, None)])
    assert found.durations.down == 5 * MINUTE
    assert (found.allowed, found.kept, found.left, found.availability) == (None, None, None, None)
