"""Monitors: declare them, hear them, and let them report. A monitor changes and ends only reports of its own.

A monitor that should be heard now and then is *silent* once it was not; of its features nothing is known then, unless
somebody else reports. One that was never heard is silent about nothing yet.

Functions raise `NotFoundError` if the monitor does not exist, `PreconditionError` if it has another version,
`BodyError` with all problems of its members, and `ForbiddenError` if another key speaks for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec.structs import replace

from tiergate.admin.results import Page, View
from tiergate.admin.status_changes import changing_statuses, end_report
from tiergate.admin.status_reports import (
    AudienceBody,
    audience_of,
    feature_problems,
    read_status,
    report_data,
    report_problems,
    report_view,
)
from tiergate.catalog.reading.fields import text_fault
from tiergate.errors import BodyError, BodyProblem, ConflictError, ForbiddenError, NotFoundError
from tiergate.model import (
    Reporter,
    ReporterKind,
    Status,
    StatusReport,
    format_instant,
    parse_instant,
)
from tiergate.model.durations import format_duration, parse_duration
from tiergate.naming import ID_RULE, is_id
from tiergate.permissions import Action, Resource
from tiergate.store import status_monitors as stored_monitors
from tiergate.store.keys import find_key
from tiergate.store.outbox import EventType
from tiergate.store.status_monitors import Monitor, StoredMonitor, lock_monitor, read_monitor
from tiergate.store.status_reports import (
    StoredReport,
    add_report,
    new_report_id,
    open_reports_of,
    replace_report,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tiergate.admin.actor import Actor
    from tiergate.admin.precondition import Precondition
    from tiergate.model import Instant
    from tiergate.store import ReadUnit, WriteUnit

MAX_MONITORS: Final = 1_000
"""The most monitors of a store: the clock looks at all of them."""

MAX_FEATURES: Final = 1_000
"""The most features of a monitor."""

_MAX_DESCRIPTION: Final = 1_000
_MAX_KEY: Final = 256
_MOST_EVERY: Final = 366 * 86_400_000


class MonitorBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a monitor watches. `every`: it should be heard this often; without it, nothing is expected.

    `key`: the id of the only API key that may speak for it.
    """

    features: tuple[str, ...]
    every: str | None = None
    key: str | None = None
    description: str = ""


