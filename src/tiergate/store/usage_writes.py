"""Writes what requests of one transaction changed of usage: a few statements for all of them.

What is new is inserted plainly, so that a transaction fails if another one was first, and runs again.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from tiergate.store.keyed_rows import delete_rows, update_rows
from tiergate.store.row_inserts import insert_rows
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
    StoredGrant,
    account_columns,
    key_of,
    lease_columns,
)
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
    _write_holders(state, changes.holders.values())
    _write_accounts(state, [*changes.accounts.values(), *_moved_ends(state, changes)])
    _write_grants(state, changes)
    _write_leases(state, changes)
    _write_keys(state, changes)
    add_bookings(state.connection, changes.bookings)


def _write_holders(state: UsageState, holders: Iterable[HolderRecord]) -> None:
    rows = [_holder_columns(holder) for holder in holders]
    update_rows(state.connection, USAGE_HOLDERS, ("holder",), [row for row in rows if row["holder"] in state.holders])
    insert_rows(state.connection, USAGE_HOLDERS, [row for row in rows if row["holder"] not in state.holders])


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


def _write_accounts(state: UsageState, accounts: Iterable[AccountRecord]) -> None:
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
            opened.append(_columns(state, records[-1]))
            others = records[:-1]
        elif records[-1].account.window >= latest.account.window:
            updated.append(_columns(state, records[-1]))
            others = records[:-1]
            if records[-1].account != latest.account:
                before = next((record for record in others if record.account == latest.account), latest)
                others = [record for record in others if record is not before]
                moved.append(_columns(state, before))
        for record in others:
            (earlier if record.account in state.stored else moved).append(_columns(state, record))
    update_rows(state.connection, USAGE_ACCOUNTS, ACCOUNT_KEY, updated)
    insert_rows(state.connection, USAGE_ACCOUNTS, opened)
    update_rows(state.connection, USAGE_WINDOWS, WINDOW_KEY, earlier)
    insert_rows(state.connection, USAGE_WINDOWS, moved)


def _moved_ends(state: UsageState, changes: LedgerChanges) -> list[AccountRecord]:
    """Return the open windows whose end has moved, without any other change: the move must be known from now on."""
    moved = []
    for account, bound in state.bounds.items():
        latest = state.latest.get(key_of(account))
        if latest is None or latest.account != account or account in changes.accounts:
            continue
        if latest.until != bound.window.until:
            record = latest.copy()
            record.until = bound.window.until
            moved.append(record)
    return moved


def _columns(state: UsageState, record: AccountRecord) -> Row:
    bound = state.bounds.get(record.account)
    limits = state.stored.get(record.account, Limits()) if bound is None else _limits(state, record, bound)
    return account_columns(record, limits)


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


def _write_grants(state: UsageState, changes: LedgerChanges) -> None:
    new = dict(state.new_grants)
    spent: list[Row] = []
    known = {
        (stored.customer, stored.feature, stored.grant.id)
        for account in {owner for owner, _ in changes.grants}
        for stored in state.grants_of(account)
    }
    for (owner, id_), units in changes.grants.items():
        key = (owner.customer, owner.feature, id_)
        if key in new:
            new[key] = new[key]._replace(spent=units)
        elif key in known:
            spent.append({"customer": key[0], "feature": key[1], "id": id_, "spent": units})
    update_rows(state.connection, USAGE_GRANTS, GRANT_KEY, spent)
    write_grants(state, list(new.values()))


def write_grants(state: UsageState, grants: Iterable[StoredGrant]) -> None:
    """Write grants that are new, or were changed."""
    rows = [grant_columns(stored) for stored in grants]
    is_known = [update_rows(state.connection, USAGE_GRANTS, GRANT_KEY, [row]) for row in rows]
    insert_rows(state.connection, USAGE_GRANTS, [row for row, known in zip(rows, is_known, strict=True) if not known])


def grant_columns(stored: StoredGrant) -> Row:
    """Return the columns of a grant."""
    grant = stored.grant
    return {
        "customer": stored.customer,
        "feature": stored.feature,
        "id": grant.id,
        "amount": grant.amount,
        "spent": stored.spent,
        "start": grant.start,
        "until": grant.until,
        "priority": grant.priority,
        "reason": grant.reason,
        "author": stored.author,
        "created_at": stored.created_at,
    }


def _write_leases(state: UsageState, changes: LedgerChanges) -> None:
    ended = [id_ for id_, lease in changes.leases.items() if lease is None and id_ in state.leases]
    kept = [(id_, lease_columns(lease)) for id_, lease in changes.leases.items() if lease is not None]
    delete_rows(state.connection, USAGE_LEASES, LEASE_KEY, ended)
    update_rows(state.connection, USAGE_LEASES, LEASE_KEY, [row for id_, row in kept if id_ in state.leases])
    insert_rows(state.connection, USAGE_LEASES, [row for id_, row in kept if id_ not in state.leases])


def _write_keys(state: UsageState, changes: LedgerChanges) -> None:
    rows = [
        {"key": record.key, "digests": record.digests, "at": record.at, "answer": record.answer or None}
        for record in changes.keys.values()
    ]
    update_rows(state.connection, USAGE_KEYS, ("key",), [row for row in rows if row["key"] in state.keys])
    insert_rows(state.connection, USAGE_KEYS, [row for row in rows if row["key"] not in state.keys])
