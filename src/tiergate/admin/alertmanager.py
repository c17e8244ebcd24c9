"""Alerts as Prometheus Alertmanager sends them (webhook version 4): each opens and closes reports of its own.

An alert names its features in the label `tiergate_feature`, separated by commas, and its status in `tiergate_status`,
or by `severity` (`SEVERITIES`). Alerts without features are no reports, such as a watchdog that only shows that the
monitor runs.

A report stands for one alert, by its fingerprint, of one feature. INVARIANT (deliveries repeat): Alertmanager sends an
alert again and again, several of them send the same one, and what was delayed comes after what is newer. So an alert
that began at an instant opens one report, which starts there; once that has ended, however it did, it stays ended, and
only an alert that begins later opens another. A report that a person has ended or edited stays as the person left it,
but that an open one ends with its alert.

Alerts may name features that the monitor, if declared, does not watch. Unlike other monitors, an Alertmanager sees
no rejections, and an outage would not show; `features` says only of what nothing is known when it is silent.

What is wrong with one alert is named in the answer, and the others count: Alertmanager does not send again what was
rejected as a whole.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

import msgspec

from tiergate.admin.status_changes import MAX_OPEN, changing_statuses, end_report
from tiergate.admin.status_monitors import hear, require_key
from tiergate.admin.status_reports import MAX_NOTE, REPORTED, report_data
from tiergate.errors import BodyError, BodyProblem, ParameterError, did_you_mean
from tiergate.model import FOREVER, Reporter, ReporterKind, Status, StatusReport, parse_instant
from tiergate.naming import ID_RULE, is_id, nearest
from tiergate.permissions import Action, Resource
from tiergate.store.catalog_ids import feature_ids
from tiergate.store.status_monitors import lock_monitor
from tiergate.store.status_reports import (
    StoredReport,
    add_report,
    new_report_id,
    reports_between,
    reports_of_source,
)
from tiergate.text_normalization import to_nfc

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tiergate.admin.actor import Actor
    from tiergate.model import Instant
    from tiergate.store import WriteUnit

DEFAULT_MONITOR: Final = "alertmanager"
"""The monitor that an Alertmanager speaks for, unless its URL names another."""

SEVERITIES: Final = {
    "critical": Status.DOWN,
    "page": Status.DOWN,
    "emergency": Status.DOWN,
    "fatal": Status.DOWN,
    "major": Status.DEGRADED,
    "error": Status.DEGRADED,
    "high": Status.DEGRADED,
    "warning": Status.DEGRADED,
    "minor": Status.DEGRADED,
    "info": None,
    "none": None,
}
"""What severities mean; `None`: no report. Without a severity, or with another one, a feature is `degraded`."""

MAX_BODY: Final = 8 * 2**20
"""Most bytes of a delivery."""

_MAX_FEATURES: Final = 100
_MAX_SAID: Final = 10_000  # of alerts and their features; each is a row, or is compared with all features
_MAX_FINGERPRINT: Final = 200


class Alert(msgspec.Struct, frozen=True, rename="camel"):
    """An alert of a delivery. An end in the year 1 is none."""

    status: Literal["firing", "resolved"]
    labels: dict[str, str]
    starts_at: str
    fingerprint: str
    ends_at: str = "0001-01-01T00:00:00Z"
    annotations: dict[str, str] = {}


class Delivery(msgspec.Struct, frozen=True, rename="camel"):
    """What Alertmanager sends: a group of alerts. Its other members say nothing that the alerts do not."""

    version: str
    alerts: tuple[Alert, ...]
    group_key: str = ""
    truncated_alerts: int = 0


class _Said(NamedTuple):
    """What an alert, at its place in the delivery, says of one feature."""

    place: int
    feature: str
    key: str
    status: Status
    start: Instant
    end: Instant | None
    note: str
    public_note: str


class _Problem(NamedTuple):
    place: int
    code: str
    detail: str
    feature: str = ""


def take_alerts(actor: Actor, unit: WriteUnit, delivery: Delivery, name: str = DEFAULT_MONITOR) -> dict[str, Any]:
    """Open and end reports as the alerts of a delivery say; return how many, and what was rejected.

    The monitor is heard by it, if it is declared.

    Raises:
        BodyError: it is of another version.
        ParameterError: the name is not one of a monitor.
        ForbiddenError: another key speaks for the monitor.
    """
    actor.require(Action.REPORT_STATUS, Resource.store())
    if delivery.version != "4":
        raise BodyError([BodyProblem("/version", "wrong-value", "must be `4`, the version of the webhook")])
    if not is_id(name):
        raise ParameterError("monitor", f"the name of a monitor {ID_RULE}")
    stored = lock_monitor(unit, name)
    if stored is not None:
        require_key(actor, stored.monitor)
        hear(unit, stored.monitor)
    known = feature_ids(unit)
    said: list[_Said] = []
    problems: list[_Problem] = []
    ignored = 0
    for place, alert in enumerate(delivery.alerts):
        if len(said) + len(problems) >= _MAX_SAID:
            detail = f"a delivery may name {_MAX_SAID:,} features in all of its alerts: aggregate over instances"
            problems.append(_Problem(place, "too-many", detail))
            continue
        found = list(_read(alert, place, known, unit.now))
        said += [it for it in found if isinstance(it, _Said)]
        problems += [it for it in found if isinstance(it, _Problem)]
        ignored += not found
    counts = dict.fromkeys(("opened", "ended", "unchanged"), 0)
    problems += _apply(unit, name, said, counts)
    problems.sort()
    return {
        "monitor": name,
        **counts,
        "ignored": ignored,
        "truncated": max(0, delivery.truncated_alerts),
        "rejected": [
            {
                "fingerprint": delivery.alerts[it.place].fingerprint[:_MAX_FINGERPRINT],
                "pointer": f"/alerts/{it.place}",
                "code": it.code,
                "detail": it.detail,
                **({"feature": it.feature} if it.feature else {}),
            }
            for it in problems
        ],
    }


def _read(alert: Alert, place: int, known: frozenset[str], now: Instant) -> Iterator[_Said | _Problem]:
    """Yield what an alert says of each feature, or what is wrong; nothing if it is no report."""
    labels = alert.labels
    features = list(dict.fromkeys(it for part in labels.get("tiergate_feature", "").split(",") if (it := part.strip())))
    if not features:
        return
    try:
        status = _status(labels)
        start, end = parse_instant(alert.starts_at), _end(alert, now)
    except ValueError as error:
        yield _Problem(place, "wrong-value", str(error))
        return
    if status is None:
        return
    if len(features) > _MAX_FEATURES or not 0 < len(alert.fingerprint) <= _MAX_FINGERPRINT:
        detail = f"must name at most {_MAX_FEATURES} features, and have a fingerprint of at most {_MAX_FINGERPRINT} \
characters"
        yield _Problem(place, "out-of-range", detail)
        return
    note, public_note = _notes(alert)
    for feature in features:
        if feature not in known:
            detail = f"there is no feature `{feature[:100]}`{did_you_mean(nearest(feature, known))}"
            yield _Problem(place, "unknown-feature", detail, feature[:100])
            continue
        yield _Said(place, feature, to_nfc(alert.fingerprint), status, min(start, now), end, note, public_note)


def _status(labels: dict[str, str]) -> Status | None:
    text = labels.get("tiergate_status", "").strip().lower()
    if not text:
        return SEVERITIES.get(labels.get("severity", "").strip().lower(), Status.DEGRADED)
    if text not in REPORTED:
        listed = ", ".join(f"`{value}`" for value in REPORTED)
        message = f"the label `tiergate_status` must be one of {listed}"
        raise ValueError(message)
    return Status(text)


def _end(alert: Alert, now: Instant) -> Instant | None:
    """Return when an alert ended; `None`: it fires."""
    if alert.status == "firing":
        return None
    end = now if alert.ends_at.startswith("0001-") else parse_instant(alert.ends_at)
    return min(end, now)


def _notes(alert: Alert) -> tuple[str, str]:
    """Return the note for the operator, and the one for everybody, which only an annotation for it gives."""
    notes = alert.annotations
    name = alert.labels.get("alertname", "")
    text = notes.get("summary") or notes.get("description") or notes.get("message") or ""
    return _text(": ".join(part for part in (name, text) if part)), _text(notes.get("tiergate_note", ""))


def _text(text: str) -> str:
    """Return a text that can be a note: alerts have any characters in any number."""
    shown = "".join(character if character.isprintable() else " " for character in text).strip()
    return to_nfc(shown)[:MAX_NOTE]


# ── what changes ─────────────────────────────────────────────────────────────────────────────────────────────────────


def _apply(unit: WriteUnit, name: str, said: Sequence[_Said], counts: dict[str, int]) -> list[_Problem]:
    """Do what alerts say, and count it; return those for which a feature has too many open reports already."""
    features = sorted({it.feature for it in said})
    if not features:
        return []
    problems: list[_Problem] = []
    with changing_statuses(unit, features):
        room = {id_: MAX_OPEN - len(its) for id_, its in reports_between(unit, unit.now, FOREVER, features).items()}
        before: dict[tuple[str, str], list[StoredReport]] = {}
        for stored in reports_of_source(unit, name, {it.key for it in said}):
            before.setdefault((stored.report.feature, stored.source_key), []).append(stored)
        for it in sorted(said, key=lambda it: (it.feature, it.key, it.start, it.end is not None)):
            reports = before.setdefault((it.feature, it.key), [])
            is_more = it.end is None and all(old.report.until <= it.start for old in reports)
            if is_more and room.get(it.feature, MAX_OPEN) < 1:
                detail = f"`{it.feature}` has {MAX_OPEN} reports that are open or begin later"
                problems.append(_Problem(it.place, "too-many-reports", detail, it.feature))
                continue
            counts[_apply_one(unit, name, it, reports)] += 1
            room[it.feature] = room.get(it.feature, MAX_OPEN) - is_more
    return problems


def _apply_one(unit: WriteUnit, name: str, said: _Said, reports: list[StoredReport]) -> str:
    """Do what one alert says of a feature, given its earlier reports, which are kept up to date; return what it did."""
    same = next((place for place, it in enumerate(reports) if it.report.start == said.start), None)
    if same is None:
        same = next((place for place, it in enumerate(reports) if _has_moved(it, said)), None)
    if same is not None:
        stored = reports[same]
        if said.end is None or stored.report.until != FOREVER:
            return "unchanged"
        reports[same] = _end_one(unit, stored, said.end)
        return "ended"
    if any(it.report.start > said.start for it in reports):
        return "unchanged"  # a newer alert is known
    for place, it in enumerate(reports):
        if it.report.until > said.start:  # it ended unheard before this one began
            reports[place] = _end_one(unit, it, said.start)
    until = FOREVER if said.end is None else max(said.end, said.start + 1)
    report = StatusReport(
        id=new_report_id(),
        feature=said.feature,
        status=said.status,
        start=said.start,
        until=until,
        reporter=Reporter(ReporterKind.MONITOR, name),
        note=said.note,
        public_note=said.public_note,
    )
    unit.audit("status_report.created", "status_report", report.id, after=report_data(report))
    reports.append(add_report(unit, report, said.key))
    return "opened" if said.end is None else "ended"


def _has_moved(stored: StoredReport, said: _Said) -> bool:
    """Return whether a report stands for an alert, but has had another start since somebody else edited it.

    It was opened while the alert fired, so that it cannot stand for an earlier one.
    """
    return stored.updated_by != stored.created_by and said.start <= stored.stamp.created_at


def _end_one(unit: WriteUnit, stored: StoredReport, at: Instant) -> StoredReport:
    after = end_report(unit, stored, at)
    before, now = report_data(stored.report), report_data(after.report)
    unit.audit("status_report.ended", "status_report", after.report.id, before=before, after=now)
    return after
