"""The endpoints that export usage: a download in CSV or NDJSON, and the files in the object store."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Final

import msgspec

from tiergate.admin.usage_exports import COLUMNS, ColumnType, Dataset, ExportedRow, export_rows
from tiergate.control.api.imports import NDJSON
from tiergate.control.api.request import Response
from tiergate.control.api.request_values import enum_parameter
from tiergate.control.api.router import Endpoint
from tiergate.control.api.subject_requests import instant_parameter, tags_parameter
from tiergate.errors import ConflictError, ParameterError
from tiergate.model import BEGINNING, FOREVER, format_instant
from tiergate.permissions import Action, Resource
from tiergate.store.customers import CustomerFilter
from tiergate.store.usage_exports import ExportFilter
from tiergate.wire.json import encode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tiergate.control.api.request import AdminRequest
    from tiergate.control.usage_export.exporter import UsageExporter

CSV: Final = "text/csv; charset=utf-8; header=present"

_FILTERS: Final = ("dataset", "feature", "customer", "item", "tag", "from", "until", "cursor")


class WantedDays(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which days to write again: from one to another, both included."""

    first: str
    last: str


class UsageExportEndpoints:
    """The endpoints of one store, and of its exporter, if it has one."""

    def __init__(self, exporter: UsageExporter | None) -> None:
        self._exporter = exporter

    def endpoints(self) -> list[Endpoint]:
        """Return the routes."""
        view, of, store = Action.VIEW, ("customer",), Resource.store()
        return [
            Endpoint("GET", "/v1/export/usage", view, export_lines, _whose, query=_FILTERS, subjects=of),
            Endpoint("GET", "/v1/export/usage/csv", view, export_table, _whose, query=_FILTERS, subjects=of),
            Endpoint("GET", "/v1/usage/exports", view, self.show, store),
            Endpoint("POST", "/v1/usage/exports", view, self.write_again, store),
        ]

    def show(self, request: AdminRequest) -> Response:  # noqa: ARG002 - as every handler
        """Show how far the export of usage to the object store is."""
        return Response.json(self._configured().status())

    def write_again(self, request: AdminRequest) -> Response:
        """Write the usage of some days to the object store, soon, whether it was written before or not."""
        wanted = request.decode(WantedDays)
        exporter = self._configured()
        exporter.request_days(wanted.first, wanted.last)
        return Response.json(exporter.status(), 202)

    def _configured(self) -> UsageExporter:
        if self._exporter is None:
            detail = "this control plane writes no usage to an object store: its setting `usage-export` says where to"
            raise ConflictError("not-configured", detail)
        return self._exporter


def _whose(request: AdminRequest) -> Resource:
    customer = request.query.get("customer")
    return Resource.store() if customer is None else Resource.customer_of(customer)


def export_lines(request: AdminRequest) -> Response:
    """Return usage as NDJSON: windows, days, hours or grants, each line with the cursor that continues behind it."""
    dataset, pages = _rows(request)
    names = [column.name for column in COLUMNS[dataset]]
    instants = _instant_places(dataset)

    def lines() -> Iterator[bytes]:
        for page in pages:
            parts = [
                encode(dict(zip(names, _values(row, instants), strict=True)) | {"cursor": row.cursor}) for row in page
            ]
            yield b"\n".join([*parts, b""])

    return Response.stream(lines(), NDJSON)


def export_table(request: AdminRequest) -> Response:
    """Return usage as CSV, as `GET /v1/export/usage` does; the last column is the cursor."""
    dataset, pages = _rows(request)
    instants = _instant_places(dataset)

    def table() -> Iterator[bytes]:
        yield _csv([[*(column.name for column in COLUMNS[dataset]), "cursor"]])
        for page in pages:
            yield _csv([[*map(_cell, _values(row, instants)), row.cursor] for row in page])

    return Response.stream(table(), CSV)


def _rows(request: AdminRequest) -> tuple[Dataset, Iterator[list[ExportedRow]]]:
    query = request.query
    dataset = enum_parameter(request, "dataset", Dataset) or Dataset.WINDOWS
    start, until = instant_parameter(request, "from"), instant_parameter(request, "until")
    tags, item = tags_parameter(request), query.get("item")
    wanted = ExportFilter(
        tuple(name for name in query.get("feature", "").split(",") if name),
        query.get("customer"),
        CustomerFilter(tags=tags, item=item) if tags or item else None,
        BEGINNING if start is None else start,
        FOREVER if until is None else until,
    )
    if wanted.start >= wanted.until:
        raise ParameterError("until", "must be after `from`")
    return dataset, export_rows(request.store, dataset, wanted, query.get("cursor"))


def _instant_places(dataset: Dataset) -> frozenset[int]:
    return frozenset(place for place, column in enumerate(COLUMNS[dataset]) if column.type is ColumnType.INSTANT)


def _values(row: ExportedRow, instants: frozenset[int]) -> list[object]:
    values: list[object] = list(row.values)
    for place in instants:
        at = values[place]
        if isinstance(at, int):
            values[place] = format_instant(at)
    return values


def _cell(value: object) -> object:
    return ("true" if value else "false") if isinstance(value, bool) else value


def _csv(rows: list[list[object]]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()
