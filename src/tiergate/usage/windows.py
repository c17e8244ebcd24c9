"""Windows of metered usage: the intervals in which use is counted before it resets (design, section 10).

Every instant is in exactly one window, and the starts of windows strictly increase. A window is identified by its
start. Rules, in the order in which they apply:

1. Without a reset there is one window, from `BEGINNING` to `FOREVER`.
2. A *grid* of boundaries follows from the anchor (`calendar_windows`):
   - `calendar`: the calendar of the time zone. Days begin at midnight, weeks on Monday, months on the 1st, years on
     1 January. Several units together are counted from `CALENDAR_ORIGIN`.
   - `subscription`: the instant that the caller gives.
   - `first_use`: the start of the window itself, which is the instant of the use that opens it.
3. If the anchor moves, the open window stays open, and ends at the next boundary of the new grid, after the instant at
   which the move is noticed. A move that is noticed only after the window has ended changes nothing about it. The same
   holds if the reset or the time zone changes.
4. The next window begins where that one ended, or at a later boundary.
5. Between windows that are known, windows follow the grid, and are cut where a known window begins or ends.

Hours have their real length, even if clocks change. All else follows the clocks of the time zone.

The module reads no clock. Time zones come from the system, or from the package `tzdata` where the system has none.
"""

from __future__ import annotations

from bisect import bisect_right
from datetime import UTC, datetime, tzinfo
from functools import lru_cache
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from tiergate.model import BEGINNING, FIRST_INSTANT, FOREVER, Instant, Interval, WindowAnchor
from tiergate.usage.calendar_windows import CalendarWindows, first_instant

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tiergate.model import Metered

CALENDAR_ORIGIN: Final = datetime(2001, 1, 1)  # noqa: DTZ001 - a local time, in each time zone
"""What windows of several units are counted from with the anchor `calendar`: a Monday, and the first day of a year."""

DEFAULT_ANCHOR: Final[Instant] = 0
"""The anchor `subscription` of a subject whose subscriptions have neither anchor nor start: 1 January 1970 in UTC."""

ONLY_WINDOW: Final = Interval(BEGINNING, FOREVER)
"""The window of usage that never resets."""

_KEPT_WINDOWS: Final = 8192


def time_zone(name: str) -> tzinfo | None:
    """Return the time zone with an IANA name; none if there is no such zone."""
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # OSError: the name of a folder, such as `Europe`
        return None


class UsageWindows:
    """The windows of one metered quantity, of all subjects that have the same anchor.

    Keeps the last window that it computed, so that a check in the same window computes nothing. Safe to use from
    several threads.
    """

    __slots__ = ("_count", "_grid", "_last", "_unit", "_zone", "late", "opens_with_use")

    def __init__(self, metered: Metered, anchor: Instant = DEFAULT_ANCHOR) -> None:
        """`anchor` matters to the anchor `subscription` only; it may be before or after every instant asked for.

        Raises:
            ValueError: if there is no time zone with this name.
        """
        zone = time_zone(metered.timezone)
        if zone is None:
            msg = f"unknown time zone `{metered.timezone}`"
            raise ValueError(msg)
        self.late = metered.late
        """Milliseconds after the end of a window in which usage of it is still accepted."""
        self.opens_with_use = metered.reset is not None and metered.anchor is WindowAnchor.FIRST_USE
        """Whether there may be no open window, until the next use opens one."""
        self._count = metered.every
        self._unit = metered.reset
        self._zone = zone
        self._grid: CalendarWindows | None = None
        self._last = ONLY_WINDOW if metered.reset is None else Interval(BEGINNING, BEGINNING)
        if metered.reset is not None and not self.opens_with_use:
            if metered.anchor is WindowAnchor.CALENDAR:
                anchor = first_instant(CALENDAR_ORIGIN, zone)
            self._grid = CalendarWindows(anchor, metered.reset, metered.every, zone)

    @staticmethod
    def of(metered: Metered, anchor: Instant = DEFAULT_ANCHOR) -> UsageWindows:
        """Return windows that may be shared with others. Arguments and errors are those of the constructor."""
        return _shared_windows(metered, anchor if metered.anchor is WindowAnchor.SUBSCRIPTION else DEFAULT_ANCHOR)

    def at(self, now: Instant, open_window: Interval | None = None) -> Interval:
        """Return the current window.

        `open_window`: the latest window of the account, as it was last returned; it may have ended. The result is the
        same window if it has the same start, though its end may have moved. Where `opens_with_use`, and no window is
        open, it is the window that a use at `now` would open.
        """
        if open_window is None:
            return self._on_grid(now)
        if open_window.start <= now < open_window.until:
            # `_on_grid` of a window that opens with use would begin now: its grid begins with the window instead.
            until = self._on_grid(now, open_window.start).until
            return open_window if until == open_window.until else Interval(open_window.start, until)
        return self._between(now, [open_window])

    def window_of(self, instant: Instant, known: Sequence[Interval] = ()) -> Interval:
        """Return the window in which use of an instant counts: a known one, or the one between them.

        `known`: windows of the account in the order of their starts, which do not overlap. The current one is among
        them, as `at` returned it, if it has begun.
        """
        return self._between(instant, known)

    def accepts(self, window: Interval, now: Instant) -> bool:
        """Return whether use in a window is still accepted: the window ended less than `late` ago, or has not ended."""
        return now < window.until or now - window.until < self.late

    def _between(self, instant: Instant, known: Sequence[Interval]) -> Interval:
        place = bisect_right(known, instant, key=lambda window: window.start)
        before = known[place - 1] if place else None
        if before is not None and instant < before.until:
            return before
        window = self._on_grid(instant)
        start = window.start if before is None else max(window.start, before.until)
        until = window.until if place == len(known) else min(window.until, known[place].start)
        return Interval(start, until)

    def _on_grid(self, now: Instant, opened: Instant | None = None) -> Interval:
        """Return the window of the grid; `opened`: the start of the window, where its use opened it."""
        last = self._last
        if last.start <= now < last.until:
            return last
        if self._grid is not None:
            self._last = window = self._grid.at(now)
            return window
        if self._unit is None:
            return ONLY_WINDOW
        anchor = now if opened is None else opened
        if anchor < FIRST_INSTANT:  # a window from a time when the usage never reset
            anchor = first_instant(CALENDAR_ORIGIN, self._zone)
        return CalendarWindows(anchor, self._unit, self._count, self._zone).at(now)


@lru_cache(_KEPT_WINDOWS)
def _shared_windows(metered: Metered, anchor: Instant) -> UsageWindows:
    return UsageWindows(metered, anchor)
