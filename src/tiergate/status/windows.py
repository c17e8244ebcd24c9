"""The windows over which a service level is promised: calendar windows, as those of metered usage."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tiergate.usage.calendar_windows import CalendarWindows, first_instant
from tiergate.usage.windows import CALENDAR_ORIGIN, time_zone

if TYPE_CHECKING:
    from tiergate.model import Instant, Interval, ServiceLevel


def window_at(level: ServiceLevel, now: Instant) -> Interval:
    """Return the window of a service level that contains an instant.

    Raises:
        ValueError: if there is no time zone with the name that the service level says.
    """
    zone = time_zone(level.timezone)
    if zone is None:
        msg = f"unknown time zone `{level.timezone}`"
        raise ValueError(msg)
    return CalendarWindows(first_instant(CALENDAR_ORIGIN, zone), level.window, level.every, zone).at(now)
