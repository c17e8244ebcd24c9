"""The audit log over HTTP: search and export."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from tiergate.control.api.request import Answer
from tiergate.control.api.router import Endpoint
from tiergate.errors import RequestError
from tiergate.model import format_instant, parse_instant
from tiergate.permissions import Action, Resource
from tiergate.store.audit import AuditQuery, export_audit, search_audit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tiergate.control.api.request import AdminRequest
    from tiergate.model import Instant
    from tiergate.store.audit import AuditEntry

_FILTERS: Final = ("actor", "action", "kind", "resource", "customer", "request_id", "text", "since", "until")
_MAX_TEXT: Final = 200
_BATCH: Final = 200
_MAX_ID: Final = 2**62


def endpoints() -> list[Endpoint]:
    """What there is about the audit log."""
    store, of = Resource.store(), ("customer",)
    return [
        Endpoint("GET", "/v1/audit", Action.VIEW_AUDIT, search, store, query=_FILTERS, paged=True, subjects=of),
        Endpoint(
            "GET",
            "/v1/audit/export",
            Action.VIEW_AUDIT,
            export,
            store,
            query=(*_FILTERS, "after"),
            subjects=of,
        ),
    ]


def search(request: AdminRequest) -> Answer:
    """Search the audit log, the newest entries first."""
    limit, before = request.limit, None
    if request.cursor is not None:
        if not request.cursor.isascii() or not request.cursor.isdigit() or len(request.cursor) > 18:
            raise RequestError(400, "invalid request", "`cursor` is not one that a list gave out")
        before = int(request.cursor)
    wanted = _wanted(request)
    found = request.read(lambda unit: search_audit(unit, wanted, before, limit + 1))
    page = found[:limit]
    return Answer.page([_shown(entry) for entry in page], str(page[-1].id) if len(found) > limit else None)


def export(request: AdminRequest) -> Answer:
    """Export the audit log as NDJSON, the oldest entries first; `after` goes on after the last entry's id."""
    after = request.number("after", 0, least=0, most=_MAX_ID)
    entries = export_audit(request.store, _wanted(request), after)
    return Answer.stream(_lines(entries), "application/x-ndjson")


def _wanted(request: AdminRequest) -> AuditQuery:
    query = request.query
    words = {name: query[name] for name in _FILTERS[:7] if name in query}
    if len(words.get("text", "")) > _MAX_TEXT:
        raise RequestError(400, "invalid request", f"`text` may have {_MAX_TEXT} characters at most")
    return AuditQuery(**words, since=_instant(request, "since"), until=_instant(request, "until"))


def _instant(request: AdminRequest, name: str) -> Instant | None:
    text = request.query.get(name)
    if text is None:
        return None
    try:
        return parse_instant(text)
    except ValueError as error:
        raise RequestError(400, "invalid request", f"`{name}` {error}") from None


def _shown(entry: AuditEntry) -> dict[str, Any]:
    return {**msgspec.to_builtins(entry, builtin_types=(msgspec.Raw,)), "at": format_instant(entry.at)}


def _lines(entries: Iterator[AuditEntry]) -> Iterator[bytes]:
    """Lines, many at a time: each part is a hop to another thread."""
    batch: list[bytes] = []
    for entry in entries:
        batch.append(msgspec.json.encode(_shown(entry)))
        if len(batch) == _BATCH:
            yield b"\n".join([*batch, b""])
            batch.clear()
    if batch:
        yield b"\n".join([*batch, b""])
