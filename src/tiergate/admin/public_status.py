"""What everybody may know of the status of features: those that the operator publishes, and public notes.

INVARIANT (nothing private): no customer, audience, reporter or note of the operator's is in it; features are those of
the published catalog, so that nothing shows before it is published.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from tiergate.admin.status_overview import life_state
from tiergate.model import FOREVER, FeatureStatus, Interval
from tiergate.status.shown import ShownStatus, shown_at, shown_since
from tiergate.store.status_monitors import silences_between
from tiergate.store.status_reports import (
    list_public_reports,
    reports_after,
    spans_between,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tiergate.model import Feature, Instant, StatusReport
    from tiergate.store import ReadUnit
    from tiergate.store.status_reports import StoredReport

DAYS: Final = 90
"""How many days the history has; the last is today, in UTC."""

_DAY: Final = 86_400_000
_MOST_INCIDENTS: Final = 100
_MOST_PLANNED: Final = 50
_RANKS: Final = {status.value: rank for rank, status in enumerate(ShownStatus)}
_BY_RANK: Final = tuple(ShownStatus)


class PublicFeature(NamedTuple):
    """A feature: its status now and `since` when, and the worst of each day that was not operational, by its number.

    `suspended`: it is switched off for everybody. Days are numbered from 0, the first of `DAYS`.
    """

    id: str
    name: str
    status: ShownStatus
    since: Instant | None
    suspended: bool
    days: Mapping[int, ShownStatus]


class PublicReport(NamedTuple):
    """A report as everybody may see it. `feature` is a name; `until` is `None` while it has no end."""

    id: str
    feature: str
    status: ShownStatus
    start: Instant
    until: Instant | None
    note: str
    updated_at: Instant


class PublicStatus(NamedTuple):
    """Everything that is public at an instant. `worst`: of all features; `first_day`: when the history begins.

    `incidents`: what is open, and what has ended with a public note, the latest first. `planned`: what will begin.
    """

    at: Instant
    worst: ShownStatus
    first_day: Instant
    features: Sequence[PublicFeature]
    incidents: Sequence[PublicReport]
    planned: Sequence[PublicReport]


def public_status(unit: ReadUnit, tag: str | None) -> PublicStatus:
    """Return what everybody may know. `tag`: only features that have it; `None`: all active ones."""
    now = unit.now
    first_day = now - now % _DAY - (DAYS - 1) * _DAY
    known = {
        it.id: it
        for it in unit.published.catalog.features.values()
        if it.status is FeatureStatus.ACTIVE and (tag is None or tag in it.tags)
    }
    current: dict[str, list[StatusReport]] = {}
    coming = [it for it in reports_after(unit, now) if it.report.feature in known]
    for stored in coming:
        current.setdefault(stored.report.feature, []).append(stored.report)
    silences = silences_between(unit, first_day, now + 1)
    days = _days(unit, known, silences, first_day)
    features = [
        _feature(known[id_], current.get(id_, []), silences.get(id_, []), days.get(id_, {}), now)
        for id_ in sorted(known, key=lambda id_: ((known[id_].name or id_).casefold(), id_))
    ]
    incidents = [it for it in coming if it.report.start <= now]
    incidents += list_public_reports(unit, first_day, now, known, _MOST_INCIDENTS)
    planned = sorted((it for it in coming if it.report.start > now), key=lambda it: (it.report.start, it.report.id))
    return PublicStatus(
        now,
        max((it.status for it in features), key=lambda it: _RANKS[it.value], default=ShownStatus.OPERATIONAL),
        first_day,
        features,
        _reports(sorted(incidents, key=lambda it: (-it.report.start, it.report.id))[:_MOST_INCIDENTS], known),
        _reports(planned[:_MOST_PLANNED], known),
    )


def _feature(
    feature: Feature,
    reports: Sequence[StatusReport],
    silences: Sequence[Interval],
    days: Mapping[int, ShownStatus],
    now: Instant,
) -> PublicFeature:
    suspended = life_state(feature, now) == "suspended"
    if not reports and not silences:
        return PublicFeature(feature.id, feature.name or feature.id, ShownStatus.OPERATIONAL, None, suspended, days)
    status = shown_at(reports, silences, now)
    since = shown_since(reports, silences, status, now)
    return PublicFeature(feature.id, feature.name or feature.id, status, since, suspended, days)


def _days(
    unit: ReadUnit, known: Mapping[str, Feature], silences: Mapping[str, Iterable[Interval]], first_day: Instant
) -> dict[str, dict[int, ShownStatus]]:
    """Return the worst of each day on which something was reported, by feature and number of the day."""
    end = unit.now + 1
    unknown = ShownStatus.UNKNOWN.value
    spans = [(it.feature, it.status, it.start, it.until) for it in spans_between(unit, first_day, end)]
    spans += [(id_, unknown, it.start, it.until) for id_, intervals in silences.items() for it in intervals]
    ranks: dict[str, dict[int, int]] = {}
    for feature, status, start, until in spans:
        if feature not in known:
            continue
        rank = _RANKS[status]
        days = ranks.setdefault(feature, {})
        first = (start - first_day) // _DAY if start > first_day else 0
        last = ((min(end, until)) - 1 - first_day) // _DAY
        for day in range(first, last + 1):
            if days.get(day, 0) < rank:
                days[day] = rank
    return {id_: {day: _BY_RANK[rank] for day, rank in days.items()} for id_, days in ranks.items()}


def _reports(stored: Iterable[StoredReport], known: Mapping[str, Feature]) -> list[PublicReport]:
    return [
        PublicReport(
            it.report.id,
            known[it.report.feature].name or it.report.feature,
            ShownStatus(it.report.status.value),
            it.report.start,
            None if it.report.until == FOREVER else it.report.until,
            it.report.public_note,
            it.stamp.updated_at,
        )
        for it in stored
    ]
