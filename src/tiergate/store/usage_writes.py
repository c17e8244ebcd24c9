"""Writes what requests of one transaction changed of usage: a few statements for all of them.

What is new is inserted plainly, so that a transaction fails if another one was first, and runs again.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from tiergate.model import FOREVER
from tiergate.store.keyed_rows import RowWrites
from tiergate.store.tables import (
    USAGE_ACCOUNTS,
    USAGE_GRANTS,
    USAGE_HOLDERS,
    USAGE_KEYS,
    USAGE_LEASES,
    USAGE_WINDOWS,
)
from tiergate.store.usage_series import add_bookings
from tiergate.store.usage_state import (
    ACCOUNT_KEY,
    GRANT_KEY,
    LEASE_KEY,
    WINDOW_KEY,
    Limits,
    account_columns,
    grant_columns,
    key_of,
    lease_columns,
)
from tiergate.usage.accounts import Scope
from tiergate.usage.ledger_records import LedgerChanges
from tiergate.usage.pools import ALLOWANCE, OVERAGE
from tiergate.usage.protocol import encode

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tiergate.store.usage_state import AccountKey, UsageState
    from tiergate.usage.accounts import AccountRecord, Bound
    from tiergate.usage.ledger_records import HolderRecord

Row = dict[str, object]


def merge(changes: Iterable[LedgerChanges]) -> LedgerChanges:
    """Return the changes of several requests, the later ones in place of the earlier ones."""
    merged = LedgerChanges({}, {}, {}, {}, {}, [])
    for change in changes:
        merged.accounts.update(change.accounts)
        merged.leases.update(change.leases)
        merged.holders.update(change.holders)
        merged.keys.update(change.keys)
        merged.grants.update(change.grants)
        merged.bookings.extend(change.bookings)
    return merged


def write_changes(state: UsageState, changes: LedgerChanges) -> None:
    """Write changes of what `state` has read, and the grants that were added to it.

    Raises:
        IntegrityError: another transaction was first to make a row: this one must run again.
    """
    writes = RowWrites()
    _write_holders(state, writes, changes.holders.values())
    _write_accounts(state, writes, [*changes.accounts.values(), *_moved(state, changes)])
    _write_grants(state, writes, changes)
    _write_leases(state, writes, changes)
    _write_keys(state, writes, changes)
    add_bookings(state.connection, writes, changes.bookings)
    writes.run(state.connection)


def _write_holders(state: UsageState, writes: RowWrites, holders: Iterable[HolderRecord]) -> None:
    rows = [_holder_columns(holder) for holder in holders]
    writes.update(USAGE_HOLDERS, ("holder",), [row for row in rows if row["holder"] in state.holders])
    writes.insert(USAGE_HOLDERS, [row for row in rows if row["holder"] not in state.holders])


def _holder_columns(holder: HolderRecord) -> Row:
    return {
        "holder": holder.holder,
        "epoch": holder.epoch,
        "instance": holder.instance,
        "sequence": holder.sequence,
        "booked_through": holder.booked_through,
        "last_lease": holder.last_lease,
        "leases": holder.leases,
        "reply": None if holder.reply is None else encode(holder.reply),
        "seen": holder.seen,
    }


def _write_accounts(state: UsageState, writes: RowWrites, accounts: Iterable[AccountRecord]) -> None:
    """Write windows of accounts. One that is later than the latest takes its place, and that moves to the others."""
    changed: defaultdict[AccountKey, list[AccountRecord]] = defaultdict(list)
    for record in accounts:
        changed[key_of(record.account)].append(record)
    updated: list[Row] = []
    opened: list[Row] = []
    moved: list[Row] = []
    earlier: list[Row] = []
    for key, records in changed.items():
        records.sort(key=lambda record: record.account.window)
        latest = state.latest.get(key)
        others = records
        if latest is None:
            opened.append(_latest_columns(state, records[-1]))
            others = records[:-1]
        elif records[-1].account.window >= latest.account.window:
            updated.append(_latest_columns(state, records[-1]))
            others = records[:-1]
            if records[-1].account != latest.account:
                before = next((record for record in others if record.account == latest.account), latest)
                others = [record for record in others if record is not before]
                moved.append(_columns(state, before))
        for record in others:
            (earlier if record.account in state.stored else moved).append(_columns(state, record))
    writes.update(USAGE_ACCOUNTS, ACCOUNT_KEY, updated)
    writes.insert(USAGE_ACCOUNTS, opened)
    writes.update(USAGE_WINDOWS, WINDOW_KEY, earlier)
    writes.insert(USAGE_WINDOWS, moved)


def _moved(state: UsageState, changes: LedgerChanges) -> list[AccountRecord]:
    """Return the open windows whose end or limit has moved, without any other change.

    That an end has moved must be known from now on. Limits are stored for whoever reads all customers of a feature.
    """
    moved = []
    for account, bound in state.bounds.items():
        latest = state.latest.get(key_of(account))
        if latest is None or latest.account != account or account in changes.accounts:
            continue
        if latest.until != bound.window.until or state.stored[account] != _limits(state, latest, bound):
            record = latest.copy()
            record.until = bound.window.until
            moved.append(record)
    return moved


def _columns(state: UsageState, record: AccountRecord) -> Row:
    bound = state.bounds.get(record.account)
    limits = state.stored.get(record.account, Limits()) if bound is None else _limits(state, record, bound)
    return account_columns(record, limits, state.fired.get(record.account, ()))


def _latest_columns(state: UsageState, record: AccountRecord) -> Row:
    """Return the columns of the latest window of an account, whose end is to be told if it has one."""
    has_end = record.account.scope is Scope.CUSTOMER and record.until < FOREVER and record.account not in state.told
    return _columns(state, record) | {"next_at": record.until if has_end else None}


def _limits(state: UsageState, record: AccountRecord, bound: Bound) -> Limits:
    """Return the allowance, and with it what grants add in this window: what they gave, and what is left of them."""
    if bound.allowance is None:
        return Limits()
    at = max(bound.window.start, min(state.now, bound.window.until - 1))
    given = sum(units for pool, units in record.drawn.items() if pool not in (ALLOWANCE, OVERAGE))
    left = [
        grant.amount - state.records.spent_of_grant(record.account, grant.id)
        for grant in bound.grants
        if grant.counts(at)
    ]
    return Limits(bound.allowance, bound.allowance + given + sum(units for units in left if units > 0))


def _write_grants(state: UsageState, writes: RowWrites, changes: LedgerChanges) -> None:
    """Write what was spent, and grants that are new or have another end; of others only what was spent."""
    spent = {(owner.customer, owner.feature, id_): units for (owner, id_), units in changes.grants.items()}
    changed = {key: stored._replace(spent=spent.get(key, stored.spent)) for key, stored in state.changed_grants.items()}
    rows = [(key, grant_columns(stored, state.now)) for key, stored in changed.items()]
    writes.update(USAGE_GRANTS, GRANT_KEY, [row for key, row in rows if key in state.grant_keys])
    writes.insert(USAGE_GRANTS, [row for key, row in rows if key not in state.grant_keys])
    others = [(key, units) for key, units in spent.items() if key in state.grant_keys and key not in changed]
    spent_rows: list[Row] = [dict(zip(GRANT_KEY, key, strict=True)) | {"spent": units} for key, units in others]
    writes.update(USAGE_GRANTS, GRANT_KEY, spent_rows)


def _write_leases(state: UsageState, writes: RowWrites, changes: LedgerChanges) -> None:
    ended = [id_ for id_, lease in changes.leases.items() if lease is None and id_ in state.leases]
    kept = [(id_, lease_columns(lease)) for id_, lease in changes.leases.items() if lease is not None]
    writes.delete(USAGE_LEASES, LEASE_KEY, ended)
    writes.update(USAGE_LEASES, LEASE_KEY, [row for id_, row in kept if id_ in state.leases])
    writes.insert(USAGE_LEASES, [row for id_, row in kept if id_ not in state.leases])


def _write_keys(state: UsageState, writes: RowWrites, changes: LedgerChanges) -> None:
    rows = [
        {"key": record.key, "digests": record.digests, "at": record.at, "answer": record.answer or None}
        for record in changes.keys.values()
    ]
    writes.update(USAGE_KEYS, ("key",), [row for row in rows if row["key"] in state.keys])
    writes.insert(USAGE_KEYS, [row for row in rows if row["key"] not in state.keys])
