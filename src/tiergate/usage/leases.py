"""Leases at both ends: their states as tables of transitions, and how many units a lease has.

The ledger debits the units of a lease before the holder spends them. What was spent moves from `leased` to `booked`
when it is reported; the rest is given back when the lease is settled. Only the holder itself gives units back: a lease
that expired without a report counts as spent until its holder reports. So the limit does not depend on clocks: they
only decide when a holder stops spending, and how long units wait.
"""

from __future__ import annotations

import hashlib
from enum import Enum, auto
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from tiergate.model import Instant
from tiergate.usage.accounts import AMOUNT_MAX, Account

if TYPE_CHECKING:
    from tiergate.usage.protocol import Need


class LeaseState(Enum):
    """The state of a lease at the ledger. A settled lease is deleted."""

    LIVE = "live"
    """The holder may spend from it. Once it has expired, all of it counts as spent until the holder reports."""

    WRITTEN_OFF = "written_off"
    """An operator gave its holder up: the rest was booked, or given back. If the holder returns, its word counts."""

    SETTLED = "settled"

    __hash__ = object.__hash__  # as fast as it gets: members are compared by identity


class LeaseEvent(Enum):
    """What can happen to a lease at the ledger."""

    REPORT = auto()
    RENEW = auto()
    SETTLE = auto()
    """The holder ends it, and says how much was spent."""

    TAKE_BACK = auto()
    """The holder started again and does not know it: nothing was spent."""

    WRITE_OFF = auto()
    """The holder is lost: the rest counts as spent, or as not spent."""

    __hash__ = object.__hash__  # as fast as it gets: members are compared by identity


LEASE_TRANSITIONS: Final[dict[tuple[LeaseState, LeaseEvent], LeaseState]] = {
    (LeaseState.LIVE, LeaseEvent.REPORT): LeaseState.LIVE,
    (LeaseState.LIVE, LeaseEvent.RENEW): LeaseState.LIVE,
    (LeaseState.LIVE, LeaseEvent.SETTLE): LeaseState.SETTLED,
    (LeaseState.LIVE, LeaseEvent.TAKE_BACK): LeaseState.SETTLED,
    (LeaseState.LIVE, LeaseEvent.WRITE_OFF): LeaseState.WRITTEN_OFF,
    (LeaseState.WRITTEN_OFF, LeaseEvent.REPORT): LeaseState.WRITTEN_OFF,
    (LeaseState.WRITTEN_OFF, LeaseEvent.SETTLE): LeaseState.SETTLED,
    (LeaseState.WRITTEN_OFF, LeaseEvent.TAKE_BACK): LeaseState.SETTLED,
}
"""The next state. A pair that is missing here is refused, and changes nothing."""


class LeaseRecord(msgspec.Struct):
    """One lease, as the ledger stores it; (`holder`, `number`) identifies it.

    `spent`: units that were reported. `expires`: by the ledger's clock.
    """

    holder: str
    number: int
    account: Account
    units: int
    expires: Instant
    spent: int = 0
    state: LeaseState = LeaseState.LIVE

    def copy(self) -> LeaseRecord:
        """Return a copy that can be changed without changing this one."""
        return LeaseRecord(self.holder, self.number, self.account, self.units, self.expires, self.spent, self.state)

    def has_lapsed(self, now: Instant) -> bool:
        """Return whether the lease has expired without being settled: all of it counts as spent for now."""
        return self.state is LeaseState.LIVE and self.expires <= now


class HeldState(Enum):
    """The state of a lease at its holder. An ended lease is deleted."""

    OPEN = "open"
    """Consumptions spend from it, until it expires or its window ends."""

    CLOSING = "closing"
    """Nothing spends from it any more; the ledger does not know that yet, or its reply was lost."""

    ENDED = "ended"

    __hash__ = object.__hash__  # as fast as it gets: members are compared by identity


class HeldEvent(Enum):
    """What can happen to a lease at its holder."""

    SPEND = auto()
    RESERVE = auto()
    COMMIT = auto()
    """A reservation is committed, released or over; the lease may have expired meanwhile."""

    RENEW = auto()
    CLOSE = auto()
    END = auto()
    """The ledger settled it, or does not know it."""

    __hash__ = object.__hash__  # as fast as it gets: members are compared by identity


