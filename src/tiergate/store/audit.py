"""The audit log: search and export. `WriteUnit.audit` writes it, `erasure` redacts it.

A search ignores case in every script, alike on both databases. The database searches ASCII text; other text is searched
here, because databases differ about the case of other letters. The database rejects every change of an entry but a
redaction, which the entry shows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec
from sqlalchemy import func, or_, select, text

from tiergate.model import Instant
from tiergate.store.tables import AUDIT
from tiergate.text_normalization import search_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy import Row, Select

    from tiergate.store.transactions import Store
    from tiergate.store.units import ReadUnit

_BATCH: Final = 1000
_LISTS: Final = frozenset({"action", "kind"})


class AuditEntry(msgspec.Struct, frozen=True, omit_defaults=True):
    """One change. `before` and `after` are JSON; `redacted`: personal data was removed from it."""

    id: int
    at: Instant
    actor: str
    actor_kind: str
    action: str
    kind: str
    resource: str
    customer: str | None = None
    before: msgspec.Raw | None = None
    after: msgspec.Raw | None = None
    reason: str = ""
    request_id: str = ""
    redacted: bool = False


class AuditQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Conditions on entries, all of which must hold.

    `action`, `kind`: one of several, separated by commas. `text` is searched in before, after, reason and resource.
    """

    actor: str | None = None
    action: str | None = None
    kind: str | None = None
    resource: str | None = None
    customer: str | None = None
    request_id: str | None = None
    since: Instant | None = None
    until: Instant | None = None
    text: str | None = None


def search_audit(unit: ReadUnit, query: AuditQuery, before: int | None, limit: int) -> list[AuditEntry]:
    """Read up to `limit` entries, the newest first; `before`: only those with a smaller id."""
    matches = _text_filter(query.text)
    size = limit if matches is None else _BATCH
    statement = _select(query).order_by(AUDIT.c.id.desc()).limit(size)
    entries: list[AuditEntry] = []
    while True:
        page = statement if before is None else statement.where(AUDIT.c.id < before)
        rows = unit.session.connection().execute(page).all()
        entries += [_entry(row) for row in rows if matches is None or matches(row)]
        if len(entries) >= limit or len(rows) < size:
            return entries[:limit]
        before = rows[-1].id


def export_audit(store: Store, query: AuditQuery, after: int) -> Iterator[AuditEntry]:
    """Yield entries with a greater id than `after`, the oldest first, up to the present end of the log.

    An export that continues after the last entry of another one omits nothing: this waits for entries being written.
    """
    end = _end(store)
    matches = _text_filter(query.text)
    while True:
        statement = _select(query).where(AUDIT.c.id > after, AUDIT.c.id <= end).order_by(AUDIT.c.id).limit(_BATCH)
        with store.database.reading() as session:
            rows = session.connection().execute(statement).all()
        yield from (_entry(row) for row in rows if matches is None or matches(row))
        if len(rows) < _BATCH:
            return
        after = rows[-1].id


def _select(query: AuditQuery) -> Select[Any]:
    statement = select(AUDIT)
    for name in ("actor", "action", "kind", "resource", "customer", "request_id"):
        value = getattr(query, name)
        if value is not None:
            values = value.split(",") if name in _LISTS else [value]
            statement = statement.where(AUDIT.c[name].in_(values))
    if query.since is not None:
        statement = statement.where(AUDIT.c.at >= query.since)
    if query.until is not None:
        statement = statement.where(AUDIT.c.at < query.until)
    if query.text and query.text.isascii():
        columns = (AUDIT.c.before, AUDIT.c.after, AUDIT.c.reason, AUDIT.c.resource)
        statement = statement.where(or_(*(column.icontains(query.text, autoescape=True) for column in columns)))
    return statement


def _text_filter(text: str | None) -> Callable[[Row[Any]], bool] | None:
    """Return the filter of rows for a text that the database does not search."""
    if not text or text.isascii():
        return None
    key = search_key(text)
    return lambda row: any(
        key in search_key(value) for value in (row.before, row.after, row.reason, row.resource) if value
    )


def _end(store: Store) -> int:
    """Return the id of the last entry, once all entries with smaller ids can be read."""
    with store.database.writing() as session:
        connection = session.connection()
        if not store.database.is_sqlite:  # PostgreSQL assigns ids before the commit: wait for open transactions
            connection.execute(text("LOCK TABLE audit IN SHARE MODE"))
        return int(connection.execute(select(func.coalesce(func.max(AUDIT.c.id), 0))).scalar_one())


def _entry(row: Row[Any]) -> AuditEntry:
    columns = row._asdict()
    for name in ("before", "after"):
        columns[name] = None if columns[name] is None else msgspec.Raw(columns[name].encode())
    return AuditEntry(**columns)
