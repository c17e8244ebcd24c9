"""The status that people see, and when it changes: that of the reports, and `unknown` while a monitor is silent."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from tiergate.model import FOREVER, Instant, Interval, Status
from tiergate.status.timeline import timeline

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from tiergate.model import StatusReport
    from tiergate.status.timeline import Stretch


class ShownStatus(StrEnum):
    """A `Status`, or `unknown`: nothing is reported, but a monitor that should report is silent."""

    OPERATIONAL = "operational"
    MAINTENANCE = "maintenance"
    UNKNOWN = "unknown"
    DEGRADED = "degraded"
    PARTIAL = "partial"
    DOWN = "down"


class ShownChange(NamedTuple):
    """The status that is shown changes at an instant."""

    at: Instant
    before: ShownStatus
    after: ShownStatus


def shown_status(stretch: Stretch) -> ShownStatus:
    """Return what is shown in a stretch of time."""
    if stretch.silent and stretch.shown is Status.OPERATIONAL:
        return ShownStatus.UNKNOWN
    return ShownStatus(stretch.shown.value)


def shown_at(reports: Iterable[StatusReport], silences: Iterable[Interval], at: Instant) -> ShownStatus:
    """Return what is shown at an instant."""
    return shown_status(next(timeline(reports, Interval(at, at + 1), silences)))


def shown_changes(
    reports: Iterable[StatusReport], silences: Iterable[Interval], within: Interval, before: ShownStatus
) -> Iterator[ShownChange]:
    """Yield the changes in an interval, in order. `before`: what was shown just before it."""
    for stretch in timeline(reports, within, silences):
        after = shown_status(stretch)
        if after is not before:
            yield ShownChange(stretch.interval.start, before, after)
            before = after


def shown_since(
    reports: Collection[StatusReport], silences: Iterable[Interval], shown: ShownStatus, at: Instant
) -> Instant | None:
    """Return the first start of what makes the status that is shown at an instant; `None` if nothing does."""
    if shown is ShownStatus.UNKNOWN:
        return min((silence.start for silence in silences if silence.contains(at)), default=None)
    starts = (report.start for report in reports if report.status.value == shown and report.interval.contains(at))
    return min(starts, default=None)


def next_change(reports: Iterable[StatusReport], silences: Iterable[Interval], after: Instant) -> Instant | None:
    """Return the first instant after another at which a report or a silence begins or ends; `None`: none does."""
    intervals = [*(report.interval for report in reports), *silences]
    ends = [instant for interval in intervals for instant in (interval.start, interval.until)]
    return min((instant for instant in ends if after < instant < FOREVER), default=None)
