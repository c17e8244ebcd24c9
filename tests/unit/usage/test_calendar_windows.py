"""Calendar windows, held to what is written down and to an oracle that looks at every minute."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tiergate.model import BEGINNING, FOREVER, CalendarUnit, Interval, Term, format_instant, parse_instant
from tiergate.usage import CalendarWindows

ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia", "Asia/Kathmandu")
MINUTE = 60_000


def boundaries(anchor: str, unit: CalendarUnit, count: int, zone: str, numbers: range) -> list[str]:
    """Boundaries as text."""
    windows = CalendarWindows(parse_instant(anchor), unit, count, ZoneInfo(zone))
    return [format_instant(windows.boundary(number)).removesuffix(":00.000Z") for number in numbers]


@pytest.mark.parametrize(
    ("anchor", "unit", "count", "zone", "wanted"),
    [
        (
            "2026-01-31T10:00:00Z",
            CalendarUnit.MONTH,
            1,
            "UTC",
            ["2026-01-31T10:00", "2026-02-28T10:00", "2026-03-31T10:00", "2026-04-30T10:00"],
        ),
        (
            "2024-02-29T00:00:00Z",
            CalendarUnit.YEAR,
            1,
            "UTC",
            ["2024-02-29T00:00", "2025-02-28T00:00", "2026-02-28T00:00", "2027-02-28T00:00", "2028-02-29T00:00"],
        ),
        (
            "2026-08-31T00:00:00Z",
            CalendarUnit.MONTH,
            6,
            "UTC",
            ["2026-08-31T00:00", "2027-02-28T00:00", "2027-08-31T00:00"],
        ),
        ("2026-11-29T00:00:00Z", CalendarUnit.WEEK, 2, "UTC", ["2026-11-29T00:00", "2026-12-13T00:00"]),
        # 02:30 on 29 March does not exist in Berlin: the next that does is 03:00, which is 01:00 in UTC.
        (
            "2026-03-28T01:30:00Z",
            CalendarUnit.DAY,
            1,
            "Europe/Berlin",
            ["2026-03-28T01:30", "2026-03-29T01:00", "2026-03-30T00:30"],
        ),
        # 02:30 on 25 October is there twice: the first is 00:30 in UTC.
        (
            "2026-10-24T00:30:00Z",
            CalendarUnit.DAY,
            1,
            "Europe/Berlin",
            ["2026-10-24T00:30", "2026-10-25T00:30", "2026-10-26T01:30"],
        ),
        # Samoa had no 30 December 2011: that day's boundary is where the 31st begins.
        (
            "2011-12-29T10:00:00Z",
            CalendarUnit.DAY,
            1,
            "Pacific/Apia",
            ["2011-12-29T10:00", "2011-12-30T10:00", "2011-12-30T10:00", "2011-12-31T10:00"],
        ),
        ("2026-10-25T00:30:00Z", CalendarUnit.HOUR, 1, "Europe/Berlin", ["2026-10-25T00:30", "2026-10-25T01:30"]),
    ],
)
def test_boundaries_are_counted_from_the_anchor(
    anchor: str, unit: CalendarUnit, count: int, zone: str, wanted: list[str]
) -> None:
    """Each by itself, so that a short month shortens no other."""
    assert boundaries(anchor, unit, count, zone, range(len(wanted))) == wanted


def test_the_window_at_an_instant_is_the_one_that_it_lies_in() -> None:
    """It begins with its boundary, and ends before the next one; before the anchor too."""
    windows = CalendarWindows.of(Term(CalendarUnit.MONTH, 1, parse_instant("2026-01-31T00:00:00Z")))
    for now, start, until in (
        ("2026-02-27T23:59:59.999Z", "2026-01-31", "2026-02-28"),
        ("2026-02-28T00:00:00Z", "2026-02-28", "2026-03-31"),
        ("2025-12-31T00:00:00Z", "2025-12-31", "2026-01-31"),
        ("2025-12-30T00:00:00Z", "2025-11-30", "2025-12-31"),
    ):
        assert windows.at(parse_instant(now)) == Interval(parse_instant(start), parse_instant(until)), now


def test_time_has_no_boundary_where_calendars_end() -> None:
    """The last window does not end, and the first did not begin."""
    last = CalendarWindows(parse_instant("9999-06-01"), CalendarUnit.YEAR)
    assert last.boundary(1) == FOREVER
    assert last.at(parse_instant("9999-12-31T23:59:59.999Z")).until == FOREVER
    first = CalendarWindows(parse_instant("0001-06-01"), CalendarUnit.YEAR)
    assert first.at(parse_instant("0001-01-01")) == Interval(BEGINNING, parse_instant("0001-06-01"))


def later(wall: datetime, unit: CalendarUnit, count: int) -> datetime:
    """A local time so many units on, found day by day or month by month; a day that is not there is the last before."""
    if unit in {CalendarUnit.DAY, CalendarUnit.WEEK}:
        return wall + timedelta(days=count * (7 if unit is CalendarUnit.WEEK else 1))
    year, month = wall.year, wall.month
    for _ in range(abs(count) * (12 if unit is CalendarUnit.YEAR else 1)):
        month += 1 if count > 0 else -1
        year, month = (year + 1, 1) if month > 12 else (year - 1, 12) if month < 1 else (year, month)
    for day in range(wall.day, 0, -1):
        with suppress(ValueError):
            return wall.replace(year=year, month=month, day=day)
    raise AssertionError


def by_looking(anchor: datetime, number: int, unit: CalendarUnit, count: int, zone: ZoneInfo) -> datetime:
    """The boundary of a number: where the clocks, looked at every minute, first show its local time or a later one."""
    if unit is CalendarUnit.HOUR or not number:
        return anchor + timedelta(hours=number * count)
    wall = later(anchor.astimezone(zone).replace(tzinfo=None), unit, number * count)
    moment = wall.replace(tzinfo=UTC) - timedelta(hours=26)
    while moment.astimezone(zone).replace(tzinfo=None) < wall:
        moment += timedelta(minutes=1)
    return moment


@given(
    anchor=st.datetimes(datetime(1990, 1, 1), datetime(2037, 1, 1)),  # noqa: DTZ001 - made one in UTC below
    number=st.integers(-40, 40),
    unit=st.sampled_from(list(CalendarUnit)),
    count=st.integers(1, 5),
    zone=st.sampled_from(ZONES),
)
def test_boundaries_are_where_the_clocks_show_them(
    anchor: datetime, number: int, unit: CalendarUnit, count: int, zone: str
) -> None:
    """In every zone, forwards and backwards, by a calendar that is not ours."""
    moment = anchor.replace(second=0, microsecond=0, tzinfo=UTC)
    assume(1975 <= moment.year + number * count <= 2100)  # zones once had offsets of seconds, and minutes are looked at
    windows = CalendarWindows(parse_instant(moment.isoformat()), unit, count, ZoneInfo(zone))
    wanted = by_looking(moment, number, unit, count, ZoneInfo(zone))
    assert windows.boundary(number) == parse_instant(wanted.isoformat())


@given(
    anchor=st.integers(0, 2**41),
    now=st.integers(0, 2**41),
    unit=st.sampled_from(list(CalendarUnit)),
    count=st.integers(1, 30),
    zone=st.sampled_from(ZONES),
)
def test_windows_leave_no_gap_and_do_not_overlap(
    anchor: int, now: int, unit: CalendarUnit, count: int, zone: str
) -> None:
    """Every instant lies in one window, and the next one begins where it ends."""
    windows = CalendarWindows(anchor, unit, count, ZoneInfo(zone))
    here = windows.at(now)
    assert here.contains(now)
    assert windows.at(here.until).start == here.until
    assert windows.at(here.start) == here
    assert windows.at(here.start - 1).until == here.start
    assert all(one <= other for one, other in pairwise(windows.boundary(number) for number in range(-3, 4)))
