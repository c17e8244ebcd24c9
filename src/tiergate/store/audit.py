"""The audit log: searched and exported. Writing it is the unit's, taking a person's data out of it is `erasure`'s.

A text is searched in whatever case and script, alike on both databases: one in ASCII by the database, any other here,
because databases do not agree about the case of other letters.

The database itself refuses to change or delete an entry but for a redaction, which the entry says for ever.
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

    from tiergate.store.transactions import ReadUnit, Store

_AT_ONCE: Final = 1000


class AuditEntry(msgspec.Struct, frozen=True, omit_defaults=True):
    """One change. `before` and `after` are JSON; `redacted`: a person's data was taken out since."""

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
    """Which entries are wanted; all that is said must hold. `text` occurs in before, after, reason or resource."""

    actor: str | None = None
    action: str | None = None
    kind: str | None = None
    resource: str | None = None
    customer: str | None = None
    request_id: str | None = None
    since: Instant | None = None
    until: Instant | None = None
    text: str | None = None


def search_audit(unit: ReadUnit, wanted: AuditQuery, before: int | None, limit: int) -> list[AuditEntry]:
    """Entries, the newest first; `before`: only those with a smaller id."""
    says = _says(wanted.text)
    at_once = limit if says is None else _AT_ONCE
    query = _selected(wanted).order_by(AUDIT.c.id.desc()).limit(at_once)
    found: list[AuditEntry] = []
    while True:
        page = query if before is None else query.where(AUDIT.c.id < before)
        rows = unit.session.connection().execute(page).all()
        found += [_entry(row) for row in rows if says is None or says(row)]
        if len(found) >= limit or len(rows) < at_once:
            return found[:limit]
        before = rows[-1].id


def export_audit(store: Store, wanted: AuditQuery, after: int) -> Iterator[AuditEntry]:
    """Entries with a greater id than `after`, the oldest first, up to the end of the log as it is now.

    Going on after the last entry of an export loses nothing: what is written at this moment is waited for.
    """
    end = _end(store)
    says = _says(wanted.text)
    while True:
        query = _selected(wanted).where(AUDIT.c.id > after, AUDIT.c.id <= end).order_by(AUDIT.c.id).limit(_AT_ONCE)
        with store.database.reading() as session:
            rows = session.connection().execute(query).all()
        yield from (_entry(row) for row in rows if says is None or says(row))
        if len(rows) < _AT_ONCE:
            return
        after = rows[-1].id


def _selected(wanted: AuditQuery) -> Select[Any]:
    query = select(AUDIT)
    for name in ("actor", "action", "kind", "resource", "customer", "request_id"):
        value = getattr(wanted, name)
        if value is not None:
            query = query.where(AUDIT.c[name] == value)
    if wanted.since is not None:
        query = query.where(AUDIT.c.at >= wanted.since)
    if wanted.until is not None:
        query = query.where(AUDIT.c.at < wanted.until)
    if wanted.text and wanted.text.isascii():
        columns = (AUDIT.c.before, AUDIT.c.after, AUDIT.c.reason, AUDIT.c.resource)
        query = query.where(or_(*(column.icontains(wanted.text, autoescape=True) for column in columns)))
    return query


def _says(text: str | None) -> Callable[[Row[Any]], bool] | None:
    """What finds a text in a row that the database was not asked to find."""
    if not text or text.isascii():
        return None
    key = search_key(text)

    def says(row: Row[Any]) -> bool:
        return any(key in search_key(it) for it in (row.before, row.after, row.reason, row.resource) if it)

    return says


def _end(store: Store) -> int:
    """The id of the last entry, when all that have a smaller one can be read."""
    with store.database.writing() as session:
        connection = session.connection()
        if not store.database.is_sqlite:  # ids are given before the commit: wait for those that are not there yet
            connection.execute(text("LOCK TABLE audit IN SHARE MODE"))
        return int(connection.execute(select(func.coalesce(func.max(AUDIT.c.id), 0))).scalar_one())


def _entry(row: Row[Any]) -> AuditEntry:
    return AuditEntry(
        row.id,
        row.at,
        row.actor,
        row.actor_kind,
        row.action,
        row.kind,
        row.resource,
        row.customer,
        None if row.before is None else msgspec.Raw(row.before.encode()),
        None if row.after is None else msgspec.Raw(row.after.encode()),
        row.reason,
        row.request_id,
        row.redacted,
    )
