"""What a minute of outcomes says."""

from __future__ import annotations

import random

import pytest

from tiergate.model import Interval, ServiceLevel, Status
from tiergate.status.outcomes import MINUTE_MS, Outcomes, bad_intervals, judge, minute_of

LEVEL = ServiceLevel(availability=999_000, latency_ms=300)


@pytest.mark.parametrize(
    ("outcomes", "status"),
    [
        (Outcomes(), Status.OPERATIONAL),
        (Outcomes(4, 4), Status.OPERATIONAL),  # too few to say anything
        (Outcomes(100, 4), Status.OPERATIONAL),
        (Outcomes(100, 5), Status.DEGRADED),
        (Outcomes(100, 49), Status.DEGRADED),
        (Outcomes(100, 50), Status.DOWN),
        (Outcomes(100, 0, {300: 5}), Status.DEGRADED),
        (Outcomes(100, 2, {300: 3}), Status.DEGRADED),
        (Outcomes(100, 0, {300: 100}), Status.DEGRADED),  # slow is never down
        (Outcomes(100, 0, {500: 90}), Status.OPERATIONAL),  # not known for 300
        (Outcomes(100, 0, {200: 5}), Status.DEGRADED),  # at least as many are slower than 200
    ],
)
def test_a_minute_is_judged_by_its_share_of_failures(outcomes: Outcomes, status: Status) -> None:
    """And by those that are slow."""
    assert judge(outcomes, LEVEL) is status


def test_a_service_level_may_judge_otherwise() -> None:
    """By its own percentages, and its own least number of requests."""
    level = ServiceLevel(availability=999_000, least=1, degraded=1, down=10)
    assert judge(Outcomes(1, 1), level) is Status.DOWN
    assert judge(Outcomes(100, 1), level) is Status.DEGRADED
    assert judge(Outcomes(100, 0, {1: 100}), level) is Status.OPERATIONAL


def test_sums_do_not_depend_on_the_order_or_grouping() -> None:
    """Sidecars report in any order."""
    choose = random.Random(4)
    for _ in range(200):
        parts = [
            Outcomes(choose.randrange(9), choose.randrange(3), {300: choose.randrange(4), 900: choose.randrange(2)})
            for _ in range(4)
        ]
        whole = parts[0] + parts[1] + parts[2] + parts[3]
        choose.shuffle(parts)
        assert (parts[0] + parts[1]) + (parts[2] + parts[3]) == whole


def test_a_sidecar_that_counts_another_latency_is_not_forgotten() -> None:
    """During a change of the promise."""
    assert Outcomes(10, 0, {300: 4}) + Outcomes(10, 0, {500: 2}) == Outcomes(20, 0, {300: 4, 500: 6})


def test_bad_minutes_that_touch_are_one_interval() -> None:
    """Judged by what was promised when they began."""
    bad, good, worse = Outcomes(100, 5), Outcomes(100), Outcomes(100, 100)
    minutes = {number * MINUTE_MS: said for number, said in enumerate((good, bad, bad, worse, good, bad, bad))}
    strict = ServiceLevel(availability=999_000)
    lenient = ServiceLevel(availability=900_000, degraded=20)
    levels = [(Interval(6 * MINUTE_MS, 9 * MINUTE_MS), lenient), (Interval(0, 6 * MINUTE_MS), strict)]
    assert bad_intervals(minutes, levels) == [
        (Interval(1 * MINUTE_MS, 3 * MINUTE_MS), Status.DEGRADED),
        (Interval(3 * MINUTE_MS, 4 * MINUTE_MS), Status.DOWN),
        (Interval(5 * MINUTE_MS, 6 * MINUTE_MS), Status.DEGRADED),
    ]
    assert bad_intervals(minutes, []) == []


def test_minutes_begin_at_whole_minutes_before_1970_too() -> None:
    """Floored, not cut towards zero."""
    assert minute_of(MINUTE_MS + 1) == MINUTE_MS
    assert minute_of(-1) == -MINUTE_MS
