"""How well features work now: of all, and of one, with the reports that say so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from tiergate.admin.status_reports import report_view
from tiergate.model import FOREVER, FeatureStatus, Interval, format_instant
from tiergate.permissions import Action, Resource
from tiergate.status.shown import ShownStatus, shown_at, shown_since
from tiergate.store.features import find_feature, is_suspended, read_features
from tiergate.store.status_monitors import silences_between
from tiergate.store.status_reports import StoredReport, reports_after

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tiergate.admin.actor import Actor
    from tiergate.model import Feature, Instant
    from tiergate.store import ReadUnit


class Shown(NamedTuple):
    """The status of a feature at an instant. `since`: when it began, of one that is not operational.

    `state`: `active`, or what its life says, which comes before its status: `draft`, `suspended`, `archived`.
    """

    feature: Feature
    status: ShownStatus
    since: Instant | None
    state: str
    reports: tuple[StoredReport, ...]


class StatusFilter(NamedTuple):
    """Conditions on features, all of which must hold; empty ones are none. `tags`: all of them."""

    tags: tuple[str, ...] = ()
    statuses: tuple[ShownStatus, ...] = ()


def list_statuses(actor: Actor, unit: ReadUnit, wanted: StatusFilter) -> list[dict[str, Any]]:
    """Return the status of all features that a filter wants, by id."""
    features = [it for it in read_features(unit).values() if set(wanted.tags) <= set(it.tags)]
    shown = show(unit, features)
    return [status_data(actor, it) for it in shown if not wanted.statuses or it.status in wanted.statuses]


def get_status(actor: Actor, unit: ReadUnit, feature: str) -> dict[str, Any]:
    """Return the status of a feature, with the reports that are open or begin later."""
    return status_data(actor, show(unit, [find_feature(unit, feature).feature])[0])


def show(unit: ReadUnit, features: Sequence[Feature]) -> list[Shown]:
    """Return the status of features now."""
    ids = [it.id for it in features] if len(features) == 1 else None
    reports: dict[str, list[StoredReport]] = {}
    for stored in reports_after(unit, unit.now, ids):
        reports.setdefault(stored.report.feature, []).append(stored)
    silences = silences_between(unit, unit.now, FOREVER, ids)
    return [_shown(it, reports.get(it.id, []), silences.get(it.id, []), unit.now) for it in features]


def status_data(actor: Actor, shown: Shown) -> dict[str, Any]:
    """Return a status as JSON data.

    Who may not look at the whole catalog sees neither notes, reporters, audiences nor what others are concerned by.
    """
    data: dict[str, Any] = {"feature": shown.feature.id, "status": shown.status.value, "state": shown.state}
    if shown.feature.name:
        data["name"] = shown.feature.name
    if shown.since is not None:
        data["since"] = format_instant(shown.since)
    data["reports"] = [
        _report_data(it) if actor.may(Action.VIEW, Resource.catalog()) else _public_data(it) for it in shown.reports
    ]
    return data


def _report_data(stored: StoredReport) -> dict[str, Any]:
    view = report_view(stored)
    stamp = view.stamp
    dates = {"created_at": format_instant(stamp.created_at), "updated_at": format_instant(stamp.updated_at)}
    return view.data | {"etag": f'"{stamp.etag}"'} | dates


def _public_data(stored: StoredReport) -> dict[str, Any]:
    data = report_view(stored).data
    return {name: data[name] for name in ("id", "feature", "status", "start", "until", "public_note") if name in data}


def _shown(feature: Feature, stored: Sequence[StoredReport], silences: Sequence[Interval], now: Instant) -> Shown:
    reports = [it.report for it in stored]
    status = shown_at(reports, silences, now)
    return Shown(feature, status, shown_since(reports, silences, status, now), life_state(feature, now), tuple(stored))


def life_state(feature: Feature, now: Instant) -> str:
    """Return `active`, or what the life of a feature says: `draft`, `suspended`, `archived`."""
    if feature.status is FeatureStatus.ACTIVE and is_suspended(feature, now):
        return "suspended"
    return feature.status.value
