"""Windows of usage: the boundaries of each reset, what happens when an anchor moves, and late usage."""

from __future__ import annotations

import subprocess
import sys
from itertools import pairwise

import pytest

from tiergate.model import (
    BEGINNING,
    FOREVER,
    CalendarUnit,
    Interval,
    Metered,
    WindowAnchor,
    format_instant,
    parse_instant,
)
from tiergate.usage.windows import DEFAULT_ANCHOR, ONLY_WINDOW, UsageWindows, time_zone

HOUR, DAY, WEEK, MONTH, YEAR = CalendarUnit
CALENDAR, SUBSCRIPTION, FIRST_USE = WindowAnchor
MONTHLY = UsageWindows(Metered(reset=MONTH))


def interval(start: str, until: str) -> Interval:
    """An interval, from text."""
    return Interval(parse_instant(start), parse_instant(until))


def starts(windows: UsageWindows, first: str, count: int) -> list[str]:
    """The starts of several windows, one after the other, as local times."""
    window = windows.at(parse_instant(first))
    found = []
    for _ in range(count):
        found.append(window.start)
        window = windows.at(window.until)
    return [text(start) for start in found]


def text(instant: int) -> str:
    """An instant in UTC, to the minute."""
    return format_instant(instant)[:16]


@pytest.mark.parametrize(
    ("reset", "every", "zone", "now", "wanted"),
    [
        (HOUR, 1, "UTC", "2026-11-30T10:20:00Z", ("2026-11-30T10:00:00Z", "2026-11-30T11:00:00Z")),
        (DAY, 1, "UTC", "2026-11-30T10:20:00Z", ("2026-11-30", "2026-12-01")),
        (DAY, 1, "Asia/Tokyo", "2026-11-30T10:20:00Z", ("2026-11-29T15:00:00Z", "2026-11-30T15:00:00Z")),
        (WEEK, 1, "UTC", "2026-12-02", ("2026-11-30", "2026-12-07")),
        (MONTH, 1, "UTC", "2026-11-30T10:20:00Z", ("2026-11-01", "2026-12-01")),
        (MONTH, 1, "America/New_York", "2026-12-01T03:00:00Z", ("2026-11-01T04:00:00Z", "2026-12-01T05:00:00Z")),
        (MONTH, 3, "UTC", "2026-11-30T10:20:00Z", ("2026-10-01", "2027-01-01")),
        (MONTH, 1, "UTC", "2028-02-29T23:59:59.999Z", ("2028-02-01", "2028-03-01")),
        (YEAR, 1, "UTC", "2026-11-30T10:20:00Z", ("2026-01-01", "2027-01-01")),
        (YEAR, 2, "UTC", "2026-11-30T10:20:00Z", ("2025-01-01", "2027-01-01")),
        (WEEK, 2, "UTC", "2001-01-15", ("2001-01-15", "2001-01-29")),
        (DAY, 1, "UTC", "1969-12-31T12:00:00Z", ("1969-12-31", "1970-01-01")),
    ],
)
def test_a_calendar_window_begins_where_the_calendar_does(
    reset: CalendarUnit, every: int, zone: str, now: str, wanted: tuple[str, str]
) -> None:
    """Midnight, Monday, the 1st, 1 January, in the time zone; several at once are counted from 1 January 2001."""
    windows = UsageWindows(Metered(reset=reset, every=every, timezone=zone), parse_instant("2026-11-17T13:00:00Z"))
    assert windows.at(parse_instant(now)) == interval(*wanted)


def test_usage_without_a_reset_has_one_window() -> None:
    """Of all instants."""
    windows = UsageWindows(Metered())
    assert windows.at(parse_instant("2026-11-30")) == windows.at(0, ONLY_WINDOW) == ONLY_WINDOW
    assert windows.window_of(0, [ONLY_WINDOW]) == Interval(BEGINNING, FOREVER)
    assert windows.accepts(ONLY_WINDOW, parse_instant("9999-01-01"))


