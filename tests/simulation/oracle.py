"""What must hold, computed from what callers were told and what disks keep: it knows nothing of the protocol."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tiergate.model import BEGINNING
from tiergate.usage.leases import LeaseState

if TYPE_CHECKING:
    from tests.simulation.facts import Facts
    from tiergate.usage.accounts import Account, Debit
    from tiergate.usage.ledger_records import LedgerChanges, LedgerRecords


class ViolationError(AssertionError):
    """Something that must hold does not."""


@dataclass(eq=False)
class Attempt:
    """One request of a caller to consume."""

    name: bytes
    key: bytes
    digest: bytes
    debits: tuple[Debit, ...]
    at: int
    acknowledged: bool = False
    beyond: bool = False
    """Whether it was allowed beyond the limit: offline, or after the fact."""


@dataclass(eq=False)
class Group:
    """The attempts with the same key and content: they count once. `counted`: among the acknowledged units."""

    attempts: list[Attempt] = field(default_factory=list)
    counted: bool = False
    beyond: bool = False


@dataclass(eq=False)
class Oracle:
    """The truth about one schedule."""

    facts: Facts
    records: LedgerRecords
    corrected: Counter[Account] = field(default_factory=Counter)
    caps: dict[Account, int] = field(default_factory=dict)
    _groups: dict[tuple[bytes, bytes], Group] = field(default_factory=dict)
    _exposed: dict[Account, int] = field(default_factory=dict)
    _drawn: dict[Account, dict[str, int]] = field(default_factory=dict)
    _paid: Counter[Account] = field(default_factory=Counter)
    """What was spent of grants that are gone: it stays paid for, whatever is given later."""

    _acknowledged: Counter[Account] = field(default_factory=Counter)

    def add(self, attempt: Attempt) -> None:
        """Note an attempt whose consumption was recorded somewhere."""
        group = self._groups.setdefault(_group(attempt), Group())
        group.attempts.append(attempt)
        beyond = attempt.beyond or attempt.debits != group.attempts[0].debits
        if beyond and group.counted:  # the one beyond the limit, or in another window, may be the one that is booked
            self._count(group, -1)
        group.beyond |= beyond

    def acknowledge(self, attempt: Attempt) -> None:
        """Note that a caller was told that its consumption counts; check the limits."""
        attempt.acknowledged = True
        group = self._groups[_group(attempt)]
        if group.counted or group.beyond:
            return
        self._count(group, 1)
        for debit in attempt.debits:
            account = debit.account
            cap = self.caps.get(account)
            total = self._acknowledged[account] - self.corrected[account]
            if cap is not None and total > cap:
                raise ViolationError(f"{total} units of {account} are acknowledged, at most {cap} were ever allowed")

    def lose(self, attempt: Attempt) -> None:
        """Note that a crash lost the record of an attempt."""
        if attempt.acknowledged:
            raise ViolationError(f"the acknowledged consumption {attempt.name!r} is lost")
        self._groups[_group(attempt)].attempts.remove(attempt)

    def _count(self, group: Group, sign: int) -> None:
        group.counted = sign > 0
        for debit in group.attempts[0].debits:
            self._acknowledged[debit.account] += sign * debit.amount

    def check_answer(self, attempt: Attempt, answer: bytes) -> None:
        """Check the answer to a repeated request: it is the first one's."""
        group = self._groups.get(_group(attempt))
        if group is None or answer not in [other.name for other in group.attempts]:
            raise ViolationError(f"{attempt.name!r} gets an answer that nobody got before")

    def check_conflict(self, attempt: Attempt) -> None:
        """Check that a refused key stands for another content."""
        if not any(key == attempt.key and digest != attempt.digest for key, digest in self._groups):
            raise ViolationError(f"{attempt.name!r} is refused for a key that is new")

    def before_change(self) -> None:
        """Note what was booked and leased, before limits change."""
        self._exposed = {record.account: record.booked + record.leased for record in self.records.accounts()}
        given = {grant.id for grant in self.facts.grants}
        self._drawn = {
            record.account: {pool: units for pool, units in record.drawn.items() if pool in given}
            for record in self.records.accounts()
        }

    def after_change(self) -> None:
        """Lower the caps where limits fell: what is booked and leased may still be spent."""
        left = {grant.id for grant in self.facts.grants}
        for account, drawn in self._drawn.items():
            self._paid[account] += sum(units for pool, units in drawn.items() if pool not in left)
        for account, cap in self.caps.items():
            ceiling = self.facts.ceiling(account)
            if ceiling is None:
                continue
            exposed = self._exposed.get(account, 0)
            self.caps[account] = max(ceiling + self._paid[account], min(cap, exposed))

    def committed(self, changes: LedgerChanges) -> None:
        """Check what the ledger committed."""
        for account, record in changes.accounts.items():
            if account not in self.caps:
                ceiling = self.facts.ceiling(account)
                if ceiling is not None:
                    self.caps[account] = ceiling
            if min(record.booked, record.leased, record.leases, *record.drawn.values(), 0) < 0:
                raise ViolationError(f"{record} is negative")
            if sum(record.drawn.values()) != record.booked + record.leased:
                raise ViolationError(f"{record} does not account for what was drawn")

    def check_end(self, *, exact: bool = True) -> None:
        """Check the ledger after everything healed: exactly what callers consumed is booked, and nothing is leased."""
        booked: Counter[Account] = Counter()
        for record in self.records.accounts():
            if record.leased or record.leases:
                raise ViolationError(f"{record} is not settled")
            booked[_key(record.account, exact=exact)] += record.booked
        if any(lease.state is LeaseState.LIVE for lease in self.records.leases()):
            raise ViolationError("a lease is not settled")
        expected: Counter[Account] = Counter()
        for group in self._groups.values():
            if group.attempts:
                for debit in group.attempts[0].debits:
                    expected[_key(debit.account, exact=exact)] += debit.amount
        for account, units in self.corrected.items():
            expected[_key(account, exact=exact)] -= units
        for account in booked.keys() | expected.keys():
            if booked[account] != expected[account]:
                raise ViolationError(
                    f"{booked[account]} units of {account} are booked, {expected[account]} were consumed"
                )
        self._check_grants()

    def _check_grants(self) -> None:
        drawn: Counter[tuple[Account, str]] = Counter()
        for record in self.records.accounts():
            for pool, units in record.drawn.items():
                drawn[record.account.in_window(BEGINNING), pool] += units
        for grant in self.facts.grants:
            for (account, pool), units in drawn.items():
                if pool == grant.id and units > grant.amount:
                    raise ViolationError(f"{units} units came out of {grant} of {account}")

    def spans_windows(self) -> bool:
        """Return whether some request was repeated in another window: then either may count it."""
        return any(
            len({attempt.debits[0].account.window for attempt in group.attempts}) > 1 for group in self._groups.values()
        )


def _group(attempt: Attempt) -> tuple[bytes, bytes]:
    return (attempt.key, attempt.digest) if attempt.key else (attempt.name, b"")


def _key(account: Account, *, exact: bool) -> Account:
    return account if exact else account.in_window(BEGINNING)
