"""Reports on the status of features by people: create, edit after the fact, end, delete and list them.

People may edit and end the reports of people and monitors; a monitor ends only its own (`status_monitors`). What
services say by their outcomes is measured, so that people may write notes on it, and nothing else: who wants such a
time out of the figures announces maintenance over it.

Functions raise `NotFoundError` if the report does not exist, `PreconditionError` if it has another version, `BodyError`
with all problems of its members, and `ConflictError` if the feature has too many open reports, or what is measured
would change.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from tiergate.admin.instant_filters import instant_filter
from tiergate.admin.results import Page, View
from tiergate.admin.status_changes import changing_statuses
from tiergate.catalog.reading.fields import text_fault
from tiergate.errors import BodyError, BodyProblem, ConflictError, ParameterError
from tiergate.model import (
    FOREVER,
    Reporter,
    ReporterKind,
    Status,
    StatusAudience,
    StatusReport,
    format_instant,
    parse_instant,
)
from tiergate.naming import is_id, nearest
from tiergate.permissions import Action, Resource
from tiergate.store import status_reports as stored_reports
from tiergate.store.catalog_ids import feature_ids, item_ids
from tiergate.store.status_reports import ReportFilter, StoredReport, find_report, new_report_id

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from tiergate.admin.actor import Actor
    from tiergate.admin.precondition import Precondition
    from tiergate.model import Instant
    from tiergate.store import ReadUnit, WriteUnit

FILTERS: Final = ("feature", "status", "reporter", "open", "from", "until")
"""The names of the filters that `read_report_filter` knows."""

MAX_NOTE: Final = 4_000
"""Most characters of a note."""

REPORTED: Final = tuple(status.value for status in Status if status is not Status.OPERATIONAL)
"""What can be reported: a feature without an open report is operational."""

_MAX_AUDIENCE: Final = 50


class AudienceBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whom a `partial` report concerns: customers with a tag, and subscriptions that have an item."""

    tags: tuple[str, ...] = ()
    items: tuple[str, ...] = ()