@pytest.mark.parametrize("day", [29, 30, 31])
def test_pain_an_anchor_on_the_29th_to_31st(day: int) -> None:
    """A short month ends its window on its last day, and the months after it have the day of the anchor again."""
    windows = UsageWindows(Metered(reset=MONTH, anchor=SUBSCRIPTION), parse_instant(f"2025-12-{day}T08:00:00Z"))
    lengths = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31, 31, 28, 31)
    months = [(2026 + (number - 1) // 12, (number - 1) % 12 + 1) for number in range(1, 16)]
    days = [f"{year}-{month:02}-{min(day, last):02}T08:00" for (year, month), last in zip(months, lengths, strict=True)]
    assert starts(windows, "2026-01-31T12:00:00Z", 15) == days


def test_an_anchor_on_29_february_is_there_again_in_leap_years() -> None:
    """In other years the window begins on 28 February."""
    windows = UsageWindows(Metered(reset=YEAR, anchor=SUBSCRIPTION), parse_instant("2024-02-29"))
    days = ("2024-02-29", "2025-02-28", "2026-02-28", "2027-02-28", "2028-02-29")
    assert starts(windows, "2024-03-01", 5) == [f"{day}T00:00" for day in days]
    assert windows.at(parse_instant("2101-01-01")).start == parse_instant("2100-02-28"), "2100 is no leap year"


def test_pain_a_quota_of_the_calendar_resets_with_the_subscription_that_renews_in_mid_month() -> None:
    """With the anchor `subscription` it does; with `calendar` it resets on the 1st, whatever the subscription does."""
    renewed, now = parse_instant("2026-11-17T13:00:00Z"), parse_instant("2026-12-05")
    by_subscription = UsageWindows(Metered(reset=MONTH, anchor=SUBSCRIPTION), renewed)
    assert by_subscription.at(now) == interval("2026-11-17T13:00:00Z", "2026-12-17T13:00:00Z")
    assert UsageWindows(Metered(reset=MONTH), renewed).at(now) == interval("2026-12-01", "2027-01-01")


def test_local_times_that_do_not_exist_are_the_next_that_do() -> None:
    """A day that begins at 1 o'clock, because clocks go forward at midnight, and a boundary at half past 2."""
    havana = UsageWindows(Metered(reset=DAY, timezone="America/Havana"))
    assert starts(havana, "2026-03-08T12:00:00Z", 2) == ["2026-03-08T05:00", "2026-03-09T04:00"]
    berlin = UsageWindows(
        Metered(reset=DAY, timezone="Europe/Berlin", anchor=SUBSCRIPTION), parse_instant("2026-01-01T01:30:00Z")
    )
    assert starts(berlin, "2026-03-28T02:00:00Z", 3) == ["2026-03-28T01:30", "2026-03-29T01:00", "2026-03-30T00:30"]


def test_of_local_times_that_occur_twice_the_first_counts() -> None:
    """A day of 25 hours, and one that begins at the first of two midnights."""
    berlin = UsageWindows(Metered(reset=DAY, timezone="Europe/Berlin"))
    day = berlin.at(parse_instant("2026-10-25T12:00:00Z"))
    assert day == interval("2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z")
    havana = UsageWindows(Metered(reset=DAY, timezone="America/Havana"))
    assert starts(havana, "2026-11-01T12:00:00Z", 2) == ["2026-11-01T04:00", "2026-11-02T05:00"]


def test_a_day_that_a_zone_left_out_is_no_window() -> None:
    """Samoa had no 30 December 2011: the 29th is followed by the 31st."""
    apia = UsageWindows(Metered(reset=DAY, timezone="Pacific/Apia"))
    assert starts(apia, "2011-12-29T12:00:00Z", 3) == ["2011-12-29T10:00", "2011-12-30T10:00", "2011-12-31T10:00"]


def test_hours_have_their_length_when_clocks_change() -> None:
    """An hour that the clocks show twice is two windows."""
    windows = UsageWindows(Metered(reset=HOUR, timezone="Europe/Berlin"))
    found = starts(windows, "2026-10-24T23:30:00Z", 4)
    assert found == ["2026-10-24T23:00", "2026-10-25T00:00", "2026-10-25T01:00", "2026-10-25T02:00"]


def test_the_first_use_opens_a_window() -> None:
    """It lasts for one reset, and the next begins with the first use after it, whenever that is."""
    windows = UsageWindows(Metered(reset=MONTH, anchor=FIRST_USE))
    assert windows.opens_with_use
    first = windows.at(parse_instant("2026-01-31T10:00:00Z"))
    assert first == interval("2026-01-31T10:00:00Z", "2026-02-28T10:00:00Z")
    assert windows.at(parse_instant("2026-02-28T09:59:59.999Z"), first) == first
    second = windows.at(parse_instant("2026-04-05T07:00:00Z"), first)
    assert second == interval("2026-04-05T07:00:00Z", "2026-05-05T07:00:00Z")


def test_late_use_between_windows_of_first_use_opens_one_that_ends_where_the_next_begins() -> None:
    """Windows never overlap, not even with one that is opened afterwards."""
    windows = UsageWindows(Metered(reset=DAY, anchor=FIRST_USE))
    known = [interval("2026-11-01", "2026-11-02"), interval("2026-11-02T10:00:00Z", "2026-11-03T10:00:00Z")]
    late = windows.window_of(parse_instant("2026-11-02T04:00:00Z"), known)
    assert late == interval("2026-11-02T04:00:00Z", "2026-11-02T10:00:00Z")
    assert windows.window_of(parse_instant("2026-11-01T23:00:00Z"), known) == known[0]


@pytest.mark.parametrize(
    ("anchor", "until"),
    [
        ("2026-11-20T00:00:00Z", "2026-11-20"),  # earlier than before
        ("2026-10-05T00:00:00Z", "2026-12-05"),  # later than before
        ("2027-03-01T00:00:00Z", "2026-12-01"),  # in the future, with the same boundaries
    ],
)
def test_when_the_anchor_moves_the_open_window_ends_at_its_next_boundary(anchor: str, until: str) -> None:
    """Its start stays, and with it what was used; the next one follows the new anchor."""
    metered = Metered(reset=MONTH, anchor=SUBSCRIPTION)
    opened = UsageWindows(metered, parse_instant("2026-01-01")).at(parse_instant("2026-11-02"))
    moved = UsageWindows(metered, parse_instant(anchor))
    window = moved.at(parse_instant("2026-11-10"), opened)
    assert window == interval("2026-11-01", until)
    assert moved.at(parse_instant("2026-11-15"), window) == window, "it is noticed once"
    assert moved.at(window.until, window).start == window.until


def test_a_move_that_is_noticed_after_the_window_ended_does_not_open_it_again() -> None:
    """The next window begins where it ended, not at the boundary before that."""
    moved = UsageWindows(Metered(reset=MONTH, anchor=SUBSCRIPTION), parse_instant("2026-01-01"))
    ended = interval("2026-10-15", "2026-11-15")
    assert moved.at(parse_instant("2026-11-20"), ended) == interval("2026-11-15", "2026-12-01")
    assert moved.at(parse_instant("2026-12-20"), ended) == interval("2026-12-01", "2027-01-01")


def test_a_window_ends_if_its_quantity_starts_to_reset() -> None:
    """At the first boundary; and a quantity that stops to reset keeps its window."""
    assert MONTHLY.at(parse_instant("2026-11-20"), ONLY_WINDOW) == Interval(BEGINNING, parse_instant("2026-12-01"))
    opened = UsageWindows(Metered(reset=MONTH, anchor=FIRST_USE)).at(parse_instant("2026-11-20"), ONLY_WINDOW)
    assert opened == Interval(BEGINNING, parse_instant("2026-12-01"))
    kept = UsageWindows(Metered()).at(parse_instant("2026-11-20"), interval("2026-11-01", "2026-12-01"))
    assert kept == Interval(parse_instant("2026-11-01"), FOREVER)


def test_late_use_counts_in_the_window_of_its_instant() -> None:
    """A known one, which may be cut short by a move, or one that follows the anchor and overlaps no known one."""
    known = [interval("2026-08-15", "2026-09-10"), interval("2026-11-05", "2026-12-01")]
    for instant, wanted in (
        ("2026-08-20", known[0]),
        ("2026-08-10", interval("2026-08-01", "2026-08-15")),
        ("2026-09-12", interval("2026-09-10", "2026-10-01")),
        ("2026-10-10", interval("2026-10-01", "2026-11-01")),
        ("2026-11-02", interval("2026-11-01", "2026-11-05")),
        ("2026-11-29", known[1]),
    ):
        assert MONTHLY.window_of(parse_instant(instant), known) == wanted, instant


def test_late_use_is_accepted_for_so_long_after_its_window() -> None:
    """Less than `late` after the end, and not at it; a window that has not ended accepts use."""
    windows = UsageWindows(Metered(reset=MONTH, late=1000))
    window = interval("2026-11-01", "2026-12-01")
    assert [windows.accepts(window, window.until + after) for after in (-1, 0, 999, 1000)] == [True, True, True, False]
    none = UsageWindows(Metered(reset=MONTH, late=0))
    assert [none.accepts(window, window.until + after) for after in (-1, 0)] == [True, False]


@pytest.mark.parametrize("metered", [Metered(reset=MONTH), Metered(reset=DAY, anchor=FIRST_USE)])
def test_the_anchor_of_a_subscription_matters_to_nobody_else(metered: Metered) -> None:
    """Such windows are shared by all subjects."""
    assert UsageWindows.of(metered, 5) is UsageWindows.of(metered, DEFAULT_ANCHOR)
    anchored = Metered(reset=MONTH, anchor=SUBSCRIPTION)
    assert UsageWindows.of(anchored, 5) is UsageWindows.of(anchored, 5)
    assert UsageWindows.of(anchored, 5) is not UsageWindows.of(anchored, 6)


@pytest.mark.parametrize("name", ["Mars/Olympus", "", "Europe", "../etc/passwd", "\x00", "/UTC"])
def test_an_unknown_time_zone_is_none(name: str) -> None:
    """Also what names a folder, or leads out of one."""
    assert time_zone(name) is None
    with pytest.raises(ValueError, match="time zone"):
        UsageWindows(Metered(reset=DAY, timezone=name))


def test_time_zones_are_known_where_the_system_has_none() -> None:
    """As in a container image without them: the package `tzdata` has them."""
    code = "from tiergate.usage.windows import time_zone; print(time_zone('Europe/Berlin'))"
    run = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONTZPATH": ""}, capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == "Europe/Berlin"


def test_starts_of_windows_strictly_increase() -> None:
    """Through changes of clocks, forwards and backwards."""
    for zone in ("UTC", "Africa/Cairo", "Pacific/Apia"):
        windows = UsageWindows(Metered(reset=DAY, timezone=zone))
        found = starts(windows, "2011-01-01", 800)
        assert all(first < second for first, second in pairwise(found))
