"""The endpoints of service levels: of one feature, of all, and downloads of windows in CSV or NDJSON."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Final

from tiergate.admin import service_levels
from tiergate.admin.service_level_exports import COLUMNS, ExportedLevel, export_service_levels
from tiergate.admin.service_levels import MAX_PLACE, LevelFilter, LevelOrder, PromisedBy
from tiergate.control.api.imports import NDJSON
from tiergate.control.api.request import Response
from tiergate.control.api.request_values import enum_parameter, flag_parameter
from tiergate.control.api.router import Endpoint
from tiergate.control.api.subject_requests import instant_parameter, tags_parameter
from tiergate.control.api.usage_exports import CSV
from tiergate.errors import ParameterError
from tiergate.model import FIRST_INSTANT
from tiergate.permissions import Action, Resource
from tiergate.store.items import owner_of
from tiergate.wire.json import encode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tiergate.control.api.request import AdminRequest

_FILTERS: Final = ("feature", "tag", "item", "promised_by", "kept")
_EXPORT: Final = (*_FILTERS, "from", "until", "cursor")
_LIST: Final = (*_FILTERS, "at", "order")
_ONE: Final = ("item", "at", "from", "until")


def endpoints() -> list[Endpoint]:
    """Return the routes."""
    view, catalog = Action.VIEW, Resource.catalog()
    return [
        Endpoint("GET", "/v1/features/{id}/service-level", view, show, _promise, query=_ONE),
        Endpoint("GET", "/v1/service-levels", view, list_all, catalog, query=_LIST, paged=True),
        Endpoint("GET", "/v1/export/service-levels", view, export_lines, catalog, query=_EXPORT),
        Endpoint("GET", "/v1/export/service-levels/csv", view, export_table, catalog, query=_EXPORT),
    ]


def _promise(request: AdminRequest) -> Resource:
    """Return what the request is about: the feature, or the item that promises something of it."""
    item = request.query.get("item")
    if item is None:
        return Resource.feature(request.params["id"])
    return Resource.item(item, request.read(lambda unit: owner_of(unit, item)))


def show(request: AdminRequest) -> Response:
    """Show how the service level of a feature is kept, in the window of now or `at`, or from one instant to another."""
    at, start, until = (instant_parameter(request, name) for name in ("at", "from", "until"))
    if at is not None and (start is not None or until is not None):
        raise ParameterError("at", "cannot be given with `from` or `until`")
    feature, item = request.params["id"], request.query.get("item")
    return Response.json(
        request.read(
            lambda unit: service_levels.feature_service_level(unit, feature, item, start=start, until=until, at=at)
        )
    )


def list_all(request: AdminRequest) -> Response:
    """List service levels in the window of now or `at`: of features, and what items promise; by what is left, too."""
    order = enum_parameter(request, "order", LevelOrder) or LevelOrder.FEATURE
    place, limit = request.number_cursor or 0, request.limit
    if place > MAX_PLACE:
        raise ParameterError("cursor", f"is beyond the first {MAX_PLACE:,} service levels")
    wanted = _filter(request)
    found = request.read(lambda unit: service_levels.list_service_levels(unit, wanted))
    if order is LevelOrder.BUDGET_LEFT:
        found = service_levels.sorted_by_budget(found)
    page = [service_levels.standing_data(it) for it in found[place : place + limit]]
    return Response.page(page, str(place + limit) if len(found) > place + limit else None)


def export_lines(request: AdminRequest) -> Response:
    """Return service levels by windows as NDJSON, each line with the cursor that continues behind it."""

    def lines() -> Iterator[bytes]:
        for page in pages:
            found = [encode(_members(row) | {"cursor": row.cursor}) for row in page]
            yield b"\n".join([*found, b""])

    pages = _rows(request)
    return Response.stream(lines(), NDJSON)


def export_table(request: AdminRequest) -> Response:
    """Return service levels by windows as CSV, as `GET /v1/export/service-levels` does; the cursor comes last."""

    def table() -> Iterator[bytes]:
        yield _csv([[*COLUMNS, "cursor"]])
        for page in pages:
            yield _csv([[*map(_cell, row.values), row.cursor] for row in page])

    pages = _rows(request)
    return Response.stream(table(), CSV)


def _rows(request: AdminRequest) -> Iterator[list[ExportedLevel]]:
    start, until = instant_parameter(request, "from"), instant_parameter(request, "until")
    end = request.store.clock() if until is None else until
    begin = FIRST_INSTANT if start is None else start
    if begin >= end:
        raise ParameterError("until", "must be after `from`")
    return export_service_levels(request.store, _filter(request), begin, end, request.query.get("cursor"))


def _filter(request: AdminRequest) -> LevelFilter:
    return LevelFilter(
        tuple(name for name in request.query.get("feature", "").split(",") if name),
        tags_parameter(request),
        request.query.get("item"),
        enum_parameter(request, "promised_by", PromisedBy),
        flag_parameter(request, "kept"),
        instant_parameter(request, "at"),
    )


def _members(row: ExportedLevel) -> dict[str, object]:
    return {name: value for name, value in zip(COLUMNS, row.values, strict=True) if value is not None}


def _cell(value: object) -> object:
    return ("true" if value else "false") if isinstance(value, bool) else value


def _csv(rows: list[list[object]]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()