class MonitorReport(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a monitor says of a feature. `operational` ends its report; `key` tells its reports of a feature apart."""

    feature: str
    status: str
    key: str = ""
    at: str | None = None
    note: str = ""
    public_note: str = ""
    audience: AudienceBody | None = None


def list_monitors(unit: ReadUnit, after: str | None, limit: int) -> Page:
    """List monitors by name."""
    rows = stored_monitors.list_monitors(unit, after, limit + 1)
    page = rows[:limit]
    more = page[-1].monitor.name if len(rows) > limit else None
    return Page([_view(unit, row) for row in page], more)


def get_monitor(unit: ReadUnit, name: str) -> View:
    """Read a monitor."""
    return _view(unit, read_monitor(unit, name))


def put_monitor(
    actor: Actor, unit: WriteUnit, name: str, body: MonitorBody, expected: Precondition
) -> tuple[View, bool]:
    """Declare a monitor, or change it; return it, and whether it is new."""
    _authorize(actor)
    stored = lock_monitor(unit, name)
    if stored is not None:
        expected.check("status monitor", name, stored.stamp.etag)
    elif expected.must_exist:
        raise NotFoundError("status monitor", name)
    problems = list(_problems(unit, name, body))
    if problems:
        raise BodyError(problems)
    before = None if stored is None else stored.monitor
    if before is None and stored_monitors.count_monitors(unit)[0] >= MAX_MONITORS:
        raise ConflictError("too-many-monitors", f"monitor limit reached ({MAX_MONITORS})")
    every = None if body.every is None else parse_duration(body.every)
    monitor = Monitor(name, tuple(dict.fromkeys(body.features)), every, body.key, body.description)
    if before is not None:
        monitor = monitor._replace(heard_at=before.heard_at, silent_since=before.silent_since)
        if monitor == before and stored is not None:
            return _view(unit, stored), False
        if (monitor.features, monitor.every) != (before.features, before.every) and before.silent_since is not None:
            with changing_statuses(unit, stored_monitors.silent_features(unit, name)):
                stored_monitors.close_silences(unit, name)  # the clock finds out what is silent from now on
            monitor = monitor._replace(silent_since=None)
    after = stored_monitors.write_monitor(unit, stored, monitor)
    action = "status_monitor.declared" if before is None else "status_monitor.edited"
    unit.audit(
        action,
        "status_monitor",
        name,
        before=None if before is None else _settings(before),
        after=_settings(monitor),
    )
    return _view(unit, after), before is None


def delete_monitor(actor: Actor, unit: WriteUnit, name: str, expected: Precondition) -> None:
    """Delete a monitor: its open reports and silences end now, and what was before stays."""
    _authorize(actor)
    stored = lock_monitor(unit, name)
    if stored is None:
        raise NotFoundError("status monitor", name)
    expected.check("status monitor", name, stored.stamp.etag)
    reports = open_reports_of(unit, ReporterKind.MONITOR, name)
    features = {it.report.feature for it in reports} | set(stored_monitors.silent_features(unit, name))
    with changing_statuses(unit, features):
        for report in reports:
            _audit(unit, "status_report.ended", report, end_report(unit, report, unit.now))
        stored_monitors.close_silences(unit, name)
    stored_monitors.remove_monitor(unit, name)
    unit.audit("status_monitor.deleted", "status_monitor", name, before=_settings(stored.monitor))


def heartbeat(actor: Actor, unit: WriteUnit, name: str) -> None:
    """Note that a monitor runs, and that it has nothing else to say."""
    hear(unit, _speaking(actor, unit, name))


def hear(unit: WriteUnit, monitor: Monitor) -> None:
    """Note that a monitor is heard now; the caller has its lock. It is no entry of the audit log."""
    stored_monitors.note_heard(unit, monitor.name)
    if monitor.silent_since is None and (monitor.due_at is None or monitor.due_at > unit.now):
        return
    if monitor.silent_since is None:  # the clock did not tell it yet
        fall_silent(unit, monitor)
    features = stored_monitors.silent_features(unit, monitor.name)
    with changing_statuses(unit, features):
        stored_monitors.close_silences(unit, monitor.name)
    since = monitor.due_at if monitor.silent_since is None else monitor.silent_since
    data: dict[str, object] = {"monitor": monitor.name, "features": list(monitor.features)}
    if since is not None:
        data["since"] = format_instant(since)
    unit.emit(EventType.MONITOR_HEARD, data)


def fall_silent(unit: WriteUnit, monitor: Monitor) -> None:
    """Note that a monitor is silent since it was due; the caller has its lock."""
    since = monitor.due_at
    if since is None:
        return
    with changing_statuses(unit, monitor.features, since):
        stored_monitors.open_silences(unit, monitor.name, monitor.features, since)
    data = {"monitor": monitor.name, "features": list(monitor.features), "since": format_instant(since)}
    unit.emit(EventType.MONITOR_SILENT, data, since)


def report(actor: Actor, unit: WriteUnit, name: str, body: MonitorReport) -> View | None:
    """Set what a monitor says of a feature; return the report that is open then, or nothing if all is well.

    INVARIANT (deliveries are late): what is said of an instant changes no report that began after it.
    """
    monitor = _speaking(actor, unit, name)
    at = unit.now if body.at is None else _instant(body.at)
    status = None if body.status == Status.OPERATIONAL.value else read_status(body.status)
    wanted = StatusReport(
        id=new_report_id(),
        feature=body.feature,
        status=status or Status.DEGRADED,
        start=at,
        reporter=Reporter(ReporterKind.MONITOR, name),
        note=body.note,
        public_note=body.public_note,
        audience=audience_of(body.audience),
    )
    problems = list(_report_problems(unit, monitor, body, wanted if status is not None else None, at))
    if problems:
        raise BodyError(problems)
    hear(unit, monitor)
    with changing_statuses(unit, [body.feature]):
        current = [
            it
            for it in open_reports_of(unit, ReporterKind.MONITOR, name, body.feature)
            if it.source_key == body.key or (status is None and not body.key)
        ]
        newer = [it for it in current if body.at is not None and it.report.start > at]
        older = [it for it in current if it not in newer]
        stored = _write(unit, older, None if status is None or newer else wanted, body.key, at)
        stored = newer[-1] if newer else stored
    return None if stored is None else report_view(stored)


def _write(
    unit: WriteUnit, current: Sequence[StoredReport], wanted: StatusReport | None, key: str, at: Instant
) -> StoredReport | None:
    """Let a report go on if it says the same, perhaps in other words; else end it, and add the one that is wanted."""
    for stored in current:
        if wanted is not None and (stored.report.status, stored.report.audience) == (wanted.status, wanted.audience):
            same = replace(stored.report, note=wanted.note, public_note=wanted.public_note)
            after = replace_report(unit, stored, same)
            if after is not stored:
                _audit(unit, "status_report.edited", stored, after)
            return after
        _audit(unit, "status_report.ended", stored, end_report(unit, stored, at))
    if wanted is None:
        return None
    unit.audit("status_report.created", "status_report", wanted.id, after=report_data(wanted))
    return add_report(unit, wanted, key)


def _audit(unit: WriteUnit, action: str, before: StoredReport, after: StoredReport) -> None:
    data = report_data(before.report), report_data(after.report)
    unit.audit(action, "status_report", before.report.id, before=data[0], after=data[1])


def _authorize(actor: Actor) -> None:
    actor.require(Action.REPORT_STATUS, Resource.store())


def _speaking(actor: Actor, unit: WriteUnit, name: str) -> Monitor:
    """Lock a monitor for which the actor may speak."""
    _authorize(actor)
    stored = lock_monitor(unit, name)
    if stored is None:
        raise NotFoundError("status monitor", name)
    require_key(actor, stored.monitor)
    return stored.monitor


def require_key(actor: Actor, monitor: Monitor) -> None:
    """Require that the actor may speak for a monitor, or raise `ForbiddenError`."""
    if monitor.key is not None and actor.id != f"key/{monitor.key}":
        raise ForbiddenError(Action.REPORT_STATUS, "Store", scoped=True)


def _problems(unit: ReadUnit, name: str, body: MonitorBody) -> Iterator[BodyProblem]:
    if not is_id(name):
        yield BodyProblem("", "bad-id", f"the name of a monitor {ID_RULE}")
    if not body.features:
        yield BodyProblem("/features", "empty", "must name a feature")
    if len(body.features) > MAX_FEATURES:
        yield BodyProblem("/features", "too-many", f"must be at most {MAX_FEATURES}")
    else:
        yield from feature_problems(unit, body.features, "/features")
    if body.every is not None:
        try:
            every = parse_duration(body.every)
        except ValueError as error:
            yield BodyProblem("/every", "wrong-value", str(error))
        else:
            if not 0 < every <= _MOST_EVERY:
                yield BodyProblem("/every", "out-of-range", "must be 1 minute to 366 days")
    if body.key is not None and find_key(unit, body.key) is None:
        yield BodyProblem("/key", "unknown-key", f"there is no key `{body.key[:100]}`")
    fault = text_fault(body.description, _MAX_DESCRIPTION, prose=True) if body.description else None
    if fault is not None:
        yield BodyProblem("/description", *fault)


def _report_problems(
    unit: ReadUnit, monitor: Monitor, body: MonitorReport, wanted: StatusReport | None, at: Instant
) -> Iterator[BodyProblem]:
    if body.feature not in monitor.features:
        yield BodyProblem("/feature", "not-watched", f"`{monitor.name}` does not watch `{body.feature[:100]}`")
    if at > unit.now:
        yield BodyProblem("/at", "out-of-range", "must not be in the future")
    fault = text_fault(body.key, _MAX_KEY) if body.key else None
    if fault is not None:
        yield BodyProblem("/key", *fault)
    if wanted is not None:
        yield from report_problems(unit, wanted)


def _view(unit: ReadUnit, stored: StoredMonitor) -> View:
    monitor = stored.monitor
    data: dict[str, Any] = {"name": monitor.name, **_settings(monitor), "state": _state(monitor, unit.now)}
    if monitor.heard_at is not None:
        data["heard_at"] = format_instant(monitor.heard_at)
    since = monitor.silent_since
    if since is None and monitor.due_at is not None and monitor.due_at <= unit.now:
        since = monitor.due_at
    if since is not None:
        data["silent_since"] = format_instant(since)
    return View(data, stored.stamp, changed_since_stamp=True)


def _state(monitor: Monitor, now: Instant) -> str:
    if monitor.heard_at is None:
        return "never_heard"
    is_silent = monitor.silent_since is not None or (monitor.due_at is not None and monitor.due_at <= now)
    return "silent" if is_silent else "heard"


def _settings(monitor: Monitor) -> dict[str, Any]:
    data: dict[str, Any] = {"features": list(monitor.features)}
    if monitor.every is not None:
        data["every"] = format_duration(monitor.every)
    if monitor.key is not None:
        data["key"] = monitor.key
    if monitor.description:
        data["description"] = monitor.description
    return data


def _instant(text: str) -> Instant:
    try:
        return parse_instant(text)
    except ValueError as error:
        raise BodyError([BodyProblem("/at", "wrong-value", str(error))]) from None
