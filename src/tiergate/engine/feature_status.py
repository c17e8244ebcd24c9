"""The status of features as subjects see it: the worst report that is open and concerns the subject.

All engines on the same data share its reports. They are replaced as a whole, so that a layer that keeps what rests on
the reports of a feature compares their identity.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from tiergate.model import BEGINNING, FOREVER, FeatureReports, ReportedStatus, Status, StatusWindow

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from tiergate.engine.facts import Facts
    from tiergate.model import Instant


class FeatureStatuses:
    """The reports on the status of features, by feature; features without reports are operational."""

    __slots__ = ("reports",)

    def __init__(self, features: Iterable[FeatureReports] = ()) -> None:
        self.reports: Mapping[str, tuple[ReportedStatus, ...]] = {}
        self.replace(features)

    def replace(self, features: Iterable[FeatureReports]) -> None:
        """Replace all reports; those of a feature that are the same as before stay the same object."""
        before, after = self.reports, {}
        for entry in features:
            if entry.reports:
                known = before.get(entry.feature)
                after[entry.feature] = known if known == entry.reports else entry.reports
        self.reports = after


def status_window(
    reports: Iterable[ReportedStatus], tags: Collection[str], refs: Iterable[str], now: Instant
) -> StatusWindow | None:
    """Return the status for a subject with these tags and item versions; `None` if no report ever concerns it.

    A report on an unknown audience (`None`) concerns everybody.
    """
    status, since = Status.OPERATIONAL, BEGINNING
    start, until = BEGINNING, FOREVER
    for report in reports:
        audience = report.audience
        if report.start >= report.until or not (audience is None or audience.has(frozenset(tags), _items(refs))):
            continue
        if now < report.start:
            until = min(until, report.start)
        elif report.until <= now:
            start = max(start, report.until)
        else:
            start, until = max(start, report.start), min(until, report.until)
            better = report.status.rank - status.rank
            if better > 0 or (better == 0 and status is not Status.OPERATIONAL and report.start < since):
                status, since = report.status, report.start
    if start == BEGINNING and until == FOREVER:
        return StatusWindow(status, since) if status is not Status.OPERATIONAL else None
    return StatusWindow(status, since, start, until)


def with_status(facts: Facts, reports: Iterable[ReportedStatus], now: Instant) -> Facts:
    """Return facts with the status of their feature, valid at most as long as that is the same."""
    items = facts.active_items
    window = status_window(reports, items.customer.tags, items.refs, now)
    if window is None:
        return facts
    return replace(facts, status=window, start=max(facts.start, window.start), until=min(facts.until, window.until))


def fixed_status(feature: str, status: Status, now: Instant) -> list[FeatureReports]:
    """Return the reports, of one feature, that give it a status from an instant on."""
    if status is Status.OPERATIONAL:
        return []
    return [FeatureReports(feature, (ReportedStatus(status=status, start=now),))]


def reports_of(window: StatusWindow) -> tuple[ReportedStatus, ...]:
    """Return reports that give a window to every subject, at every instant in it."""
    reports = []
    if window.status is not Status.OPERATIONAL:
        reports.append(ReportedStatus(status=window.status, start=window.since, until=window.until))
    elif window.until != FOREVER:
        reports.append(ReportedStatus(status=Status.MAINTENANCE, start=window.until))
    if window.start > window.since:
        reports.append(ReportedStatus(status=Status.MAINTENANCE, start=BEGINNING, until=window.start))
    return tuple(reports)


def _items(refs: Iterable[str]) -> frozenset[str]:
    """Return the ids of the items of versions such as `plan/pro@7`."""
    return frozenset([ref.partition("/")[2].rpartition("@")[0] for ref in refs])
