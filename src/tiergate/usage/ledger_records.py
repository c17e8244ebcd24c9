"""The records that the ledger works on, in memory: what is committed, and the changes of the transaction that is open.

A store loads what `needs_of` lists into a `LedgerRecords`, lets `Ledger` act, and writes what `commit` returns in one
transaction. A ledger without a database keeps everything in one `LedgerRecords`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from tiergate.model import BEGINNING, Instant
from tiergate.usage.accounts import Account, AccountRecord
from tiergate.usage.protocol import Acquire, Correct, DirectDebit, Hello, Read, Record, Renew, Reply, Request, Settle

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tiergate.usage.idempotency import KeyRecord
    from tiergate.usage.leases import LeaseRecord

LeaseId = tuple[str, int]
"""A holder and the number of its lease."""

GrantId = tuple[Account, str]
"""An account of the window `BEGINNING`, and the id of a grant to it."""


class HolderRecord(msgspec.Struct, frozen=True):
    """What the ledger knows of one holder.

    `booked_through`: the number of its last consumption that is booked. `last_lease`: the number of its last lease.
    `leases`: how many of them are not settled. `reply`: the last reply, which a repeated request gets again. `seen`:
    when that was.
    """

    holder: str
    epoch: int
    instance: bytes
    sequence: int
    booked_through: int
    last_lease: int
    leases: int
    reply: Reply | None
    seen: Instant

    def with_session(self, epoch: int, instance: bytes, sequence: int) -> HolderRecord:
        """Return the record during a request: without the last reply."""
        return msgspec.structs.replace(self, epoch=epoch, instance=instance, sequence=sequence, reply=None)


class Booking(NamedTuple):
    """Units that were booked (negative: taken back) on an account, at an instant: what series are made of."""

    account: Account
    at: Instant
    units: int


class LedgerChanges(NamedTuple):
    """What one transaction changes. A lease of `None` is deleted. `grants`: what was spent of each in all windows."""

    accounts: dict[Account, AccountRecord]
    leases: dict[LeaseId, LeaseRecord | None]
    holders: dict[str, HolderRecord]
    keys: dict[bytes, KeyRecord]
    grants: dict[GrantId, int]
    bookings: list[Booking]


class Needs(NamedTuple):
    """The records that a request reads: besides these, the accounts of the leases, and the grants of all accounts.

    `all_leases`: all leases of the holder. Keys are needed whatever their age: the ledger compares it.
    """

    holder: str
    accounts: frozenset[Account]
    leases: frozenset[LeaseId]
    keys: frozenset[bytes]
    all_leases: bool


class LedgerRecords:
    """Records by their ids. Reading never changes anything; `edit_…` and `set_…` change the open transaction only."""

    def __init__(self) -> None:
        self._accounts: dict[Account, AccountRecord] = {}
        self._leases: dict[LeaseId, LeaseRecord] = {}
        self._numbers: dict[str, dict[int, None]] = {}
        self._holders: dict[str, HolderRecord] = {}
        self._keys: dict[bytes, KeyRecord] = {}
        self._grants: dict[GrantId, int] = {}
        self._changes = _no_changes()

    # ── load ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    def load(
        self,
        *,
        accounts: Iterable[AccountRecord] = (),
        leases: Iterable[LeaseRecord] = (),
        holders: Iterable[HolderRecord] = (),
        keys: Iterable[KeyRecord] = (),
        grants: Iterable[tuple[GrantId, int]] = (),
    ) -> None:
        """Add committed records."""
        self._accounts.update((record.account, record) for record in accounts)
        self._holders.update((record.holder, record) for record in holders)
        self._keys.update((record.key, record) for record in keys)
        self._grants.update(grants)
        for lease in leases:
            self._put_lease((lease.holder, lease.number), lease)

    # ── read ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    def account(self, account: Account) -> AccountRecord:
        """Return an account; an empty one if it has no record. It must not be changed."""
        record = self._changes.accounts.get(account) or self._accounts.get(account)
        return AccountRecord(account) if record is None else record

    def accounts(self) -> Iterable[AccountRecord]:
        """Return all committed accounts."""
        return self._accounts.values()

    def lease(self, holder: str, number: int) -> LeaseRecord | None:
        """Return a lease that is not settled. It must not be changed."""
        if (holder, number) in self._changes.leases:
            return self._changes.leases[holder, number]
        return self._leases.get((holder, number))

    def leases_of(self, holder: str, after: int = 0) -> list[LeaseRecord]:
        """Return the leases of a holder with greater numbers, in their order."""
        numbers = {number for number in self._numbers.get(holder, ()) if number > after}
        numbers.update(number for name, number in self._changes.leases if name == holder and number > after)
        leases = (self.lease(holder, number) for number in sorted(numbers))
        return [lease for lease in leases if lease is not None]

    def leases(self) -> Iterable[LeaseRecord]:
        """Return all committed leases."""
        return self._leases.values()

    def holder(self, holder: str) -> HolderRecord | None:
        """Return what is known of a holder."""
        return self._changes.holders.get(holder) or self._holders.get(holder)

    def key(self, key: bytes) -> KeyRecord | None:
        """Return what is kept for an idempotency key."""
        return self._changes.keys.get(key) or self._keys.get(key)

    def spent_of_grant(self, account: Account, grant: str) -> int:
        """Return how many units of a grant were taken, in all windows."""
        id_ = (account.in_window(BEGINNING), grant)
        spent = self._changes.grants.get(id_)
        return self._grants.get(id_, 0) if spent is None else spent

    # ── change ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def edit_account(self, account: Account) -> AccountRecord:
        """Return an account to change."""
        record = self._changes.accounts.get(account)
        if record is None:
            committed = self._accounts.get(account)
            record = AccountRecord(account) if committed is None else committed.copy()
            record.version += 1
            self._changes.accounts[account] = record
        return record

    def edit_lease(self, lease: LeaseRecord) -> LeaseRecord:
        """Return a lease to change."""
        id_ = (lease.holder, lease.number)
        record = self._changes.leases.get(id_)
        if record is None:
            record = lease.copy()
            self._changes.leases[id_] = record
        return record

    def delete_lease(self, lease: LeaseRecord) -> None:
        """Delete a lease that is settled."""
        self._changes.leases[lease.holder, lease.number] = None

    def set_holder(self, record: HolderRecord) -> None:
        """Replace what is known of a holder."""
        self._changes.holders[record.holder] = record

    def set_key(self, record: KeyRecord) -> None:
        """Keep an idempotency key."""
        self._changes.keys[record.key] = record

    def set_spent_of_grant(self, account: Account, grant: str, units: int) -> None:
        """Set how many units of a grant were taken, in all windows."""
        self._changes.grants[account.in_window(BEGINNING), grant] = units

    def add_booking(self, booking: Booking) -> None:
        """Add a booking to the series."""
        self._changes.bookings.append(booking)

    def commit(self) -> LedgerChanges:
        """End the transaction: its changes become committed. Return them."""
        changes = self._changes
        self._accounts.update(changes.accounts)
        self._holders.update(changes.holders)
        self._keys.update(changes.keys)
        self._grants.update(changes.grants)
        for id_, lease in changes.leases.items():
            self._put_lease(id_, lease)
        self._changes = _no_changes()
        return changes

    def rollback(self) -> None:
        """End the transaction without its changes."""
        self._changes = _no_changes()

    def forget_keys(self, before: Instant) -> None:
        """Delete the committed keys of consumptions before an instant."""
        for key in [record.key for record in self._keys.values() if record.at < before]:
            del self._keys[key]

    def _put_lease(self, id_: LeaseId, lease: LeaseRecord | None) -> None:
        holder, number = id_
        if lease is None:
            self._leases.pop(id_, None)
            self._numbers.get(holder, {}).pop(number, None)
        else:
            self._leases[id_] = lease
            self._numbers.setdefault(holder, {})[number] = None


def needs_of(request: Request) -> Needs:
    """Return which records a request reads."""
    accounts: set[Account] = set()
    leases: set[LeaseId] = set()
    keys: set[bytes] = set()
    if request.report is not None:
        keys.update(use.key for use in request.report.keyed)
        spends = [use.spend for use in request.report.uses]
        spends.extend(spend for use in request.report.keyed for spend in use.spends)
        accounts.update(spend.account for spend in spends)
        leases.update((request.holder, spend.lease) for spend in spends if spend.lease)
    for operation in request.operations:
        match operation:
            case Acquire():
                accounts.update(need.account for need in operation.needs)
            case Renew() | Settle():
                leases.add((request.holder, operation.lease))
            case DirectDebit() | Record() | Correct():
                keys.add(operation.consumption.key)
                accounts.update(debit.account for debit in operation.consumption.debits)
            case Read():
                accounts.update(operation.accounts)
            case Hello():
                pass
    all_leases = any(isinstance(operation, Hello) for operation in request.operations)
    return Needs(request.holder, frozenset(accounts), frozenset(leases), frozenset(keys - {b""}), all_leases)


def _no_changes() -> LedgerChanges:
    return LedgerChanges({}, {}, {}, {}, {}, [])
