"""What one transaction has read of usage: the records for the ledger, and what its bounds are resolved from.

INVARIANT (one lock): the row of an account's latest window is locked before anything about the account is read, its
earlier windows and the customer's grants included. Accounts are locked in the order of their keys, after the holders.
Rows that do not exist cannot be locked: whoever creates the same row first wins, and the other transaction runs again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec
from sqlalchemy import func, select

from tiergate.model import BEGINNING, FOREVER, Instant, Interval
from tiergate.store.keyed_rows import read_rows
from tiergate.store.tables import (
    USAGE_ACCOUNTS,
    USAGE_GRANTS,
    USAGE_HOLDERS,
    USAGE_KEYS,
    USAGE_LEASES,
    USAGE_WINDOWS,
)
from tiergate.usage.accounts import Account, AccountRecord, Scope
from tiergate.usage.idempotency import KeyRecord
from tiergate.usage.leases import LeaseRecord, LeaseState
from tiergate.usage.ledger_records import HolderRecord, LedgerRecords
from tiergate.usage.pools import ALLOWANCE, Grant
from tiergate.usage.protocol import decode_reply

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from sqlalchemy import ColumnElement, Connection, Row

    from tiergate.usage.accounts import Bound
    from tiergate.usage.ledger_records import Needs

ACCOUNT_KEY: Final = ("customer", "feature", "scope", "member")
WINDOW_KEY: Final = (*ACCOUNT_KEY, "start")
GRANT_KEY: Final = ("customer", "feature", "id")
LEASE_KEY: Final = ("holder", "number")

AccountKey = tuple[str, str, str, str]
"""Customer, feature, scope and member."""

SCOPES: Final = {scope: scope.value for scope in Scope}
"""Scopes as texts: the value of a member is slow to read."""

GrantKey = tuple[str, str, str]
"""Customer, feature and id."""

_fired_decoder: Final = msgspec.json.Decoder(list[str])
_drawn_decoder: Final = msgspec.json.Decoder(dict[str, int])


class StoredGrant(NamedTuple):
    """A grant of a customer for a feature: how much of it was spent, in all windows, who gave it, and when."""

    customer: str
    feature: str
    grant: Grant
    spent: int = 0
    author: str = ""
    created_at: Instant = BEGINNING


class Limits(NamedTuple):
    """The allowance of a window, and its limit, which is the allowance with grants; none: unlimited."""

    allowance: int | None = None
    limit: int | None = None


class UsageState:
    """Records that a transaction has loaded. Belongs to one thread and one transaction."""

    def __init__(self, connection: Connection, *, locking: bool = True) -> None:
        """Read nothing yet. Without `locking` nothing may be written on what is read."""
        self.connection = connection
        self._locking = locking
        self.now: Instant = BEGINNING
        """When the transaction had its locks; set by its owner."""
        self.records = LedgerRecords()
        self.latest: dict[AccountKey, AccountRecord] = {}
        """The latest window of each account that has a row."""
        self.stored: dict[Account, Limits] = {}
        """The accounts that have a row."""
        self.fired: dict[Account, frozenset[str]] = {}
        """The thresholds that fired in the window of an account, those of this transaction included."""
        self.told: set[Account] = set()
        """The accounts with a row whose window's end was told, or has none to tell."""
        self.leases: set[tuple[str, int]] = set()
        self.holders: set[str] = set()
        self.keys: set[bytes] = set()
        self.bounds: dict[Account, Bound] = {}
        """The bound of each account, as it was last resolved for its own window."""
        self.changed_grants: dict[GrantKey, StoredGrant] = {}
        """Grants that are new, or have another amount or interval than their row."""
        self.grant_keys: set[GrantKey] = set()
        """The grants that have a row."""
        self._grants: dict[tuple[str, str], list[StoredGrant]] = {}
        self._earlier: dict[tuple[AccountKey, Instant], list[Interval]] = {}
        self._resolved: dict[AccountKey, dict[Instant, Interval]] = {}

    # ── load ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    def load(self, needs: Iterable[Needs]) -> set[Account]:
        """Lock and read what requests need; return the accounts that they name or have leases of."""
        needs = list(needs)
        self._load_holders({need.holder for need in needs if need.holder})
        accounts = {account for need in needs for account in need.accounts}
        accounts |= self._load_leases(needs)
        self._load_accounts(accounts)
        self._load_grants({(key[0], key[1]) for key in map(key_of, accounts) if key[2] == Scope.CUSTOMER.value})
        self._load_keys({key for need in needs for key in need.keys})
        return accounts

    def _load_holders(self, holders: Collection[str]) -> None:
        rows = read_rows(
            self.connection, USAGE_HOLDERS, ("holder",), [(id_,) for id_ in sorted(holders)], lock=self._locking
        )
        self.holders |= {row.holder for row in rows}
        self.records.load(holders=map(_holder, rows))

    def _load_leases(self, needs: Sequence[Needs]) -> set[Account]:
        numbers = sorted({id_ for need in needs for id_ in need.leases if not need.all_leases})
        rows = read_rows(self.connection, USAGE_LEASES, LEASE_KEY, numbers)
        whole = sorted({need.holder for need in needs if need.all_leases})
        rows += read_rows(self.connection, USAGE_LEASES, ("holder",), [(id_,) for id_ in whole])
        leases = [lease_of(row) for row in rows]
        self.leases |= {(lease.holder, lease.number) for lease in leases}
        self.records.load(leases=leases)
        return {lease.account for lease in leases}

    def _load_accounts(self, accounts: Collection[Account]) -> None:
        keys = sorted({key_of(account) for account in accounts})
        rows = read_rows(self.connection, USAGE_ACCOUNTS, ACCOUNT_KEY, keys, lock=self._locking)
        self._add_accounts(rows)
        latest = [_account(row) for row in rows]
        self.latest |= {key_of(record.account): record for record in latest}
        self.told |= {record.account for record, row in zip(latest, rows, strict=True) if row.next_at is None}
        earlier = [account for account in accounts if self._is_earlier(account)]
        window_keys = [(*key_of(account), account.window) for account in earlier]
        self._add_accounts(read_rows(self.connection, USAGE_WINDOWS, WINDOW_KEY, window_keys))

    def _is_earlier(self, account: Account) -> bool:
        latest = self.latest.get(key_of(account))
        return latest is not None and account.window < latest.account.window

    def _add_accounts(self, rows: Sequence[Row[Any]]) -> None:
        records = list(map(_account, rows))
        self.records.load(accounts=records)
        for record, row in zip(records, rows, strict=True):
            self.stored[record.account] = Limits(row.allowance, row.limit_units)
            if row.fired is not None:
                self.fired[record.account] = frozenset(_fired_decoder.decode(row.fired))

    def _load_grants(self, keys: Collection[tuple[str, str]]) -> None:
        self._grants.update((key, []) for key in keys)
        for row in read_rows(self.connection, USAGE_GRANTS, ("customer", "feature"), sorted(keys), lock=self._locking):
            self._grants[row.customer, row.feature].append(stored_grant(row))
            self.grant_keys.add((row.customer, row.feature, row.id))
        spent = [((owner_of(*key), stored.grant.id), stored.spent) for key in keys for stored in self._grants[key]]
        self.records.load(grants=spent)

    def _load_keys(self, keys: Collection[bytes]) -> None:
        rows = read_rows(self.connection, USAGE_KEYS, ("key",), [(key,) for key in sorted(keys)])
        found = [KeyRecord(bytes(row.key), bytes(row.digests), row.at, bytes(row.answer or b"")) for row in rows]
        self.keys |= {record.key for record in found}
        self.records.load(keys=found)

    # ── what bounds are resolved from ────────────────────────────────────────────────────────────────────────────────

    def latest_of(self, account: Account) -> AccountRecord | None:
        """Return the latest stored window of an account, with the changes of this transaction.

        It may be before or after the one that `account` names.
        """
        latest = self.latest.get(key_of(account))
        return None if latest is None else self.records.account(latest.account)

    def windows_of(self, account: Account, at: Instant) -> list[Interval]:
        """Return the windows of an account around an instant, in their order: see `UsageWindows.window_of`.

        They are the latest one that begins at `at` or before, if there is one, and all later ones. Windows that this
        transaction has resolved are among them, so that the first use opens one window and not several.
        """
        key = key_of(account)
        latest = self.latest.get(key)
        known = {}
        if latest is not None:
            start = latest.account.window
            known = {window.start: window for window in (self._earlier_windows(key, at) if at < start else ())}
            known[start] = Interval(start, latest.until)
        known |= self._resolved.get(key, {})
        return [known[start] for start in sorted(known)]

    def record_before(self, account: Account, start: Instant) -> AccountRecord | None:
        """Return the latest stored window of an account that begins before `start`."""
        latest = self.latest_of(account)
        if latest is None or latest.account.window < start:
            return latest
        query = (
            select(USAGE_WINDOWS)
            .where(*_is_account(key_of(account)), USAGE_WINDOWS.c.start < start)
            .order_by(USAGE_WINDOWS.c.start.desc())
            .limit(1)
        )
        row = self.connection.execute(query).one_or_none()
        if row is None:
            return None
        record = _account(row)
        return self.records.account(record.account) if record.account in self.stored else record

    def note_bound(self, account: Account, bound: Bound) -> None:
        """Remember what was resolved for an account."""
        self._resolved.setdefault(key_of(account), {})[bound.window.start] = bound.window
        if bound.window.start == account.window:
            self.bounds[account] = bound

    def _earlier_windows(self, key: AccountKey, at: Instant) -> list[Interval]:
        found = self._earlier.get((key, at))
        if found is None:
            columns = USAGE_WINDOWS.c
            is_account = _is_account(key)
            begun = select(func.max(columns.start)).where(*is_account, columns.start <= at).scalar_subquery()
            query = (
                select(columns.start, columns.until)
                .where(*is_account, columns.start >= func.coalesce(begun, at))
                .order_by(columns.start)
            )
            found = [Interval(row.start, row.until) for row in self.connection.execute(query)]
            self._earlier[key, at] = found
        return found

    def grants_of(self, account: Account) -> list[StoredGrant]:
        """Return the grants of a customer for a feature, those that ended or are used up included."""
        return self._grants.get((account.customer, account.feature), [])

    def add_grant(self, stored: StoredGrant) -> None:
        """Give a grant, to be written with everything else; of one that there is already, set its interval and amount.

        So what rolled over from a window gets the end of the next window, even if that moves.
        """
        key = (stored.customer, stored.feature)
        grants = self._grants.setdefault(key, [])
        others = [other for other in grants if other.grant.id != stored.grant.id]
        if len(others) < len(grants):
            before = next(other for other in grants if other.grant.id == stored.grant.id)
            stored = before._replace(grant=stored.grant)
        self._grants[key] = [*others, stored]
        self.changed_grants[*key, stored.grant.id] = stored


