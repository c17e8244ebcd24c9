"""Changes of what is reported of features: told as events, and published to sidecars, in the same transaction.

Whoever changes reports or silences does it within `changing_statuses`, which locks the features, tells first what began
or ended by itself until now (the clock could not any more), and afterwards publishes what differs.

INVARIANT (told once): who tells something of a feature has its lock, and moves `told` and `next_at` with it.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from tiergate.errors import ConflictError
from tiergate.feed.status_reports import encode_reports
from tiergate.model import FOREVER, Interval, ReportedStatus, Reporter, ReporterKind, Status, StatusReport
from tiergate.model.instants import format_instant
from tiergate.status.shown import next_change, shown_at, shown_changes, shown_since
from tiergate.store.feature_status import ToldStatus, lock_statuses, write_status
from tiergate.store.outbox import EventType
from tiergate.store.status_monitors import silences_between
from tiergate.store.status_reports import (
    StoredReport,
    add_report,
    new_report_id,
    open_reports_of,
    replace_report,
    reports_between,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tiergate.model import Instant
    from tiergate.status.shown import ShownStatus
    from tiergate.store import WriteUnit

MAX_OPEN: Final = 100
"""The most reports of a feature that are open or begin later: sidecars get all of them with each change."""

_SERVICES: Final = Reporter(ReporterKind.SERVICES, "outcomes")


@contextmanager
def changing_statuses(unit: WriteUnit, features: Iterable[str], at: Instant | None = None) -> Iterator[None]:
    """Lock features while their reports or silences are changed; then tell and publish what differs.

    `at`: the instant of the events, if it is not now.

    Raises:
        ConflictError: a feature would have more than `MAX_OPEN` reports that are open or begin later.
    """
    told = tell_due(unit, features)
    yield
    _publish(unit, told, unit.now if at is None else at)


def tell_due(unit: WriteUnit, features: Iterable[str]) -> dict[str, ToldStatus]:
    """Lock features, make events of what began or ended by itself until now, and return what is told of them."""
    told = lock_statuses(unit, features)
    due = [it for it in told.values() if it.next_at is not None and it.next_at <= unit.now]
    if not due:
        return told
    ids, first = [it.feature for it in due], min(it.told for it in due)
    reports = reports_between(unit, first, FOREVER, ids)
    silences = silences_between(unit, first, FOREVER, ids)
    for before in due:
        own, silent = reports.get(before.feature, []), silences.get(before.feature, [])
        shown, since = before.shown, before.since
        for change in shown_changes(own, silent, Interval(before.told, unit.now + 1), shown):
            shown, since = change.after, change.at
            _emit(unit, before.feature, change.before, change.after, own, since=since, at=since)
        after = before._replace(shown=shown, since=since, told=unit.now, next_at=next_change(own, silent, unit.now))
        write_status(unit, after)
        told[before.feature] = after
    return told


def _publish(unit: WriteUnit, told: dict[str, ToldStatus], at: Instant) -> None:
    if not told:
        return
    ids = list(told)
    reports = reports_between(unit, unit.now, FOREVER, ids)
    silences = silences_between(unit, unit.now, FOREVER, ids)
    for feature, before in told.items():
        own, silent = reports.get(feature, []), silences.get(feature, [])
        now = max(unit.now, before.told)  # a transaction that began later may have told what is to come here
        if len(own) > MAX_OPEN:
            detail = f"`{feature}` has {MAX_OPEN} reports that are open or begin later: end some first"
            raise ConflictError("too-many-reports", detail)
        record = encode_reports(
            ReportedStatus(status=it.status, start=it.start, until=it.until, audience=it.audience) for it in own
        )
        shown, since = shown_at(own, silent, now), before.since
        if shown is not before.shown:
            since = shown_since(own, silent, shown, now) or now
            _emit(unit, feature, before.shown, shown, own, since=since, at=at)
        if record != before.record:
            unit.replace_status(feature, record)
        after = ToldStatus(feature, record, shown, since, now, next_change(own, silent, now))
        write_status(unit, after)


def _emit(
    unit: WriteUnit,
    feature: str,
    before: ShownStatus,
    after: ShownStatus,
    reports: Iterable[StatusReport],
    *,
    since: Instant,
    at: Instant,
) -> None:
    """Make an event of a change; it names the reports that make the new status, and neither notes nor reporters."""
    data: dict[str, object] = {
        "feature": feature,
        "before": before.value,
        "after": after.value,
        "since": format_instant(since),
        "reports": [it.id for it in reports if it.status.value == after.value and it.interval.contains(at)],
    }
    unit.emit(EventType.STATUS_CHANGED, data, at)


# ── reports by sources ───────────────────────────────────────────────────────────────────────────────────────────────


def services_report(
    unit: WriteUnit, feature: str, status: Status | None, start: Instant, until: Instant = FOREVER
) -> None:
    """Set what services say of a feature by their outcomes, from `start` on; `None`, operational: it works.

    The report that is open goes on if it says the same, else it ends at `start`.
    """
    wanted = None if status is Status.OPERATIONAL else status
    with changing_statuses(unit, [feature]):
        for stored in open_reports_of(unit, _SERVICES.kind, _SERVICES.name, feature):
            if stored.report.status is wanted:
                if until != FOREVER:
                    end_report(unit, stored, until)
                return
            end_report(unit, stored, start)
        if wanted is not None:
            add_report(
                unit,
                StatusReport(
                    id=new_report_id(), feature=feature, status=wanted, start=start, until=until, reporter=_SERVICES
                ),
            )


def end_report(unit: WriteUnit, stored: StoredReport, at: Instant) -> StoredReport:
    """End a report at an instant, at least a millisecond after its start; the caller changes its feature's status."""
    return replace_report(unit, stored, replace(stored.report, until=max(at, stored.report.start + 1)))
