"""The endpoints of the audit log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from tiergate.admin import audit
from tiergate.control.api.request import Response
from tiergate.control.api.router import Endpoint
from tiergate.permissions import Action, Resource

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tiergate.control.api.request import AdminRequest
    from tiergate.store import ReadUnit

_BATCH: Final = 200
_MAX_ID: Final = 2**62


def endpoints() -> list[Endpoint]:
    """Return the routes."""
    view, store, of = Action.VIEW_AUDIT, Resource.store(), ("customer",)
    exported = (*audit.FILTERS, "after")
    return [
        Endpoint("GET", "/v1/audit", view, search, store, query=audit.FILTERS, paged=True, subjects=of),
        Endpoint("GET", "/v1/audit/export", view, export, store, query=exported, subjects=of),
    ]


def search(request: AdminRequest) -> Response:
    """Search the audit log, the newest entries first."""
    limit, before = request.limit, request.number_cursor
    query = audit.read_query(request.query)

    def work(unit: ReadUnit) -> tuple[list[dict[str, Any]], int | None]:
        audit.check_query(unit, query)
        return audit.search_entries(unit, query, before, limit)

    entries, more = request.read(work)
    return Response.page(entries, None if more is None else str(more))


def export(request: AdminRequest) -> Response:
    """Export the audit log as NDJSON, the oldest entries first; `after` continues after an entry's id."""
    after = request.number("after", 0, least=0, most=_MAX_ID)
    query = audit.read_query(request.query)
    request.read(lambda unit: audit.check_query(unit, query))
    entries = audit.export_entries(request.store, query, after)
    return Response.stream(_lines(entries), "application/x-ndjson")


def _lines(entries: Iterator[dict[str, Any]]) -> Iterator[bytes]:
    """Yield batches of lines: each part of a response is a hop to another thread."""
    batch: list[bytes] = []
    for entry in entries:
        batch.append(msgspec.json.encode(entry))
        if len(batch) == _BATCH:
            yield b"\n".join([*batch, b""])
            batch.clear()
    if batch:
        yield b"\n".join([*batch, b""])