HELD_TRANSITIONS: Final[dict[tuple[HeldState, HeldEvent], HeldState]] = {
    (HeldState.OPEN, HeldEvent.SPEND): HeldState.OPEN,
    (HeldState.OPEN, HeldEvent.RESERVE): HeldState.OPEN,
    (HeldState.OPEN, HeldEvent.COMMIT): HeldState.OPEN,
    (HeldState.OPEN, HeldEvent.RENEW): HeldState.OPEN,
    (HeldState.OPEN, HeldEvent.CLOSE): HeldState.CLOSING,
    # The ledger does not know the lease: it was restored from a backup.
    (HeldState.OPEN, HeldEvent.END): HeldState.ENDED,
    (HeldState.CLOSING, HeldEvent.END): HeldState.ENDED,
}
"""The next state. A pair that is missing here cannot occur: a lease with reserved units is not closed."""


class HeldLease(msgspec.Struct):
    """One lease, as its holder keeps it. `expires`: by the holder's clock. `spent` + `reserved` ≤ `units`."""

    number: int
    account: Account
    units: int
    expires: Instant
    until: Instant
    spent: int = 0
    reserved: int = 0
    state: HeldState = HeldState.OPEN

    @property
    def left(self) -> int:
        """Units that are neither spent nor reserved."""
        return self.units - self.spent - self.reserved

    def copy(self) -> HeldLease:
        """Return a copy that can be changed without changing this one."""
        return HeldLease(
            self.number, self.account, self.units, self.expires, self.until, self.spent, self.reserved, self.state
        )

    def is_spendable(self, now: Instant) -> bool:
        """Return whether units may be spent or reserved now."""
        return self.state is HeldState.OPEN and now < self.expires and now < self.until


class LeaseTerms(NamedTuple):
    """How the ledger grants leases.

    `term_ms`: how long a lease lasts. `shares`: each lease is at most 1 / `shares` of an equal part of what is
    available, so that leases shrink as the rest shrinks. `clock_skew_ms`: by how much the clocks of holders may be
    wrong: units of a window are leased so long before its start and after its end. `recall_ms`: how soon holders give
    back what they do not need.
    """

    term_ms: int = 10_000
    shares: int = 8
    clock_skew_ms: int = 60_000
    recall_ms: int = 1_500


DEFAULT_TERMS: Final = LeaseTerms()
"""How leases are granted unless something else is set."""


class Pace(NamedTuple):
    """How a holder asks for leases, and gives them back.

    `horizon_ms`: a lease should last so long at the present rate, or four round trips if these are longer. `idle_ms`: a
    lease that nothing was spent from for so long is given back; `idle_scarce_ms`: where little is available.
    `report_ms`: consumptions are reported at the latest after so long, at most `report_max` at once. `renew_ms`: a
    lease in use is renewed so long before it expires.
    """

    horizon_ms: int = 500
    idle_ms: int = 1_000
    idle_scarce_ms: int = 100
    report_ms: int = 1_000
    renew_ms: int = 5_000
    report_max: int = 5_000


DEFAULT_PACE: Final = Pace()
"""How holders ask for leases unless something else is set."""


def holder_name(identity: str) -> str:
    """Return the name of a holder, which people see: 16 hexadecimal digits. Its identity is a secret."""
    return hashlib.sha256(identity.encode()).hexdigest()[:16]


def lease_units(need: Need, available: int, leases: int, shares: int) -> int:
    """Return how many units to lease of `available` ones, which are at least `need.need`.

    `leases`: how many leases of the account there are. Where little is available, these are the units that consumptions
    wait for: so the last unit can be sold, and no unit stays in a lease.
    """
    share = available // (shares * (leases + 1))
    return min(AMOUNT_MAX, max(need.need, min(need.waiting, available), min(need.want, share)))


def next_size(size: int, need: int, since_ms: int, horizon_ms: int) -> int:
    """Return how many units a holder wants.

    `size`: what it wanted the last time, `since_ms` ago. Grows twofold while leases last less than the horizon, and
    follows the rate down.
    """
    if since_ms < horizon_ms:
        return max(need, 2 * size)
    return max(need, size * horizon_ms // since_ms)
