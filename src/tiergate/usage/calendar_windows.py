"""Calendar windows: the periods of a subscription's term or of a metered quantity's resets.

Each boundary is computed from the anchor, never from the boundary before it, so nothing drifts: an anchor on 31 January
gives 28 February, 31 March, 30 April; 29 February, yearly, gives 28 February except in leap years.

Days, weeks, months and years follow the clocks of the time zone: a local time that does not exist is the next one that
does; of a local time that occurs twice, the first counts. Hours have their real length, even if clocks change.
"""

from __future__ import annotations

import calendar
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import TYPE_CHECKING, Final

from tiergate.model import BEGINNING, FOREVER, CalendarUnit, Instant, Interval

if TYPE_CHECKING:
    from tiergate.model import Term

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)
_MONTHS: Final = {CalendarUnit.MONTH: 1, CalendarUnit.YEAR: 12}
_LENGTHS: Final = {
    CalendarUnit.HOUR: timedelta(hours=1),
    CalendarUnit.DAY: timedelta(days=1),
    CalendarUnit.WEEK: timedelta(weeks=1),
}


@dataclass(frozen=True, slots=True)
class CalendarWindows:
    """Windows of `count` (at least 1) of `unit` each, by the clocks of `zone`; one begins at `anchor`."""

    anchor: Instant
    unit: CalendarUnit
    count: int = 1
    zone: tzinfo = UTC

    @classmethod
    def of(cls, term: Term) -> CalendarWindows:
        """Return the windows of a subscription's term, which are counted in UTC."""
        return cls(term.anchor, term.unit, term.count)

    def boundary(self, number: int) -> Instant:
        """Return the boundary with this number; 0 is the anchor, negative numbers are before it.

        `FOREVER` after the year 9999, `BEGINNING` before the year 1, where calendars end.
        """
        if number == 0:
            return self.anchor
        try:
            if self.unit is CalendarUnit.HOUR:
                moment = _moment(self.anchor) + number * self.count * _LENGTHS[CalendarUnit.HOUR]
                return (moment - _EPOCH) // _MILLISECOND
            return first_instant(
                self._moved(_moment(self.anchor).astimezone(self.zone).replace(tzinfo=None), number), self.zone
            )
        except (OverflowError, ValueError):
            return FOREVER if number > 0 else BEGINNING

    def at(self, now: Instant) -> Interval:
        """Return the window that contains `now`."""
        number = self._guess(now)
        while self.boundary(number) > now:
            number -= 1
        while self.boundary(number + 1) <= now:
            number += 1
        return Interval(self.boundary(number), self.boundary(number + 1))

    def _moved(self, wall: datetime, number: int) -> datetime:
        """Return a local time `number` windows later."""
        months = _MONTHS.get(self.unit)
        if months is None:
            return wall + number * self.count * _LENGTHS[self.unit]
        year, month = divmod(wall.year * 12 + wall.month - 1 + number * self.count * months, 12)
        if not 1 <= year <= 9999:
            raise OverflowError
        day = min(wall.day, calendar.monthrange(year, month + 1)[1])
        return wall.replace(year=year, month=month + 1, day=day, fold=0)

    def _guess(self, now: Instant) -> int:
        """Return the number of a boundary close to `now`, to start the search from."""
        months = _MONTHS.get(self.unit)
        if months is None:
            return (now - self.anchor) // (self.count * (_LENGTHS[self.unit] // _MILLISECOND))
        here, there = _moment(now), _moment(self.anchor)
        return ((here.year - there.year) * 12 + here.month - there.month) // (self.count * months)


def _moment(instant: Instant) -> datetime:
    return _EPOCH + timedelta(milliseconds=instant)


def first_instant(wall: datetime, zone: tzinfo) -> Instant:
    """Return the first instant at which the clocks of `zone` show `wall`, or else a later time."""
    early, late = sorted((wall.replace(tzinfo=zone, fold=fold) - _EPOCH) // _MILLISECOND for fold in (0, 1))
    if _shown(early, zone) >= wall:  # it exists, once or twice
        return early
    while late - early > 1:  # it is skipped: the clocks go forward between the two
        middle = (early + late) // 2
        if _shown(middle, zone) >= wall:
            late = middle
        else:
            early = middle
    return late


def _shown(instant: Instant, zone: tzinfo) -> datetime:
    return _moment(instant).astimezone(zone).replace(tzinfo=None)
