"""Service levels on random histories, against sums that look at each instant by itself."""

from __future__ import annotations

import random
from fractions import Fraction
from itertools import pairwise
from math import floor
from typing import TYPE_CHECKING, Final

import pytest
from whenever import Instant as Moment
from whenever import ZonedDateTime

from tiergate.model import (
    BEGINNING,
    FOREVER,
    MILLIONTHS,
    CalendarUnit,
    Interval,
    Reporter,
    ReporterKind,
    ServiceLevel,
    Status,
    StatusReport,
)
from tiergate.status.courses import Durations, course_of, pieces_of
from tiergate.status.figures import Target, durations, figures
from tiergate.status.timeline import timeline, worst_at
from tiergate.status.windows import window_at

if TYPE_CHECKING:
    from collections.abc import Iterable

LENGTH: Final = 48
"""Histories are short, so that each instant can be looked at, and much of them falls together."""

REPORTER: Final = Reporter(ReporterKind.PERSON, "ops")


class Instants:
    """Which of the instants of a history are in something: a set of bits, one for each."""

    def __init__(self, within: Interval) -> None:
        self.all = self.of(within.start, within.until)

    @staticmethod
    def of(start: int, until: int) -> int:
        """The instants of a span that are in the history."""
        first, last = max(start, 0), min(until, LENGTH)
        return ((1 << last) - 1) & ~((1 << first) - 1) if first < last else 0

    def union(self, spans: Iterable[tuple[int, int]]) -> int:
        """The instants that are in any of the spans."""
        bits = 0
        for start, until in spans:
            bits |= self.of(start, until)
        return bits & self.all


def history(choose: random.Random) -> list[StatusReport]:
    """Reports that overlap, touch, have open ends, or lie outside; one of them is corrected after the fact."""
    reports = []
    for number in range(choose.randrange(9)):
        start = choose.choice((BEGINNING, -3, *(choose.randrange(LENGTH) for _ in range(8))))
        until = choose.choice((FOREVER, *(max(start, 0) + choose.randrange(LENGTH // 2) for _ in range(5))))
        status = choose.choice(list(Status))
        reports.append(
            StatusReport(id=str(number), feature="api", status=status, start=start, until=until, reporter=REPORTER)
        )
    return reports


def looked_at(reports: list[StatusReport], within: Interval, silences: list[Interval]) -> Durations:
    """How long each status lasted, by sets of instants instead of a sweep."""
    instants = Instants(within)
    by_status = {
        status: instants.union((report.start, report.until) for report in reports if report.status is status)
        for status in Status
    }
    rest = instants.all
    counted = {}
    for status in (Status.MAINTENANCE, Status.DOWN, Status.PARTIAL, Status.DEGRADED):
        counted[status.value] = (by_status[status] & rest).bit_count()
        rest &= ~by_status[status]
    silent = instants.union((silence.start, silence.until) for silence in silences)
    return Durations(unknown=(silent & rest).bit_count(), operational=(rest & ~silent).bit_count(), **counted)


def compare(seed: int, cases: int) -> None:
    """Compare durations, timelines and figures of random histories."""
    choose = random.Random(seed)
    for case in range(cases):
        where = (seed, case)
        reports = history(choose)
        start = choose.randrange(LENGTH)
        within = Interval(start, choose.randrange(start, LENGTH + 1))
        silences = [
            Interval(at, at + choose.randrange(12))
            for at in (choose.randrange(LENGTH) for _ in range(choose.choice((0, 0, 1, 3))))
        ]
        wanted = looked_at(reports, within, silences)
        assert durations(reports, within, silences) == wanted, where
        part = Interval(choose.randrange(within.start, within.until + 1), within.until)
        part = Interval(part.start, choose.randrange(part.start, part.until + 1))
        course = course_of(pieces_of(reports), within, silences)
        assert course.durations(part) == looked_at(reports, part, silences), where
        check_timeline(reports, within, silences, where)
        check_targets(choose, reports, within, silences, where)


def check_timeline(
    reports: list[StatusReport], within: Interval, silences: list[Interval], where: tuple[int, int]
) -> None:
    """It covers the interval, neighbours differ, and it shows the worst report of each instant."""
    reached, before = within.start, None
    for stretch in timeline(reports, within, silences):
        assert stretch.interval.start == reached, where
        assert stretch.interval.until > reached, where
        state = (stretch.worst, stretch.maintenance, stretch.silent)
        assert state != before, where
        for instant in range(stretch.interval.start, stretch.interval.until):
            assert stretch.shown is worst_at(reports, instant), where
        reached, before = stretch.interval.until, state
    assert reached == max(within.start, within.until), where


def check_targets(
    choose: random.Random,
    reports: list[StatusReport],
    within: Interval,
    silences: list[Interval],
    where: tuple[int, int],
) -> None:
    """A promise that changes is kept or broken in each part by itself; the budgets add up."""
    bounds = sorted({-5, LENGTH + 5, *(choose.randrange(LENGTH) for _ in range(choose.randrange(4)))})
    targets = []
    for first, last in pairwise(bounds):
        level = ServiceLevel(
            availability=choose.choice((0, 500_000, 990_000, 999_999, MILLIONTHS)),
            spent_by=choose.choice((Status.DEGRADED, Status.PARTIAL, Status.DOWN)),
        )
        targets.append(Target(Interval(first, last), choose.choice((None, level, level))))
    spent, measured, allowed = 0, 0, Fraction(0)
    for target in targets:
        promised = target.service_level
        if promised is None:
            continue
        part = Interval(max(target.interval.start, within.start), min(target.interval.until, within.until))
        seen = looked_at(reports, part, silences)
        bad = {Status.DOWN: seen.down, Status.PARTIAL: seen.down + seen.partial}
        spent += bad.get(promised.spent_by, seen.down + seen.partial + seen.degraded)
        measured += seen.operational + seen.degraded + seen.partial + seen.down
        allowed += (seen.operational + seen.degraded + seen.partial + seen.down) * (
            1 - Fraction(promised.availability, MILLIONTHS)
        )
    found = figures(reports, within, targets, silences)
    assert found.durations == looked_at(reports, within, silences), where
    assert (found.spent, found.promised) == (spent, measured), where
    assert found.availability == (None if measured == 0 else floor(Fraction(measured - spent, measured) * MILLIONTHS))
    if found.allowed is not None:
        assert found.kept is (spent <= allowed), where
        assert found.left == floor(allowed - spent), where


def test_service_levels_are_those_of_each_instant() -> None:
    """With overlapping reports, open ends, maintenance across both ends, and promises that change."""
    compare(1, 1_000)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2, 12))
def test_many_service_levels_are_those_of_each_instant(seed: int) -> None:
    """As above, 100,000 times."""
    compare(seed, 10_000)


def test_windows_are_the_months_of_another_calendar() -> None:
    """Months of any length, where clocks change too."""
    choose = random.Random(3)
    for _ in range(500):
        zone = choose.choice(("UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"))
        at = Moment.from_timestamp(choose.randrange(0, 4_000_000_000)).to_tz(zone)
        start = ZonedDateTime(at.year, at.month, 1, tz=zone)
        window = window_at(
            ServiceLevel(availability=999_000, window=CalendarUnit.MONTH, timezone=zone),
            at.timestamp(unit="millisecond"),
        )
        assert window.start == start.timestamp(unit="millisecond")
        assert window.until == start.add(months=1).timestamp(unit="millisecond")