def _is_account(key: AccountKey) -> list[ColumnElement[bool]]:
    return [USAGE_WINDOWS.c[name] == value for name, value in zip(ACCOUNT_KEY, key, strict=True)]


def key_of(account: Account) -> AccountKey:
    """Return the key of an account's rows."""
    return account.customer, account.feature, SCOPES[account.scope], account.member


def owner_of(customer: str, feature: str) -> Account:
    """Return the account that the grants of a customer for a feature belong to."""
    return Account(feature, Scope.CUSTOMER, customer, "", BEGINNING)


def stored_grant(row: Row[Any]) -> StoredGrant:
    """Read a row of `usage_grant`."""
    grant = Grant(row.id, row.amount, row.start, row.until, row.priority, row.reason)
    return StoredGrant(row.customer, row.feature, grant, row.spent, row.author, row.created_at)


def grant_columns(stored: StoredGrant, now: Instant) -> dict[str, object]:
    """Return the columns of a grant; what began or ended by `now` is not told any more."""
    grant = stored.grant
    next_at = grant.start if grant.start > now else grant.until if now < grant.until < FOREVER else None
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
        "next_at": next_at if grant.amount else None,
    }


def account_columns(record: AccountRecord, limits: Limits, fired: Collection[str]) -> dict[str, object]:
    """Return the columns of a window of an account."""
    account = record.account
    return {
        "customer": account.customer,
        "feature": account.feature,
        "scope": SCOPES[account.scope],
        "member": account.member,
        "start": account.window,
        "until": record.until,
        "booked": record.booked,
        "leased": record.leased,
        "leases": record.leases,
        "version": record.version,
        "allowance": limits.allowance,
        "limit_units": limits.limit,
        "drawn": _drawn_text(record.drawn, record.booked + record.leased),
        "fired": msgspec.json.encode(sorted(fired)).decode() if fired else None,
    }


