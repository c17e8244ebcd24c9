"""Windows of usage on random anchors, zones and instants, against the calendar of another library."""

from __future__ import annotations

import random
from itertools import pairwise
from typing import TYPE_CHECKING, Final
from zoneinfo import available_timezones

import pytest
from whenever import Instant, TimeZoneNotFoundError

from tests.usage_calendar import Grid
from tiergate.model import BEGINNING, FOREVER, CalendarUnit, Interval, Metered, WindowAnchor
from tiergate.usage.windows import UsageWindows

if TYPE_CHECKING:
    import tiergate.model

YEAR: Final = 365 * 24 * 3_600_000
FIRST: Final = -68 * YEAR
LAST: Final = 230 * YEAR
COUNTS: Final = (1, 1, 1, 2, 3, 4, 5, 12, 100)
GRIDS: Final = (WindowAnchor.CALENDAR, WindowAnchor.SUBSCRIPTION)


def zones() -> list[str]:
    """Every time zone that both libraries know."""
    found = []
    for name in sorted(available_timezones()):
        try:
            Instant.from_timestamp(0).to_tz(name)
        except TimeZoneNotFoundError:
            continue
        found.append(name)
    assert len(found) > 400
    return found


def instant(choose: random.Random, zone: str) -> tiergate.model.Instant:
    """A random instant, often one that is close to a change of the clocks, or on the last days of a month."""
    at = choose.randrange(FIRST, LAST)
    match choose.randrange(4):
        case 0:
            change = Instant.from_timestamp(at, unit="millisecond").to_tz(zone).next_transition()
            if change is not None:
                hour = 3_600_000
                days = choose.choice((0, 0, 1, 7, 30, 365)) * 24 * hour
                return change.timestamp(unit="millisecond") - days + choose.randrange(-2 * hour, 2 * hour)
        case 1:
            month_end = Instant.from_timestamp(at, unit="millisecond").to_tz(zone).start_of("month")
            return month_end.timestamp(unit="millisecond") - choose.randrange(4 * 24 * 3_600_000)
        case _:
            pass
    return at


def compare(seed: int, cases: int) -> None:
    """Compare the windows at random instants, and at the two ends of each."""
    choose = random.Random(seed)
    known = zones()
    for case in range(cases):
        zone = choose.choice(known)
        metered = Metered(
            reset=choose.choice(list(CalendarUnit)),
            every=choose.choice(COUNTS),
            anchor=choose.choice(GRIDS),
            timezone=zone,
        )
        anchor, now = instant(choose, zone), instant(choose, zone)
        windows, grid = UsageWindows(metered, anchor), Grid(metered, anchor)
        wanted = grid.window(now)
        moments = {now, wanted[0], wanted[1] - 1, wanted[1]} - {BEGINNING, FOREVER, FOREVER - 1}
        for moment in choose.sample(sorted(moments), len(moments)):
            start, until = wanted if wanted[0] <= moment < wanted[1] else grid.window(moment)
            where = (seed, case, metered, anchor, moment)
            assert windows.at(moment) == Interval(start, until), where
            assert start <= moment < until, where


def test_windows_are_those_of_another_calendar() -> None:
    """For each anchor, zone and instant."""
    compare(1, 1_500)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2, 12))
def test_many_windows_are_those_of_another_calendar(seed: int) -> None:
    """As above, 100,000 times."""
    compare(seed, 10_000)


def follow(seed: int) -> None:
    """Follow an account whose anchor, reset and zone move, and check its windows one after the other."""
    choose = random.Random(seed)
    known = ("UTC", "Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe", "Pacific/Apia")
    now = choose.randrange(0, 60 * YEAR)
    history: list[Interval] = []
    windows = UsageWindows(Metered())
    for _ in range(60):
        if choose.random() < 0.3:
            reset = choose.choice((*CalendarUnit, *CalendarUnit, None))
            anchor = choose.choice(list(WindowAnchor))
            metered = Metered(
                reset=reset, every=choose.choice((1, 1, 2, 5)), anchor=anchor, timezone=choose.choice(known)
            )
            windows = UsageWindows(metered, now + choose.randrange(-YEAR, YEAR))
        now += int(10 ** choose.uniform(0, 10.5))
        window = windows.at(now, history[-1] if history else None)
        assert window.start <= now < window.until
        assert windows.at(now, window) == window, "what was returned is still open"
        assert windows.at(window.until - 1, window) == window, "until its end"
        if history and window.start == history[-1].start:
            history[-1] = window
        else:
            assert not history or history[-1].until <= window.start
            history.append(window)
        late = now - int(10 ** choose.uniform(0, 11))
        counted = windows.window_of(late, history)
        assert counted.start <= late < counted.until
        apart = [other for other in history if other.start != counted.start]
        assert all(other.until <= counted.start or counted.until <= other.start for other in apart)
    assert all(first.start < first.until <= second.start for first, second in pairwise(history))


def test_an_account_whose_windows_move_is_in_one_window_at_each_instant() -> None:
    """Whatever moves, windows do not overlap, and strictly increase."""
    for seed in range(300):
        follow(seed)


@pytest.mark.slow
def test_many_accounts_whose_windows_move_are_in_one_window_at_each_instant() -> None:
    """As above, 20,000 times."""
    for seed in range(300, 20_300):
        follow(seed)
