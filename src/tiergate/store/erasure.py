"""Taking a person's data out of the store, history and log included, so that what is left still says what was so.

Of a customer goes what describes a person: name, attributes, metadata, external ids, on request tags, and the free
texts of reasons. Ids, items, values and dates stay: they are what history is made of. Of an author goes the name, in
whose place one stands that means nobody.

Lines of the feed are rewritten, their digests and the chain are not, and the feed's floor rises to the last of them: so
such a line is never served again, whoever follows from there on verifies what it always did, and whoever is behind
starts anew from a snapshot. Snapshots that may hold the data are removed; the next one is made of what is left.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import msgspec
from msgspec.structs import replace
from sqlalchemy import bindparam, delete, func, or_, select, update

from tiergate.errors import NotFoundError
from tiergate.model import Customer, Instant, SubjectRecord, SubjectType, Subscription
from tiergate.store.customers import open_account
from tiergate.store.feed import read_head
from tiergate.store.snapshots import drop_blobs, drop_snapshot, snapshots
from tiergate.store.tables import (
    AUDIT,
    CUSTOMERS,
    FEED,
    FEED_HEAD,
    IDEMPOTENCY,
    KEYS,
    ONLY_ROW,
    OVERRIDES,
    PUBLICATIONS,
)
from tiergate.store.write_order import forget_deletions

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import Row

    from tiergate.store.customers import Account
    from tiergate.store.transactions import WriteUnit


_PERSONAL = frozenset({"attributes", "reason", "name", "metadata", "external_ids"})
_AUTHORS = frozenset({"author", "created_by", "actor"})

_read = msgspec.json.Decoder().decode
_write = msgspec.json.Encoder(order="sorted").encode
_Holder = TypeVar("_Holder", Customer, Subscription)


class ErasureCounts(NamedTuple):
    """How much was rewritten: lines of the feed, entries of the audit log; how many snapshots went."""

    lines: int
    entries: int
    snapshots: int


class _Page(msgspec.Struct):
    sha256: str


class _Snapshot(msgspec.Struct):
    pages: list[_Page]


class _Line(msgspec.Struct):
    position: int
    at: Instant
    customer: str
    record: SubjectRecord | None


def erase_customer(unit: WriteUnit, customer: str, *, tags: bool) -> ErasureCounts:
    """Erase what describes a person from a customer and its past; `tags`: these too, though rollouts may go by them.

    Nobody may make a snapshot meanwhile (`snapshot_lock`).

    Raises:
        NotFoundError: there neither is nor was such a customer.
    """
    connection = unit.session.connection()
    try:
        _erase_present(unit, open_account(unit, customer), tags=tags)
        was = True
    except NotFoundError:
        was = False
    read_head(unit.session, lock=True)  # none of its lines is appended from here on but our own
    lines = _redact_lines(unit, customer, tags=tags)
    if not was and not connection.execute(select(FEED.c.position).where(FEED.c.customer == customer)).first():
        raise NotFoundError("customer", customer)
    personal = _PERSONAL | {"tags"} if tags else _PERSONAL
    rows = connection.execute(select(AUDIT).where(AUDIT.c.customer == customer)).all()
    entries = _rewrite_log(unit, rows, lambda value: _without(value, personal), reasons=True)
    _drop_answers(unit, customer)
    its = {row.resource for row in rows if row.kind == SubjectType.SUBSCRIPTION.value}
    forget_deletions(unit.session, SubjectType.SUBSCRIPTION, sorted(its))
    forget_deletions(unit.session, SubjectType.CUSTOMER, [customer])
    return ErasureCounts(lines, entries, _drop_snapshots(unit))


def erase_author(unit: WriteUnit, author: str) -> tuple[str, ErasureCounts]:
    """Put a name that means nobody in an author's place, wherever it stands; return that name.

    Raises:
        NotFoundError: it stands nowhere.
    """
    connection = unit.session.connection()
    pseudonym = f"erased-{secrets.token_hex(8)}"
    quoted = msgspec.json.encode(author).decode()
    named = or_(*(column.contains(quoted, autoescape=True) for column in (AUDIT.c.before, AUDIT.c.after)))
    rows = connection.execute(select(AUDIT).where(or_(AUDIT.c.actor == author, named))).all()
    entries = _rewrite_log(unit, rows, lambda value: _renamed(value, author, pseudonym), actor=(author, pseudonym))
    changed = entries
    for table in (OVERRIDES, PUBLICATIONS):
        edit = update(table).where(table.c.author == author).values(author=pseudonym)
        changed += connection.execute(edit).rowcount
    maker = update(KEYS).where(KEYS.c.created_by == author).values(created_by=pseudonym)
    changed += connection.execute(maker).rowcount
    if not changed:
        raise NotFoundError("author", author)
    return pseudonym, ErasureCounts(0, entries, 0)


def _erase_present(unit: WriteUnit, account: Account, *, tags: bool) -> None:
    before = account.customer
    account.write_customer(_nameless(_silent(before), tags=tags))
    for subscription in account.record.subscriptions:
        account.write_subscription(replace(_silent(subscription), metadata={}, external_ids={}))
    connection = unit.session.connection()
    connection.execute(update(CUSTOMERS).where(CUSTOMERS.c.id == before.id).values(erased_at=unit.now))


def _nameless(customer: Customer, *, tags: bool) -> Customer:
    kept = () if tags else customer.tags
    return replace(customer, attributes={}, name="", metadata={}, external_ids={}, tags=kept)


def _silent(holder: _Holder) -> _Holder:
    return replace(
        holder,
        overrides=tuple(replace(it, reason="") for it in holder.overrides),
        suspensions=tuple(replace(it, reason="") for it in holder.suspensions),
    )


def _redact_lines(unit: WriteUnit, customer: str, *, tags: bool) -> int:
    """Rewrite the lines of the feed about a customer, and raise the floor to the last that changed."""
    connection = unit.session.connection()
    query = select(FEED.c.position, FEED.c.line).where(FEED.c.customer == customer).order_by(FEED.c.position)
    rows = []
    for position, line in connection.execute(query):
        entry = msgspec.json.decode(bytes(line), type=_Line)
        if entry.record is None:
            continue
        before = entry.record.customer
        after = _nameless(before, tags=tags)
        if after != before:
            entry.record = replace(entry.record, customer=after)
            rows.append({"at_position": position, "line": msgspec.json.encode(entry), "redacted": True})
    if rows:
        connection.execute(update(FEED).where(FEED.c.position == bindparam("at_position")), rows)
        last = rows[-1]["at_position"]
        higher = (FEED_HEAD.c.key == ONLY_ROW) & (FEED_HEAD.c.floor < last)
        connection.execute(update(FEED_HEAD).where(higher).values(floor=last))
    return len(rows)


def _rewrite_log(
    unit: WriteUnit,
    rows: Sequence[Row[Any]],
    rewrite: Callable[[object], object],
    *,
    reasons: bool = False,
    actor: tuple[str, str] = ("", ""),
) -> int:
    """Rewrite entries of the audit log, which say from then on that they were; `actor`: an old name and a new one."""
    changed = []
    for row in rows:
        entry = {
            "before": _rewritten(row.before, rewrite),
            "after": _rewritten(row.after, rewrite),
            "reason": "" if reasons else row.reason,
            "actor": actor[1] if actor[0] and row.actor == actor[0] else row.actor,
        }
        if any(entry[key] != getattr(row, key) for key in entry):
            changed.append({"at_id": row.id, "redacted": True, **entry})
    if changed:
        unit.session.connection().execute(update(AUDIT).where(AUDIT.c.id == bindparam("at_id")), changed)
    return len(changed)


def _rewritten(text: str | None, rewrite: Callable[[object], object]) -> str | None:
    if text is None:
        return None
    before = _read(text)
    after = rewrite(before)
    return text if after == before else _write(after).decode()


def _without(value: object, keys: frozenset[str]) -> object:
    """JSON without some members, wherever they are."""
    if isinstance(value, dict):
        return {key: _without(inner, keys) for key, inner in value.items() if key not in keys}
    return [_without(inner, keys) for inner in value] if isinstance(value, list) else value


def _renamed(value: object, author: str, name: str) -> object:
    """JSON with another name in place of an author's, wherever one is named."""
    if isinstance(value, dict):
        return {
            key: name if key in _AUTHORS and inner == author else _renamed(inner, author, name)
            for key, inner in value.items()
        }
    return [_renamed(inner, author, name) for inner in value] if isinstance(value, list) else value


def _drop_answers(unit: WriteUnit, customer: str) -> None:
    """Drop the answers, kept for whoever asks again, in which the customer stands."""
    quoted = msgspec.json.encode(customer)
    body = IDEMPOTENCY.c.body
    is_sqlite = unit.store.database.is_sqlite
    said = func.instr(body, quoted) > 0 if is_sqlite else func.bytealike(body, b"%" + quoted + b"%")
    unit.session.connection().execute(delete(IDEMPOTENCY).where(said))


def _drop_snapshots(unit: WriteUnit) -> int:
    found = snapshots(unit.session)
    for entry in found:
        pages = msgspec.json.decode(unit.blob(entry.manifest), type=_Snapshot).pages
        drop_snapshot(unit, entry.position)
        drop_blobs(unit, {entry.manifest, *(page.sha256 for page in pages)})
    return len(found)