def lease_columns(lease: LeaseRecord) -> dict[str, object]:
    """Return the columns of a lease."""
    account = lease.account
    return {
        "holder": lease.holder,
        "number": lease.number,
        "customer": account.customer,
        "feature": account.feature,
        "scope": SCOPES[account.scope],
        "member": account.member,
        "start": account.window,
        "units": lease.units,
        "spent": lease.spent,
        "expires": lease.expires,
        "written_off": lease.state is LeaseState.WRITTEN_OFF,
    }


def _drawn_text(drawn: Mapping[str, int], total: int) -> str | None:
    parts = {pool: units for pool, units in drawn.items() if units}
    return None if parts == ({ALLOWANCE: total} if total else {}) else msgspec.json.encode(parts).decode()


def _account(row: Row[Any]) -> AccountRecord:
    account = Account(row.feature, Scope(row.scope), row.customer, row.member, row.start)
    total = row.booked + row.leased
    drawn = _drawn_decoder.decode(row.drawn) if row.drawn is not None else {ALLOWANCE: total} if total else {}
    return AccountRecord(account, row.until, row.booked, row.leased, drawn, row.leases, row.version)


def lease_of(row: Row[Any]) -> LeaseRecord:
    """Return the lease of a row."""
    account = Account(row.feature, Scope(row.scope), row.customer, row.member, row.start)
    state = LeaseState.WRITTEN_OFF if row.written_off else LeaseState.LIVE
    return LeaseRecord(row.holder, row.number, account, row.units, row.expires, row.spent, state)


def _holder(row: Row[Any]) -> HolderRecord:
    reply = None if row.reply is None else decode_reply(bytes(row.reply))
    return HolderRecord(
        row.holder,
        row.epoch,
        bytes(row.instance),
        row.sequence,
        row.booked_through,
        row.last_lease,
        row.leases,
        reply,
        row.seen,
    )
