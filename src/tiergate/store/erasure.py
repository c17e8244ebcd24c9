"""Erasure of personal data from the store, with history and audit log, so that the rest stays true.

Of a customer, it erases name, attributes, metadata, external ids, tags on request, the texts of reasons, past usage by
its users, and their ids in the audit log. Other ids, items, values, amounts and dates stay: history consists of them.
The name of an author is replaced by a pseudonym.

Lines of the feed are rewritten, but not their digests and the chain; and the floor of the feed rises to the last of
these lines. So they are never served again: readers from there on verify the same chain, and readers behind start again
from a snapshot. Snapshots that may contain the data are removed; the next one is made of the remaining data.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import msgspec
from msgspec.structs import replace
from sqlalchemy import bindparam, delete, func, or_, select, update

from tiergate.errors import NotFoundError
from tiergate.model import Customer, Instant, SubjectRecord, SubjectType, Subscription
from tiergate.store.blobs import delete_blobs
from tiergate.store.customers import open_account
from tiergate.store.feed import read_head
from tiergate.store.snapshots import drop_snapshot, snapshots
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
    STATUS_REPORTS,
    USAGE_ACCOUNTS,
    USAGE_GRANTS,
    USAGE_WINDOWS,
)
from tiergate.store.write_order import delete_deletion_marks
from tiergate.usage.accounts import Scope

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import Row

    from tiergate.store.customers import Account
    from tiergate.store.units import WriteUnit


_PERSONAL = frozenset({"attributes", "reason", "name", "metadata", "external_ids", "user"})
_AUTHORS = frozenset({"author", "created_by", "updated_by", "reporter", "actor"})

_read = msgspec.json.Decoder().decode
_write = msgspec.json.Encoder(order="sorted").encode
_Holder = TypeVar("_Holder", Customer, Subscription)


class ErasureCounts(NamedTuple):
    """The numbers of rewritten lines of the feed and entries of the audit log, and of removed snapshots."""

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
    """Erase personal data from a customer and its past; `tags`: these too, though rollouts may depend on them.

    The caller has the `snapshot_lock`.

    Raises:
        NotFoundError: if there is not and never was such a customer.
    """
    connection = unit.session.connection()
    try:
        _erase_present(unit, open_account(unit, customer), tags=tags)
        is_present = True
    except NotFoundError:
        is_present = False
    read_head(unit.session, lock=True)  # from here on, only this transaction appends lines
    lines = _redact_lines(unit, customer, tags=tags)
    if not is_present and not connection.execute(select(FEED.c.position).where(FEED.c.customer == customer)).first():
        raise NotFoundError("customer", customer)
    personal = _PERSONAL | {"tags"} if tags else _PERSONAL
    rows = connection.execute(select(AUDIT).where(AUDIT.c.customer == customer)).all()
    entries = _rewrite_log(unit, rows, lambda value: _without(value, personal), reasons=True)
    _drop_answers(unit, customer)
    _erase_usage(unit, customer)
    subscriptions = {row.resource for row in rows if row.kind == SubjectType.SUBSCRIPTION.value}
    delete_deletion_marks(unit.session, SubjectType.SUBSCRIPTION, sorted(subscriptions))
    delete_deletion_marks(unit.session, SubjectType.CUSTOMER, [customer])
    return ErasureCounts(lines, entries, _drop_snapshots(unit))


def erase_author(unit: WriteUnit, author: str) -> tuple[str, ErasureCounts]:
    """Replace the name of an author everywhere by a random pseudonym, and return that.

    Raises:
        NotFoundError: if the name is nowhere.
    """
    connection = unit.session.connection()
    pseudonym = f"erased-{secrets.token_hex(8)}"
    quoted = msgspec.json.encode(author).decode()
    named = or_(*(column.contains(quoted, autoescape=True) for column in (AUDIT.c.before, AUDIT.c.after)))
    rows = connection.execute(select(AUDIT).where(or_(AUDIT.c.actor == author, named))).all()
    entries = _rewrite_log(unit, rows, lambda value: _renamed(value, author, pseudonym), actor=(author, pseudonym))
    changed = entries
    reports = STATUS_REPORTS.c
    for column in (
        *(OVERRIDES.c.author, PUBLICATIONS.c.author, KEYS.c.created_by, USAGE_GRANTS.c.author),
        *(reports.reporter, reports.created_by, reports.updated_by),
    ):
        edit = update(column.table).where(column == author).values({column: pseudonym})
        changed += connection.execute(edit).rowcount
    if not changed:
        raise NotFoundError("author", author)
    return pseudonym, ErasureCounts(0, entries, 0)


def _erase_present(unit: WriteUnit, account: Account, *, tags: bool) -> None:
    before = account.customer
    account.write_customer(_without_personal_data(_without_reasons(before), tags=tags))
    for subscription in account.record.subscriptions:
        account.write_subscription(replace(_without_reasons(subscription), metadata={}, external_ids={}))
    connection = unit.session.connection()
    connection.execute(update(CUSTOMERS).where(CUSTOMERS.c.id == before.id).values(erased_at=unit.now))


def _without_personal_data(customer: Customer, *, tags: bool) -> Customer:
    remaining = () if tags else customer.tags
    return replace(customer, attributes={}, name="", metadata={}, external_ids={}, tags=remaining)


def _without_reasons(holder: _Holder) -> _Holder:
    return replace(
        holder,
        overrides=tuple(replace(override, reason="") for override in holder.overrides),
        suspensions=tuple(replace(suspension, reason="") for suspension in holder.suspensions),
    )


def _redact_lines(unit: WriteUnit, customer: str, *, tags: bool) -> int:
    """Rewrite the lines of the feed about a customer, and raise the floor to the last rewritten one."""
    connection = unit.session.connection()
    query = select(FEED.c.position, FEED.c.line).where(FEED.c.customer == customer).order_by(FEED.c.position)
    rows = []
    for position, line in connection.execute(query):
        entry = msgspec.json.decode(bytes(line), type=_Line)
        if entry.record is None:
            continue
        before = entry.record.customer
        after = _without_personal_data(before, tags=tags)
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
    """Rewrite entries of the audit log, and mark them; `actor`: the old and the new name."""
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
    """Return a JSON value without some members, at any depth."""
    if isinstance(value, dict):
        return {key: _without(inner, keys) for key, inner in value.items() if key not in keys}
    return [_without(inner, keys) for inner in value] if isinstance(value, list) else value


def _renamed(value: object, author: str, name: str) -> object:
    """Return a JSON value with another name for an author, at any depth."""
    if isinstance(value, dict):
        return {
            key: name if key in _AUTHORS and inner == author else _renamed(inner, author, name)
            for key, inner in value.items()
        }
    return [_renamed(inner, author, name) for inner in value] if isinstance(value, list) else value


def _drop_answers(unit: WriteUnit, customer: str) -> None:
    """Delete the responses stored for idempotency that contain the customer."""
    quoted = msgspec.json.encode(customer)
    body = IDEMPOTENCY.c.body
    is_sqlite = unit.store.database.is_sqlite
    has_customer = func.instr(body, quoted) > 0 if is_sqlite else func.bytealike(body, b"%" + quoted + b"%")
    unit.session.connection().execute(delete(IDEMPOTENCY).where(has_customer))


def _erase_usage(unit: WriteUnit, customer: str) -> None:
    """Clear the reasons of the customer's grants, and delete the closed windows of its users.

    Amounts stay, as items and dates do; the current window of a user stays too, because it limits them.
    """
    connection = unit.session.connection()
    connection.execute(update(USAGE_GRANTS).where(USAGE_GRANTS.c.customer == customer).values(reason=""))
    columns = USAGE_WINDOWS.c
    is_users = (columns.customer == customer) & (columns.scope == Scope.USER.value) & (columns.leases == 0)
    connection.execute(delete(USAGE_WINDOWS).where(is_users))
    latest = USAGE_ACCOUNTS.c
    is_users = (latest.customer == customer) & (latest.scope == Scope.USER.value) & (latest.leases == 0)
    connection.execute(delete(USAGE_ACCOUNTS).where(is_users, latest.until <= unit.now))


def _drop_snapshots(unit: WriteUnit) -> int:
    entries = snapshots(unit.session)
    for entry in entries:
        pages = msgspec.json.decode(unit.blob(entry.manifest), type=_Snapshot).pages
        drop_snapshot(unit, entry.position)
        delete_blobs(unit, {entry.manifest, *(page.sha256 for page in pages)})
    return len(entries)
