"""The status that services say by their outcomes: reports that follow the newest minutes (`status.outcome_verdict`).

A background job does this, not each batch: sidecars deliver every few seconds, and a minute is judged when all had time
to. Outcomes that come later change service levels, not what was shown.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import structlog

from tiergate.admin.status_changes import services_report
from tiergate.errors import ConflictError
from tiergate.model import Instant, ReporterKind, Status
from tiergate.status.outcome_verdict import LOOK_BACK, Verdict, verdict
from tiergate.status.outcomes import MINUTE_MS, minute_of
from tiergate.store import SYSTEM
from tiergate.store.outcomes import minutes_of_all
from tiergate.store.status_reports import open_reports_of

if TYPE_CHECKING:
    from tiergate.status.outcomes import Outcomes
    from tiergate.store import ReadUnit, Store

SETTLED_MS: Final = 10_000
"""How long after its end a minute is judged, in milliseconds: sidecars deliver every 5 seconds."""

_log = structlog.get_logger(__name__)


def settled_until(now: Instant) -> Instant:
    """Return the end of the last minute of which all outcomes had time to come."""
    return minute_of(now - SETTLED_MS)


class _Change(NamedTuple):
    feature: str
    verdict: Verdict


def judge_services(store: Store) -> int:
    """Let the reports of services follow the outcomes of the last minutes; return how many features changed.

    A feature that has too many reports already is left as it is: the others change.
    """
    count = 0
    for change in store.read(_changes):
        try:
            store.change(lambda unit: services_report(unit, change.feature, *change.verdict), SYSTEM)  # noqa: B023 - at once
        except ConflictError as error:
            _log.warning("outcomes do not change a status", feature=change.feature, error=error.detail)
        else:
            count += 1
    return count


def _changes(unit: ReadUnit) -> list[_Change]:
    until = settled_until(unit.now)
    start = until - LOOK_BACK * MINUTE_MS
    shown = {it.report.feature: it.report.status for it in open_reports_of(unit, ReporterKind.SERVICES, "outcomes")}
    bad = {feature for feature, _, _ in minutes_of_all(unit, start, until, only_bad=True)}
    concerned = sorted(bad | shown.keys())
    if not concerned:
        return []
    minutes: dict[str, dict[Instant, Outcomes]] = {feature: {} for feature in concerned}
    for feature, minute, outcomes in minutes_of_all(unit, start, until, features=concerned):
        minutes[feature][minute] = outcomes
    features = unit.published.catalog.features
    changes: list[_Change] = []
    for name in concerned:
        before = shown.get(name, Status.OPERATIONAL)
        level = features[name].service_level if name in features else None
        found = Verdict(Status.OPERATIONAL, unit.now) if level is None else verdict(minutes[name], level, until, before)
        if found.status is not before:
            changes.append(_Change(name, found))
    return changes
