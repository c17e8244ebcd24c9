"""The units of calendar time for terms and for the reset of metered usage."""

from __future__ import annotations

from enum import StrEnum


class CalendarUnit(StrEnum):
    """A unit of calendar time: how often metered usage resets, or the length of a subscription's term."""

    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    YEAR = "year"