class NewReport(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A report. `start`: now, if left out; without `until` it is open."""

    feature: str
    status: str
    start: str | None = None
    until: str | None = None
    note: str = ""
    public_note: str = ""
    audience: AudienceBody | None = None


class ReportEdit(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Members to change; `until` of `null` opens the report again, `audience` of `null` removes it."""

    status: str | UnsetType = UNSET
    start: str | UnsetType = UNSET
    until: str | UnsetType | None = UNSET
    note: str | UnsetType = UNSET
    public_note: str | UnsetType = UNSET
    audience: AudienceBody | UnsetType | None = UNSET


class ReportEnd(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """When a report ends, now if left out, and notes to put in place of those that it has."""

    at: str | None = None
    note: str | UnsetType = UNSET
    public_note: str | UnsetType = UNSET


def read_report_filter(
    filters: Mapping[str, str], statuses: tuple[Status, ...], *, is_open: bool | None
) -> ReportFilter:
    """Read conditions from filters by name; other names are ignored.

    Raises:
        ParameterError: an instant is invalid, or `from` is not before `until`.
    """
    start, until = instant_filter(filters, "from"), instant_filter(filters, "until")
    if start is not None and until is not None and start >= until:
        raise ParameterError("until", "must be after `from`")
    return ReportFilter(filters.get("feature"), statuses, filters.get("reporter"), is_open, start, until)


def list_reports(unit: ReadUnit, wanted: ReportFilter, before: tuple[Instant, str] | None, limit: int) -> Page:
    """List reports, the latest start first; `before`: those that follow this start and id."""
    rows = stored_reports.list_reports(unit, wanted, before, limit + 1)
    page = rows[:limit]
    more = f"{page[-1].report.start}:{page[-1].report.id}" if len(rows) > limit else None
    return Page([report_view(row) for row in page], more)


def get_report(unit: ReadUnit, id_: str) -> View:
    """Read a report."""
    return report_view(find_report(unit, id_))


def create_report(actor: Actor, unit: WriteUnit, body: NewReport) -> View:
    """Report the status of a feature, as a person."""
    actor.require(Action.REPORT_STATUS, Resource.feature(body.feature))
    start = unit.now if body.start is None else _instant(body.start, "/start")
    report = StatusReport(
        id=new_report_id(),
        feature=body.feature,
        status=read_status(body.status),
        start=start,
        until=FOREVER if body.until is None else _instant(body.until, "/until"),
        reporter=Reporter(ReporterKind.PERSON, actor.id),
        note=body.note,
        public_note=body.public_note,
        audience=audience_of(body.audience),
    )
    problems = [*feature_problems(unit, [body.feature], "/feature"), *report_problems(unit, report)]
    if problems:
        raise BodyError(problems)
    with changing_statuses(unit, [report.feature]):
        stored = stored_reports.add_report(unit, report)
    unit.audit("status_report.created", "status_report", report.id, after=report_data(report))
    return report_view(stored)


def edit_report(actor: Actor, unit: WriteUnit, id_: str, edit: ReportEdit, expected: Precondition) -> View:
    """Change a report, also after the fact."""
    before = _authorized(actor, unit, id_)
    with changing_statuses(unit, [before.report.feature]):
        before = _expected(unit, id_, expected)
        after = stored_reports.replace_report(unit, before, _edited(unit, before.report, edit))
    _audit(unit, "status_report.edited", before, after)
    return report_view(after)


def end_report(actor: Actor, unit: WriteUnit, id_: str, end: ReportEnd, expected: Precondition) -> View:
    """End a report that is open, now or at an instant; one that has ended stays as it is."""
    before = _authorized(actor, unit, id_)
    with changing_statuses(unit, [before.report.feature]):
        before = _expected(unit, id_, expected)
        report = before.report
        at = unit.now if end.at is None else _instant(end.at, "/at")
        until = report.until if end.at is None and report.until <= unit.now else at
        if until <= report.start:
            detail = f"the report begins at {format_instant(report.start)}: delete it, or end it after that"
            raise ConflictError("not-begun", detail)
        ended = replace(report, until=until)
        _reject_measured(report, ended)
        edit = ReportEdit(note=end.note, public_note=end.public_note)
        after = stored_reports.replace_report(unit, before, _edited(unit, ended, edit))
    _audit(unit, "status_report.ended", before, after)
    return report_view(after)


def delete_report(actor: Actor, unit: WriteUnit, id_: str, expected: Precondition) -> None:
    """Delete a report that was a mistake: it counts no more."""
    before = _authorized(actor, unit, id_)
    with changing_statuses(unit, [before.report.feature]):
        before = _expected(unit, id_, expected)
        _reject_measured(before.report, None)
        stored_reports.delete_report(unit, id_)
    unit.audit("status_report.deleted", "status_report", id_, before=report_data(before.report))


def feature_of_report(unit: ReadUnit, id_: str) -> str:
    """Return the feature of a report. Raises `NotFoundError`."""
    return find_report(unit, id_).report.feature


# ── forms ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def report_view(stored: StoredReport) -> View:
    """Return a report as JSON data, with its version."""
    data = report_data(stored.report) | {"created_by": stored.created_by, "updated_by": stored.updated_by}
    return View(data, stored.stamp)


def report_data(report: StatusReport) -> dict[str, Any]:
    """Return a report as JSON data, without its version."""
    data: dict[str, Any] = {
        "id": report.id,
        "feature": report.feature,
        "status": report.status.value,
        "start": format_instant(report.start),
    }
    if report.until < FOREVER:
        data["until"] = format_instant(report.until)
    data |= {"reporter_kind": report.reporter.kind.value, "reporter": report.reporter.name}
    data |= {name: text for name in ("note", "public_note") if (text := getattr(report, name))}
    if report.audience is not None:
        data["audience"] = {name: list(ids) for name in ("tags", "items") if (ids := getattr(report.audience, name))}
    return data


def read_status(text: str, pointer: str = "/status") -> Status:
    """Read a status that can be reported. Raises `BodyError`."""
    if text not in REPORTED:
        listed = ", ".join(f"`{value}`" for value in REPORTED)
        raise BodyError([BodyProblem(pointer, "wrong-value", f"must be one of {listed}", nearest(text, REPORTED))])
    return Status(text)


def feature_problems(unit: ReadUnit, features: Collection[str], pointer: str) -> Iterator[BodyProblem]:
    """Yield a problem for each feature that does not exist."""
    known = feature_ids(unit)
    for id_ in features:
        if id_ not in known:
            yield BodyProblem(pointer, "unknown-feature", f"there is no feature `{id_[:100]}`", nearest(id_, known))


def report_problems(unit: ReadUnit, report: StatusReport) -> Iterator[BodyProblem]:
    """Yield what is wrong with a report, but with its feature."""
    if report.until <= report.start:
        yield BodyProblem("/until", "out-of-range", "must be after `start`")
    yield from note_problems(report.note, report.public_note)
    audience = report.audience
    if audience is None:
        return
    if report.status is not Status.PARTIAL:
        yield BodyProblem("/audience", "not-partial", "is only for the status `partial`")
    if not audience.tags and not audience.items:
        yield BodyProblem("/audience", "empty", "must name a tag or an item")
    if len(audience.tags) + len(audience.items) > _MAX_AUDIENCE:
        yield BodyProblem("/audience", "too-many", f"must have at most {_MAX_AUDIENCE} tags and items")
        return
    for place, tag in enumerate(audience.tags):
        if not is_id(tag):
            yield BodyProblem(f"/audience/tags/{place}", "bad-id", "is not a tag")
    known = item_ids(unit) if audience.items else frozenset()
    for place, item in enumerate(audience.items):
        if item not in known:
            detail = f"there is no item `{item[:100]}`"
            yield BodyProblem(f"/audience/items/{place}", "unknown-item", detail, nearest(item, known))


def note_problems(note: str, public_note: str, pointer: str = "") -> Iterator[BodyProblem]:
    """Yield what is wrong with the notes of a report; empty ones are none."""
    for name, text in (("note", note), ("public_note", public_note)):
        fault = text_fault(text, MAX_NOTE, prose=True) if text else None
        if fault is not None:
            yield BodyProblem(f"{pointer}/{name}", *fault)


def _authorized(actor: Actor, unit: WriteUnit, id_: str) -> StoredReport:
    stored = find_report(unit, id_)
    actor.require(Action.REPORT_STATUS, Resource.feature(stored.report.feature))
    return stored


def _expected(unit: WriteUnit, id_: str, expected: Precondition) -> StoredReport:
    """Read a report again, with the lock of its feature, and check its version."""
    stored = find_report(unit, id_)
    expected.check("status report", id_, stored.stamp.etag)
    return stored


def _edited(unit: ReadUnit, report: StatusReport, edit: ReportEdit) -> StatusReport:
    changes: dict[str, Any] = {
        name: value for name in ("note", "public_note") if (value := getattr(edit, name)) is not UNSET
    }
    if edit.status is not UNSET:
        changes["status"] = read_status(edit.status)
    if edit.start is not UNSET:
        changes["start"] = _instant(edit.start, "/start")
    if edit.until is not UNSET:
        changes["until"] = FOREVER if edit.until is None else _instant(edit.until, "/until")
    if edit.audience is not UNSET:
        changes["audience"] = audience_of(edit.audience)
    after = replace(report, **changes)
    problems = list(report_problems(unit, after))
    if problems:
        raise BodyError(problems)
    _reject_measured(report, after)
    return after


def _reject_measured(before: StatusReport, after: StatusReport | None) -> None:
    """Reject another change than that of notes of what services say."""
    if before.reporter.kind is not ReporterKind.SERVICES:
        return
    if after is None or replace(after, note=before.note, public_note=before.public_note) != before:
        detail = "services say so by their outcomes: only its notes can be changed; announce maintenance instead"
        raise ConflictError("measured", detail)


def _audit(unit: WriteUnit, action: str, before: StoredReport, after: StoredReport) -> None:
    if after.report != before.report:
        unit.audit(
            action,
            "status_report",
            after.report.id,
            before=report_data(before.report),
            after=report_data(after.report),
        )


def audience_of(body: AudienceBody | None) -> StatusAudience | None:
    """Return an audience in its one form, so that equal ones compare as equal; `None` if there is none."""
    return None if body is None else StatusAudience(tuple(sorted(set(body.tags))), tuple(sorted(set(body.items))))


def _instant(text: str, pointer: str) -> Instant:
    try:
        return parse_instant(text)
    except ValueError as error:
        raise BodyError([BodyProblem(pointer, "wrong-value", str(error))]) from None
