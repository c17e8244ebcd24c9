"""The audit log: search and export. `WriteUnit.audit` writes it, `erasure` redacts it.

A search ignores case, accents and width in every script, alike on both databases: texts are compared here, because
databases differ about letters that are not ASCII, and the database only leaves out what cannot match. It rejects every
change of an entry but a redaction, which the entry shows.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec
from sqlalchemy import LargeBinary, cast, func, or_, select, text

from tiergate.model import Instant
from tiergate.store.tables import AUDIT
from tiergate.text_normalization import search_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy import ColumnElement, Row, Select

    from tiergate.store.transactions import Store
    from tiergate.store.units import ReadUnit

_BATCH: Final = 1000
_LISTS: Final = frozenset({"action", "kind"})
_SEARCHED: Final = ("before", "after", "reason", "resource")
_WORD: Final = re.compile(r"[^\s\"\\\\]+")


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
    statement = _select(query, is_sqlite=unit.store.database.is_sqlite).order_by(AUDIT.c.id.desc()).limit(size)
    entries: list[AuditEntry] = []
    while True:
        page = statement if before is None else statement.where(AUDIT.c.id < before)
        rows = unit.session.connection().execute(page).all()
        entries += [_entry(row) for row in rows if matches is None or matches(row)]
        if len(entries) >= limit or len(rows) < size:
            return entries[:limit]
        before = rows[-1].id


def is_recorded(unit: ReadUnit, name: Literal["action", "kind"], value: str) -> bool:
    """Return whether an entry of the log has this action, or is about this kind of resource."""
    statement = select(AUDIT.c.id).where(AUDIT.c[name] == value).limit(1)
    return unit.session.connection().execute(statement).first() is not None


def export_audit(store: Store, query: AuditQuery, after: int) -> Iterator[AuditEntry]:
    """Yield entries with a greater id than `after`, the oldest first, up to the present end of the log.

    An export that continues after the last entry of another one omits nothing: this waits for entries being written.
    """
    end = _end(store)
    matches = _text_filter(query.text)
    while True:
        statement = (
            _select(query, is_sqlite=store.database.is_sqlite)
            .where(AUDIT.c.id > after, AUDIT.c.id <= end)
            .order_by(AUDIT.c.id)
            .limit(_BATCH)
        )
        with store.database.reading() as session:
            rows = session.connection().execute(statement).all()
        yield from (_entry(row) for row in rows if matches is None or matches(row))
        if len(rows) < _BATCH:
            return
        after = rows[-1].id


def _select(query: AuditQuery, *, is_sqlite: bool) -> Select[Any]:
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
    words = _WORD.findall(search_key(query.text or ""))
    if words:
        word = max(words, key=len)
        columns = [AUDIT.c[name] for name in _SEARCHED]
        statement = statement.where(or_(*(_may_contain(column, word, is_sqlite=is_sqlite) for column in columns)))
    return statement


def _may_contain(column: ColumnElement[str], word: str, *, is_sqlite: bool) -> ColumnElement[bool]:
    """Return the condition that a text has a word of a key, or characters that are not ASCII, in which it may be."""
    size = func.length(cast(column, LargeBinary)) if is_sqlite else func.octet_length(column)
    is_other = size != func.length(column)
    return or_(column.icontains(word, autoescape=True), is_other) if word.isascii() else is_other


def _text_filter(text: str | None) -> Callable[[Row[Any]], bool] | None:
    """Return the filter of rows for a text."""
    if not text or not search_key(text):
        return None
    keys = {search_key(text), search_key(msgspec.json.encode(text)[1:-1].decode())}  # as it is, and as JSON has it

    def matches(row: Row[Any]) -> bool:
        texts = [search_key(value) for value in (row.before, row.after, row.reason, row.resource) if value]
        return any(key in it for key in keys for it in texts)

    return matches


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
