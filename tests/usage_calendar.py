"""An oracle for windows of usage: boundaries by the calendar and the time zones of the library `whenever`.

It has its own arithmetic of dates and reads time zones itself. Windows are found by bisection over the numbers of
boundaries, without any guess.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, Final

from whenever import Instant, PlainDateTime, RepeatedTime, SkippedTime, ZonedDateTime

from tiergate.model import CalendarUnit, Metered, WindowAnchor

if TYPE_CHECKING:
    import tiergate.model

CALENDAR_ORIGIN: Final = PlainDateTime(2001, 1, 1)
FARTHEST: Final = 10_000_000
"""More boundaries than there are between any two instants of the tests, one an hour."""


def local(wall: PlainDateTime, zone: str) -> ZonedDateTime:
    """The first instant at which clocks show a local time, or the first at which they show a later one."""
    try:
        return wall.assume_tz(zone, disambiguation="raise")
    except RepeatedTime:
        return wall.assume_tz(zone, disambiguation="earlier")
    except SkippedTime:
        transition = wall.assume_tz(zone, disambiguation="earlier").next_transition()
        assert transition is not None
        return transition


class Grid:
    """The boundaries of a calendar, as milliseconds."""

    def __init__(self, metered: Metered, anchor: tiergate.model.Instant) -> None:
        """`metered` resets, at an anchor that is not the first use."""
        assert metered.reset is not None
        self.unit = metered.reset
        self.every = metered.every
        self.zone = metered.timezone
        if metered.anchor is WindowAnchor.CALENDAR:
            self.anchor = local(CALENDAR_ORIGIN, self.zone)
        else:
            self.anchor = Instant.from_timestamp(anchor, unit="millisecond").to_tz(self.zone)

    def boundary(self, number: int) -> int:
        """The instant of a boundary; those that no calendar has are before or after all others."""
        if not number:
            return self.anchor.timestamp(unit="millisecond")
        count = number * self.every
        try:
            if self.unit is CalendarUnit.HOUR:
                return self.anchor.to_instant().add(hours=count).timestamp(unit="millisecond")
            wall = self.anchor.to_plain()
            match self.unit:
                case CalendarUnit.DAY:
                    moved = wall.add(days=count)
                case CalendarUnit.WEEK:
                    moved = wall.add(weeks=count)
                case CalendarUnit.MONTH:
                    moved = wall.add(months=count)
                case CalendarUnit.YEAR:
                    moved = wall.add(years=count)
            return local(moved, self.zone).timestamp(unit="millisecond")
        except (ValueError, OverflowError):
            return 2**62 if number > 0 else -(2**62)

    def window(self, now: tiergate.model.Instant) -> tuple[int, int]:
        """The start and the end of the window at an instant."""
        after = bisect_right(range(-FARTHEST, FARTHEST), now, key=self.boundary) - FARTHEST
        return self.boundary(after - 1), self.boundary(after)
