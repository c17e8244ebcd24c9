"""The endpoints of status: what features do now, reports by people, monitors, and alerts."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import msgspec

from tiergate.admin import alertmanager, status_monitors, status_overview, status_reports
from tiergate.control.api.request import Response
from tiergate.control.api.request_values import MERGE_PATCH, decode_parts, enum_list_parameter, flag_parameter
from tiergate.control.api.responses import (
    changing,
    expected_version,
    page_response,
    reading,
    view_data,
    written_response,
)
from tiergate.control.api.router import Endpoint
from tiergate.errors import NotFoundError, RequestError
from tiergate.model import Status
from tiergate.permissions import Action, Resource
from tiergate.status.shown import ShownStatus

if TYPE_CHECKING:
    from tiergate.control.api.request import AdminRequest
    from tiergate.model import Instant
    from tiergate.store import WriteUnit

_REPORTS: Final = "/v1/status/reports"
_MONITORS: Final = "/v1/status/monitors"
_CURSOR: Final = re.compile(r"(-?[0-9]{1,18}):([A-Za-z0-9_]{1,40})")


class _Feature(msgspec.Struct, frozen=True):
    feature: str


def endpoints() -> list[Endpoint]:
    """Return the routes."""
    view, report = Action.VIEW, Action.REPORT_STATUS
    catalog, store = Resource.catalog(), Resource.store()
    one, monitor = f"{_REPORTS}/{{id}}", f"{_MONITORS}/{{monitor}}"
    delete_report = changing(status_reports.delete_report, with_actor=True)
    delete_monitor = changing(status_monitors.delete_monitor, with_actor=True)
    filters = status_reports.FILTERS
    return [
        Endpoint("GET", "/v1/status", view, list_statuses, catalog, query=("tag", "status"), paged=True),
        Endpoint("GET", "/v1/features/{id}/status", view, get_status, _feature_of_path),
        Endpoint("GET", _REPORTS, view, list_reports, store, query=filters, paged=True),
        Endpoint("POST", _REPORTS, report, create_report, _feature_of_body),
        Endpoint("GET", one, view, reading(status_reports.get_report), store),
        Endpoint("PATCH", one, report, edit_report, _feature_of_report, media_types=MERGE_PATCH),
        Endpoint("POST", f"{one}/end", report, end_report, _feature_of_report),
        Endpoint("DELETE", one, report, delete_report, _feature_of_report),
        Endpoint("GET", _MONITORS, view, list_monitors, store, paged=True),
        Endpoint("GET", monitor, view, reading(status_monitors.get_monitor), store),
        Endpoint("PUT", monitor, report, put_monitor, store),
        Endpoint("DELETE", monitor, report, delete_monitor, store),
        Endpoint("POST", f"{monitor}/heartbeat", report, heartbeat, store),
        Endpoint("POST", f"{monitor}/report", report, report_as_monitor, store),
        Endpoint(
            "POST",
            "/v1/status/alertmanager",
            report,
            take_alerts,
            store,
            query=("monitor",),
            max_body=alertmanager.MAX_BODY,
        ),
    ]


def list_statuses(request: AdminRequest) -> Response:
    """List the features with the status that they have now."""
    tags = tuple(request.query["tag"].split(",")) if "tag" in request.query else ()
    wanted = status_overview.StatusFilter(tags, enum_list_parameter(request, "status", ShownStatus))
    found = request.read(lambda unit: status_overview.list_statuses(request.actor, unit, wanted))
    return Response.page_of(request, found, lambda it: str(it["feature"]))


def get_status(request: AdminRequest) -> Response:
    """Return the status that a feature has now, with the reports that are open or begin later."""
    return Response.json(
        request.read(lambda unit: status_overview.get_status(request.actor, unit, request.params["id"]))
    )


def list_reports(request: AdminRequest) -> Response:
    """List the reports on the status of features, the latest start first."""
    wanted = status_reports.read_report_filter(
        request.query, enum_list_parameter(request, "status", Status), is_open=flag_parameter(request, "open")
    )
    before, limit = _before(request.cursor), request.limit
    return page_response(request.read(lambda unit: status_reports.list_reports(unit, wanted, before, limit)))


def create_report(request: AdminRequest) -> Response:
    """Report the status of a feature, from now on or over an interval."""
    body = request.decode(status_reports.NewReport)
    return request.change(
        lambda unit: written_response(status_reports.create_report(request.actor, unit, body), _REPORTS)
    )


def edit_report(request: AdminRequest) -> Response:
    """Change a report, also after the fact; members that the body does not name stay as they are."""
    edit = request.decode(status_reports.ReportEdit)

    def work(unit: WriteUnit) -> Response:
        expected = expected_version(request)
        return written_response(status_reports.edit_report(request.actor, unit, request.params["id"], edit, expected))

    return request.change(work)


def end_report(request: AdminRequest) -> Response:
    """End a report, now or at an instant."""
    end = request.decode(status_reports.ReportEnd) if request.body else status_reports.ReportEnd()

    def work(unit: WriteUnit) -> Response:
        expected = expected_version(request)
        return written_response(status_reports.end_report(request.actor, unit, request.params["id"], end, expected))

    return request.change(work)


def list_monitors(request: AdminRequest) -> Response:
    """List the monitors."""
    cursor, limit = request.cursor, request.limit
    return page_response(request.read(lambda unit: status_monitors.list_monitors(unit, cursor, limit)))


def put_monitor(request: AdminRequest) -> Response:
    """Declare a monitor, or change it."""
    body = request.decode(status_monitors.MonitorBody)

    def work(unit: WriteUnit) -> Response:
        name, expected = request.params["monitor"], request.precondition
        view, is_new = status_monitors.put_monitor(request.actor, unit, name, body, expected)
        if is_new:
            return Response.json(view_data(view), 201, etag=view.stamp.etag, location=f"{_MONITORS}/{name}")
        return written_response(view)

    return request.change(work)


def heartbeat(request: AdminRequest) -> Response:
    """Note that a monitor runs."""

    def work(unit: WriteUnit) -> Response:
        status_monitors.heartbeat(request.actor, unit, request.params["monitor"])
        return Response.empty()

    return request.change(work)


def report_as_monitor(request: AdminRequest) -> Response:
    """Set what a monitor says of a feature; `operational` ends its report. It is heard by that, too."""
    body = request.decode(status_monitors.MonitorReport)

    def work(unit: WriteUnit) -> Response:
        view = status_monitors.report(request.actor, unit, request.params["monitor"], body)
        answer: dict[str, object] = {"feature": body.feature, "status": body.status}
        return Response.json(answer if view is None else answer | {"report": view_data(view)})

    return request.change(work)


def take_alerts(request: AdminRequest) -> Response:
    """Open and end reports as Prometheus Alertmanager says, with its webhook of version 4.

    Alerts name their features in the label `tiergate_feature`. What is wrong with one is in the response, and the
    others count.
    """
    delivery = decode_parts(request, alertmanager.Delivery)
    name = request.query.get("monitor", alertmanager.DEFAULT_MONITOR)
    return request.change(lambda unit: Response.json(alertmanager.take_alerts(request.actor, unit, delivery, name)))


def _feature_of_path(request: AdminRequest) -> Resource:
    return Resource.feature(request.params["id"])


def _feature_of_body(request: AdminRequest) -> Resource:
    """Return the feature that a body names; all for one that cannot be read, which is refused afterwards."""
    try:
        return Resource.feature(msgspec.json.decode(request.body, type=_Feature).feature)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Resource.feature()


def _feature_of_report(request: AdminRequest) -> Resource:
    """Return the feature of a report; all for a report that does not exist, which is refused afterwards."""
    try:
        feature = request.read(lambda unit: status_reports.feature_of_report(unit, request.params["id"]))
    except NotFoundError:
        return Resource.feature()
    return Resource.feature(feature)


def _before(cursor: str | None) -> tuple[Instant, str] | None:
    if cursor is None:
        return None
    match = _CURSOR.fullmatch(cursor)
    if match is None:
        raise RequestError(400, "invalid request", "`cursor` is not one that this list gave out")
    return int(match[1]), match[2]
