"""What the public page says: names of statuses, dates and times, in plain English and UTC."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from tiergate.status.shown import ShownStatus

if TYPE_CHECKING:
    from tiergate.admin.public_status import PublicFeature, PublicReport
    from tiergate.model import Instant

NAMES: Final = {
    ShownStatus.OPERATIONAL: "Operational",
    ShownStatus.MAINTENANCE: "Maintenance",
    ShownStatus.UNKNOWN: "Not known",
    ShownStatus.DEGRADED: "Degraded",
    ShownStatus.PARTIAL: "Partial outage",
    ShownStatus.DOWN: "Outage",
}
SUMMARIES: Final = {
    ShownStatus.OPERATIONAL: "Everything is operational",
    ShownStatus.MAINTENANCE: "Maintenance is in progress",
    ShownStatus.UNKNOWN: "The status of some features is not known",
    ShownStatus.DEGRADED: "Some features are degraded",
    ShownStatus.PARTIAL: "Some features are not available to everybody",
    ShownStatus.DOWN: "Some features are not available",
}
_MONTHS: Final = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
_MINUTE: Final = 60_000


def status_of(feature: PublicFeature) -> str:
    """Return the name of what a feature shows: that it is suspended comes first."""
    return "Suspended" if feature.suspended else NAMES[feature.status]


def title_of(report: PublicReport) -> str:
    """Return what a report says, such as `Calls: Outage`."""
    return f"{report.feature}: {NAMES[report.status]}"


def day_text(instant: Instant) -> str:
    """Write a day, such as `15 January 2027`."""
    moment = _moment(instant)
    return f"{moment.day} {_MONTHS[moment.month - 1]} {moment.year}"


def time_text(instant: Instant) -> str:
    """Write a time, such as `15 January 2027, 08:00 UTC`."""
    moment = _moment(instant)
    return f"{day_text(instant)}, {moment.hour:02}:{moment.minute:02} UTC"


def to_minute(instant: Instant) -> Instant:
    """Return the minute that an instant is in: the page says when it was made, and stays the same for that long."""
    return instant - instant % _MINUTE


def _moment(instant: Instant) -> datetime:
    return datetime.fromtimestamp(instant // 1000, UTC)
