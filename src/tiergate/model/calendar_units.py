"""The units of calendar time in which terms and metered windows are counted."""

from __future__ import annotations

from enum import StrEnum


class CalendarUnit(StrEnum):
    """A unit of calendar time: when metered usage begins again at zero, or a subscription's term."""

    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    YEAR = "year"
