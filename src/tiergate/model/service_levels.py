"""The status of features and the service levels that are promised for them (design, section 11)."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from tiergate.model.calendar_units import CalendarUnit
from tiergate.model.instants import BEGINNING, FOREVER, Instant, Interval

MILLIONTHS = 1_000_000
"""What an availability of 100 % is in the unit of `ServiceLevel.availability`."""


class Status(StrEnum):
    """How well a feature works, whatever anybody is entitled to.

    `maintenance`: work that was announced. `degraded`: worse than promised. `partial`: some cannot use it. `down`:
    nobody can.
    """

    OPERATIONAL = "operational"
    MAINTENANCE = "maintenance"
    DEGRADED = "degraded"
    PARTIAL = "partial"
    DOWN = "down"

    @property
    def rank(self) -> int:
        """The place in the order from the best status, 0, to the worst, 4."""
        return _RANKS[self]


_RANKS = {status: rank for rank, status in enumerate(Status)}


class ReporterKind(StrEnum):
    """Who reports: a person, a monitor, or the services that have the feature, by their outcomes."""

    PERSON = "person"
    MONITOR = "monitor"
    SERVICES = "services"


class Reporter(msgspec.Struct, frozen=True):
    """The source of a report. Only the same reporter, or a person, ends it. `name`: a key's, or a monitor's."""

    kind: ReporterKind
    name: str


class StatusAudience(msgspec.Struct, frozen=True, omit_defaults=True):
    """Whom a report concerns: customers with one of the tags, and subscriptions that hold one of the items."""

    tags: tuple[str, ...] = ()
    items: tuple[str, ...] = ()

    def has(self, tags: frozenset[str], items: frozenset[str]) -> bool:
        """Return whether it concerns a customer with these tags, who holds these items."""
        return not tags.isdisjoint(self.tags) or not items.isdisjoint(self.items)


class StatusReport(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One reporter says that a feature has a status from `start` until `until`; `FOREVER`: it has not ended.

    `audience`: only for `partial`; `None`: which customers are concerned is not known. `note` is for the operator,
    `public_note` for everybody.
    """

    id: str
    feature: str
    status: Status
    start: Instant
    until: Instant = FOREVER
    reporter: Reporter
    note: str = ""
    public_note: str = ""
    audience: StatusAudience | None = None

    @property
    def interval(self) -> Interval:
        """When it holds."""
        return Interval(self.start, self.until)


class ReportedStatus(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What sidecars know of a report: neither who made it nor its note. It is open from `start` until `until`."""

    status: Status
    start: Instant
    until: Instant = FOREVER
    audience: StatusAudience | None = None


class FeatureReports(msgspec.Struct, frozen=True):
    """The reports of a feature that are open or begin later; none: it is operational."""

    feature: str
    reports: tuple[ReportedStatus, ...]


class StatusWindow(msgspec.Struct, frozen=True, gc=False):
    """The status of a feature for one subject, which is the same from `start` until `until`.

    `since`: the start of the earliest open report of this status; `BEGINNING` if the feature is operational.
    """

    status: Status = Status.OPERATIONAL
    since: Instant = BEGINNING
    start: Instant = BEGINNING
    until: Instant = FOREVER


class ServiceLevel(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What is promised of a feature over each window.

    `availability`: at least this part of the time, in millionths, 0 to `MILLIONTHS`. `latency_ms`: a request that takes
    longer is slow; `None`: none is. Windows are `every` of `window` each, by the calendar of `timezone`. `spent_by`:
    the least bad status that spends the error budget. A minute in which services report at least `least` requests is
    down if at least `down` percent of them fail, and degraded if at least `degraded` percent fail or are slow.
    """

    availability: int
    latency_ms: int | None = None
    window: CalendarUnit = CalendarUnit.MONTH
    every: int = 1
    timezone: str = "UTC"
    spent_by: Status = Status.PARTIAL
    least: int = 5
    degraded: int = 5
    down: int = 50


class ItemServiceLevel(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What an item promises of a feature; members as in `ServiceLevel`. `None`: as the feature promises.

    INVARIANT (window and every): both are given, or neither is.
    """

    availability: int | None = None
    latency_ms: int | None = None
    window: CalendarUnit | None = None
    every: int | None = None
    timezone: str | None = None
    spent_by: Status | None = None
    least: int | None = None
    degraded: int | None = None
    down: int | None = None

    def promise(self, feature: ServiceLevel | None) -> ServiceLevel | None:
        """Return what is promised, on top of what the feature promises; `None` if neither has an availability."""
        own = {name: value for name in self.__struct_fields__ if (value := getattr(self, name)) is not None}
        if feature is None:
            return ServiceLevel(**own) if "availability" in own else None
        return msgspec.structs.replace(feature, **own)
