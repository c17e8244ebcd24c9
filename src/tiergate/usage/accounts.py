"""Accounts: what usage is booked on and limited by (design, section 10). Values only; `ledger` changes them.

A consumption debits a set of accounts, all or none: of the customer, of the subscription and the user where they are
named, of everybody where there is a cap for everybody, and the same of the source feature where its feature draws.

All amounts are integers in units of 10^-scale of the account's feature, 0 to `AMOUNT_MAX`; sums are at most `SUM_MAX`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec

from tiergate.model import FOREVER, Instant, Interval, SpendOrder, Threshold
from tiergate.usage.pools import Grant

AMOUNT_MAX: Final = 10**18
"""The largest amount of one debit, in units."""

SUM_MAX: Final = 2**62
"""The largest sum on one account, in units."""

DEBITS_MAX: Final = 8
"""The most accounts that one consumption debits: four scopes, of the feature and of the source that it draws on."""


class Scope(StrEnum):
    """Whose usage an account counts."""

    CUSTOMER = "customer"
    SUBSCRIPTION = "subscription"
    USER = "user"
    EVERYBODY = "everybody"

    __hash__ = str.__hash__  # accounts are keys of dictionaries on the hot path; the hash of an enum is slow


class Account(msgspec.Struct, frozen=True, array_like=True, order=True):
    """What usage is booked on: a feature, whose usage it is, and one window.

    `customer`: empty for everybody. `member`: the subscription's or user's id, else empty. `window`: the start of the
    window, which identifies it; `BEGINNING` for a quantity that never resets.
    """

    feature: str
    scope: Scope
    customer: str
    member: str
    window: Instant

    def in_window(self, window: Instant) -> Account:
        """Return the same account in another window."""
        return Account(self.feature, self.scope, self.customer, self.member, window)


class Debit(msgspec.Struct, frozen=True, array_like=True):
    """An amount on one account. `bounded`: whether a ceiling applies to the account; without one it only counts."""

    account: Account
    amount: int
    bounded: bool = True


class Consumption(msgspec.Struct, frozen=True, array_like=True):
    """What one request consumes: all of the debits or none.

    `key`: the idempotency key, as `idempotency.key_of` makes it; empty: none. `digest`: a digest of the content, for
    which the key stands. `at`: when it happened. `debits`: 1 to `DEBITS_MAX`, each account once.
    """

    key: bytes
    digest: bytes
    at: Instant
    debits: tuple[Debit, ...]


class Bound(msgspec.Struct, frozen=True):
    """What limits an account. The caller resolves it from facts; the ledger only counts against it.

    `window`: the window in which usage of the instant counts. `allowance`: the entitlement; `None`: unlimited, or the
    account only counts. `overage_max`: units above the limit: 0 if it is hard, `None` for any number. `grants`: all of
    the account, also those that do not count yet or any more. `late_ms`: how long after the window's end usage is
    still recorded. `thresholds`: the levels of usage at which somebody is told; the ledger does not look at them.
    """

    window: Interval
    allowance: int | None
    overage_max: int | None = 0
    grants: tuple[Grant, ...] = ()
    order: SpendOrder = SpendOrder.ALLOWANCE_FIRST
    late_ms: int = 0
    thresholds: tuple[Threshold, ...] = ()


class AccountRecord(msgspec.Struct):
    """One account, as the ledger stores it. Only `Ledger` changes it.

    `booked`: units that were consumed. `leased`: units of leases that are not settled, and not reported as consumed.
    `drawn`: how many of the booked and leased units came out of each pool (`pools`); its sum is `booked + leased`.
    `leases`: the number of leases that are not settled. `version`: increases with every change.
    """

    account: Account
    until: Instant = FOREVER
    booked: int = 0
    leased: int = 0
    drawn: dict[str, int] = {}
    leases: int = 0
    version: int = 0

    def copy(self) -> AccountRecord:
        """Return a copy that can be changed without changing this one."""
        return AccountRecord(
            self.account, self.until, self.booked, self.leased, dict(self.drawn), self.leases, self.version
        )


class Figures(msgspec.Struct, frozen=True, array_like=True):
    """An account, as it was at the end of a request.

    `ceiling`: `None` if the account has none. `available`: what can still be debited or leased; 0 if the ceiling fell
    below what is booked and leased; `None` without ceiling. `drawn`: how much came out of each pool.
    """

    account: Account
    until: Instant
    booked: int
    leased: int
    ceiling: int | None
    available: int | None
    drawn: tuple[tuple[str, int], ...] = ()
    version: int = 0

    @property
    def scarce(self) -> bool:
        """Whether holders should give back what they do not need soon."""
        return self.available is not None and self.available <= self.leased
