"""The ledger: counts usage, and leases units to holders. The authority about how much was used.

It acts on `LedgerRecords` and changes nothing else. It reads no clock: `now` is an argument. It does not know features
or customers: `bound_of` returns what limits an account. Rules:

1. Units are debited before they are spent: `booked + leased` passes a ceiling only by reports, records and corrections
   of what has already happened, or when the ceiling falls.
2. Only the holder gives units of a lease back. An expired lease stays counted.
3. A request takes effect once: the last one of each holder is answered again with the same reply. Each number of a
   holder's consumptions is booked once, and each key once.
4. An operation takes effect as a whole or not at all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from tiergate.usage.accounts import AMOUNT_MAX, DEBITS_MAX, SUM_MAX
from tiergate.usage.bookings import ceiling_of, draw, figures_of, give_back, is_settled, limit_of
from tiergate.usage.idempotency import KEY_TTL_MS, KeyRecord
from tiergate.usage.leases import DEFAULT_TERMS, LEASE_TRANSITIONS, LeaseEvent, LeaseRecord, LeaseState, lease_units
from tiergate.usage.ledger_records import Booking, HolderRecord
from tiergate.usage.protocol import (
    LEASES_MAX,
    OPERATIONS_MAX,
    REPORT_MAX,
    VERSION,
    Acquire,
    Booked,
    Correct,
    DirectDebit,
    Fault,
    Figured,
    Granted,
    Greeted,
    Hello,
    KeyedUse,
    Lease,
    NotRenewed,
    Read,
    Reason,
    Record,
    Refused,
    Renew,
    Renewed,
    Reply,
    Report,
    Settle,
    Settled,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Container

    from tiergate.model import Instant, Interval
    from tiergate.usage.accounts import Account, AccountRecord, Bound, Consumption, Figures
    from tiergate.usage.leases import LeaseTerms
    from tiergate.usage.ledger_records import LedgerRecords
    from tiergate.usage.protocol import Operation, Request, Result, Spend

    BoundOf = Callable[[Account, Instant], Bound | None]
    """What limits an account at an instant; `None`: there is no such feature or subject."""


class Ledger:
    """The ledger at one instant, in one transaction of `records`, which the caller commits or rolls back."""

    def __init__(
        self, records: LedgerRecords, bound_of: BoundOf, now: Instant, terms: LeaseTerms = DEFAULT_TERMS
    ) -> None:
        self._records = records
        self._bound_of = bound_of
        self._now = now
        self._terms = terms
        self._touched: dict[Account, None] = {}

    # ── a holder's request ───────────────────────────────────────────────────────────────────────────────────────────

    def exchange(self, request: Request) -> Reply:
        """Act on a request of a holder. A reply with a fault means that nothing changed."""
        known = self._records.holder(request.holder)
        fault = self._fault(request, known)
        if fault is not None:
            return Reply(request.holder, request.epoch, request.sequence, fault=fault)
        if known is not None and (known.epoch, known.sequence) == (request.epoch, request.sequence) and known.reply:
            return known.reply
        self._touched = {}
        holder = known or HolderRecord(request.holder, 0, b"", 0, 0, 0, 0, None, self._now)
        holder = replace(
            holder,
            epoch=request.epoch,
            instance=request.instance,
            sequence=request.sequence,
            reply=None,
            seen=self._now,
        )
        self._records.set_holder(holder)
        if request.report is not None:
            self._book_report(request.holder, request.report)
        results = tuple(self._act(request.holder, operation) for operation in request.operations)
        holder = self._holder(request.holder)
        reply = Reply(request.holder, request.epoch, request.sequence, holder.booked_through, results, self._figures())
        self._records.set_holder(replace(holder, reply=reply))
        return reply

    @staticmethod
    def _fault(request: Request, known: HolderRecord | None) -> Fault | None:
        """Return why a request must not be acted on (rule 3)."""
        if request.version != VERSION:
            return Fault.OTHER_VERSION
        epoch = 0 if known is None else known.epoch
        if request.epoch < epoch:
            return Fault.OLD_EPOCH
        greets = len(request.operations) == 1 and isinstance(request.operations[0], Hello) and request.report is None
        if request.epoch > epoch:
            return None if greets and request.sequence == 1 else Fault.OUT_OF_STEP
        if known is None or known.instance != request.instance:
            return Fault.OTHER_INSTANCE
        if request.sequence == known.sequence:
            return None
        if request.sequence != known.sequence + 1 or greets:
            return Fault.OUT_OF_STEP
        report = request.report
        if len(request.operations) > OPERATIONS_MAX or (
            report is not None
            and not (report.first == known.booked_through + 1 and 0 <= report.last - report.first < REPORT_MAX)
        ):
            return Fault.OUT_OF_STEP
        return None

    def _act(self, holder: str, operation: Operation) -> Result:
        match operation:
            case Hello():
                return self._greet(holder, operation)
            case Acquire():
                return self._acquire(holder, operation)
            case Renew():
                return self._renew(holder, operation)
            case Settle():
                return self._settle(holder, operation)
            case DirectDebit():
                return self.debit(operation.consumption, operation.answer)
            case Record():
                return self.record(operation.consumption, operation.answer)
            case Correct():
                return self.correct(operation.consumption, operation.answer)
            case Read():
                if len(operation.accounts) > OPERATIONS_MAX:
                    return Refused(Reason.TOO_MANY)
                self._touched.update(dict.fromkeys(operation.accounts))
                return Figured()

    def _greet(self, holder: str, hello: Hello) -> Greeted:
        """Begin an epoch. What the ledger lost (a backup was restored) it learns from the holder."""
        for lease in self._records.leases_of(holder, after=hello.last_lease):
            self._end(lease, LeaseEvent.TAKE_BACK)
        record = self._holder(holder)
        record = replace(
            record,
            booked_through=max(record.booked_through, hello.booked_through),
            last_lease=max(record.last_lease, hello.last_lease),
        )
        self._records.set_holder(record)
        return Greeted(record.booked_through, record.last_lease)

    # ── leases ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def _acquire(self, holder: str, acquire: Acquire) -> Granted | Refused:
        needs = acquire.needs
        if not _are_valid([need.account for need in needs], [need.need for need in needs], minimum=0):
            return Refused(Reason.INVALID)
        record = self._holder(holder)
        if record.leases + len(needs) > LEASES_MAX:
            return Refused(Reason.TOO_MANY)
        sizes = []
        for need in needs:
            self._touched[need.account] = None
            bound = self._open_bound(need.account, acquire.at)
            if isinstance(bound, Refused):
                return bound
            account = self._records.account(need.account)
            available = self._available(account, bound)
            if available < need.need:
                elsewhere = account.leased > need.held
                reason = Reason.LEASED_ELSEWHERE if elsewhere else Reason.LIMIT_REACHED
                return Refused(reason, need.account, self._terms.recall_ms if elsewhere else 0)
            sizes.append((bound, lease_units(need, available, account.leases, self._terms.shares)))
        leases = []
        number = record.last_lease
        for need, (bound, units) in zip(needs, sizes, strict=True):
            if units:
                number += 1
                leases.append(self._lease(holder, number, need.account, bound, units))
        self._records.set_holder(replace(record, last_lease=number, leases=record.leases + len(leases)))
        return Granted(tuple(leases))

    def _lease(self, holder: str, number: int, account: Account, bound: Bound, units: int) -> Lease:
        record = self._records.edit_account(account)
        record.until = bound.window.until
        draw(self._records, record, bound, units, self._instant_in(bound))
        record.leased += units
        record.leases += 1
        expires = min(self._now + self._terms.term_ms, bound.window.until + self._terms.clock_skew_ms)
        self._records.edit_lease(LeaseRecord(holder, number, account, units, expires))
        return Lease(number, account, units, expires - self._now, bound.window.until)

    def _renew(self, holder: str, renew: Renew) -> Renewed | NotRenewed:
        lease = self._records.lease(holder, renew.lease)
        if lease is None:
            return NotRenewed(renew.lease, known=False)
        self._touched[lease.account] = None
        if (lease.state, LeaseEvent.RENEW) not in LEASE_TRANSITIONS:
            return NotRenewed(renew.lease, known=True)
        account = self._records.account(lease.account)
        bound = self._current_bound(account)
        if bound is None or self._now >= bound.window.until:
            return NotRenewed(renew.lease, known=True)
        ceiling = ceiling_of(self._records, account, bound, self._now)
        if ceiling is not None and ceiling < account.booked + account.leased:
            return NotRenewed(renew.lease, known=True)
        self._records.edit_lease(lease).expires = self._now + self._terms.term_ms
        return Renewed(renew.lease, self._terms.term_ms)

    def _settle(self, holder: str, settle: Settle) -> Settled:
        lease = self._records.lease(holder, settle.lease)
        if lease is None:
            return Settled(settle.lease)
        self._touched[lease.account] = None
        if lease.spent == settle.spent:
            self._end(lease, LeaseEvent.SETTLE)
            return Settled(settle.lease)
        if (lease.state, LeaseEvent.WRITE_OFF) in LEASE_TRANSITIONS:  # the ends disagree: nothing is given back
            lease = self._write_off(lease)
        self._delete(lease)
        return Settled(settle.lease, agreed=False)

    def leases_of(self, holder: str) -> list[LeaseRecord]:
        """Return the leases of a holder that are not settled. They must not be changed."""
        return self._records.leases_of(holder)

    def write_off(self, holder: str, leases: Container[int] | None = None, *, spent: bool = True) -> int:
        """Give leases of a lost holder up, all or these: as spent, or as not spent. Return how many units that are."""
        units = 0
        for lease in self._records.leases_of(holder):
            is_meant = leases is None or lease.number in leases
            if is_meant and (lease.state, LeaseEvent.WRITE_OFF) in LEASE_TRANSITIONS:
                units += lease.units - lease.spent
                self._write_off(lease, spent=spent)
        return units

    def _write_off(self, lease: LeaseRecord, *, spent: bool = True) -> LeaseRecord:
        lease = self._records.edit_lease(lease)
        lease.state = LEASE_TRANSITIONS[lease.state, LeaseEvent.WRITE_OFF]
        rest = lease.units - lease.spent
        if not spent:
            lease.units = lease.spent  # so that what is reported later is booked besides
            self._return(lease, rest, booked=False)
            return lease
        account = self._records.edit_account(lease.account)
        account.leased -= rest
        account.booked += rest
        self._records.add_booking(Booking(lease.account, self._now, rest))
        return lease

    def _end(self, lease: LeaseRecord, event: LeaseEvent) -> None:
        """Give back what was not spent of a lease, and delete it."""
        written_off = lease.state is LeaseState.WRITTEN_OFF
        lease = self._records.edit_lease(lease)
        lease.state = LEASE_TRANSITIONS[lease.state, event]
        rest = lease.units - lease.spent
        if rest:
            self._return(lease, rest, booked=written_off)
        self._delete(lease)

    def _return(self, lease: LeaseRecord, units: int, *, booked: bool) -> None:
        """Give units of a lease back to the pools; `booked`: they were booked when the lease was written off."""
        account = self._records.edit_account(lease.account)
        if booked:
            units = min(units, account.booked)  # corrections may have taken some of them back
        bound = self._current_bound(account)
        give_back(self._records, account, bound, units, self._now)
        if booked:
            account.booked -= units
            self._records.add_booking(Booking(lease.account, self._now, -units))
        else:
            account.leased -= units

    def _delete(self, lease: LeaseRecord) -> None:
        self._records.edit_account(lease.account).leases -= 1
        holder = self._holder(lease.holder)
        self._records.set_holder(replace(holder, leases=holder.leases - 1))
        self._records.delete_lease(lease)

    # ── reports ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def _book_report(self, holder: str, report: Report) -> None:
        for use in report.uses:
            at = max(use.hour, use.spend.account.window)  # the window may begin within the hour
            self._book_spend(holder, use.spend, at, counts=True)
        for keyed in report.keyed:
            counts = self._is_first(keyed)
            for spend in keyed.spends:
                self._book_spend(holder, spend, keyed.at, counts=counts)
        self._records.set_holder(replace(self._holder(holder), booked_through=report.last))

    def _is_first(self, use: KeyedUse) -> bool:
        """Return whether a consumption counts: not if another sidecar booked the same key with the same content."""
        kept = self._kept(use.key)
        if kept is None:
            self._records.set_key(KeyRecord(use.key, use.digest, self._now))
            return True
        if use.digest in kept.contents:
            return False
        self._records.set_key(KeyRecord(kept.key, kept.digests + use.digest, kept.at, kept.answer))
        return True  # both were acknowledged, so both count

    def _book_spend(self, holder: str, spend: Spend, at: Instant, *, counts: bool) -> None:
        self._touched[spend.account] = None
        units = spend.amount
        lease = self._records.lease(holder, spend.lease) if spend.lease else None
        if lease is not None and lease.account == spend.account:
            covered = min(units, lease.units - lease.spent)
            units -= covered
            self._book_leased(lease, covered, at, counts=counts)
            if units and lease.state is LeaseState.WRITTEN_OFF:  # as not spent: the ends agree when it is settled
                lease = self._records.edit_lease(lease)
                lease.units, lease.spent = lease.units + units, lease.spent + units
        if units and counts:
            self._book(spend.account, self._bound_at(spend.account, at), units, at)

    def _book_leased(self, lease: LeaseRecord, units: int, at: Instant, *, counts: bool) -> None:
        written_off = lease.state is LeaseState.WRITTEN_OFF
        lease = self._records.edit_lease(lease)
        lease.state = LEASE_TRANSITIONS[lease.state, LeaseEvent.REPORT]
        lease.spent += units
        if not counts:
            self._return(lease, units, booked=written_off)
        elif not written_off:
            account = self._records.edit_account(lease.account)
            account.leased -= units
            account.booked += units
            self._records.add_booking(Booking(lease.account, at, units))

    def _book(self, account: Account, bound: Bound | None, units: int, at: Instant) -> None:
        record = self._records.edit_account(account)
        units = min(units, SUM_MAX - record.booked - record.leased)
        if bound is not None:
            record.until = bound.window.until
        draw(self._records, record, bound, units, at)
        record.booked += units
        self._records.add_booking(Booking(account, at, units))

    # ── without a lease ──────────────────────────────────────────────────────────────────────────────────────────────

    def debit(self, consumption: Consumption, answer: bytes = b"") -> Booked | Refused:
        """Consume within the ceilings: all of the debits, or none."""
        return self._book_directly(consumption, answer, within=True)

    def record(self, consumption: Consumption, answer: bytes = b"") -> Booked | Refused:
        """Book usage after the fact, whatever the ceilings, if its window has not ended too long ago."""
        return self._book_directly(consumption, answer, within=False)

    def _book_directly(self, consumption: Consumption, answer: bytes, *, within: bool) -> Booked | Refused:
        kept = self._check(consumption)
        if kept is not None:
            return kept
        bounds = []
        for debit in consumption.debits:
            bound = self._open_bound(debit.account, consumption.at, late=not within)
            if isinstance(bound, Refused):
                return bound
            bounds.append(bound)
            account = self._records.account(debit.account)
            if account.booked + account.leased + debit.amount > SUM_MAX:
                return Refused(Reason.INVALID, debit.account)
            if within and self._available(account, bound) < debit.amount:
                elsewhere = account.leased > 0
                reason = Reason.LEASED_ELSEWHERE if elsewhere else Reason.LIMIT_REACHED
                return Refused(reason, debit.account, self._terms.recall_ms if elsewhere else 0)
        for debit, bound in zip(consumption.debits, bounds, strict=True):
            self._book(debit.account, bound, debit.amount, consumption.at)
        self._keep(consumption, answer)
        return Booked()

    def correct(self, consumption: Consumption, answer: bytes = b"") -> Booked | Refused:
        """Take booked usage back: all of the debits, or none. Usage does not fall below 0."""
        kept = self._check(consumption)
        if kept is not None:
            return kept
        for debit in consumption.debits:
            if self._records.account(debit.account).booked < debit.amount:
                return Refused(Reason.BELOW_ZERO, debit.account)
        for debit in consumption.debits:
            account = self._records.edit_account(debit.account)
            bound = self._bound_at(debit.account, consumption.at)
            give_back(self._records, account, bound, debit.amount, consumption.at)
            account.booked -= debit.amount
            self._records.add_booking(Booking(debit.account, consumption.at, -debit.amount))
        self._keep(consumption, answer)
        return Booked()

    def figures(self, account: Account) -> Figures:
        """Return the figures of an account."""
        record = self._records.account(account)
        return figures_of(self._records, record, self._current_bound(record), self._now)

    def window_of(self, account: Account, at: Instant) -> Interval | None:
        """Return the window in which usage of an instant counts, whichever `account` names; `None`: unknown account."""
        bound = self._bound_of(account, at)
        return None if bound is None else bound.window

    def limit_at(self, account: Account, at: Instant) -> int | None:
        """Return the limit of an account at an instant, with grants, whichever window it names; `None`: unlimited.

        Nothing is allowed to a subject or of a feature that does not exist.
        """
        bound = self._bound_of(account, at)
        if bound is None:
            return 0
        return limit_of(self._records, self._records.account(account.in_window(bound.window.start)), bound, at)

    def settle_pools(self, account: Account) -> None:
        """Let pools take overage over after a grant or a limit has changed; an account without usage stays without."""
        record = self._records.account(account)
        if record.version and not is_settled(self._records, record, bound := self._current_bound(record), self._now):
            draw(self._records, self._records.edit_account(account), bound, 0, self._now)

    # ── shared ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def _check(self, consumption: Consumption) -> Booked | Refused | None:
        """Return the answer to a consumption that is invalid, or whose key is known."""
        debits = consumption.debits
        if not _are_valid([debit.account for debit in debits], [debit.amount for debit in debits], minimum=1):
            return Refused(Reason.INVALID)
        self._touched.update((debit.account, None) for debit in debits)
        kept = self._kept(consumption.key)
        if kept is None:
            return None
        if consumption.digest not in kept.contents:
            return Refused(Reason.KEY_CONFLICT)
        return Booked(repeated=True, answer=kept.answer if consumption.digest == kept.contents[0] else b"")

    def _kept(self, key: bytes) -> KeyRecord | None:
        kept = self._records.key(key) if key else None
        return None if kept is None or self._now - kept.at >= KEY_TTL_MS else kept

    def _keep(self, consumption: Consumption, answer: bytes) -> None:
        if consumption.key:
            self._records.set_key(KeyRecord(consumption.key, consumption.digest, self._now, answer))

    def _open_bound(self, account: Account, at: Instant, *, late: bool = False) -> Bound | Refused:
        """Return what limits an account, if its window is the one of `at` and open; `late`: or ended not long ago."""
        bound = self._bound_of(account, at)
        if bound is None:
            return Refused(Reason.UNKNOWN_ACCOUNT, account)
        if bound.window.start != account.window:
            other = account.in_window(bound.window.start)
            self._touched[other] = None
            return Refused(Reason.OTHER_WINDOW, other)
        skew = self._terms.clock_skew_ms
        if self._now >= bound.window.until + max(skew, bound.late_ms if late else 0) or (
            bound.window.start > self._now + skew
        ):
            return Refused(Reason.WINDOW_CLOSED, account)
        return bound

    def _current_bound(self, record: AccountRecord) -> Bound | None:
        """Return what limits an account now; in a window that has ended, what limited it at its end."""
        return self._bound_at(record.account, max(record.account.window, min(self._now, record.until - 1)))

    def _bound_at(self, account: Account, at: Instant) -> Bound | None:
        """Return what limits an account at an instant; `None` also if the instant is not in its window any more."""
        bound = self._bound_of(account, at)
        return bound if bound is not None and bound.window.start == account.window else None

    def _available(self, record: AccountRecord, bound: Bound) -> int:
        ceiling = ceiling_of(self._records, record, bound, self._instant_in(bound))
        return (SUM_MAX if ceiling is None else ceiling) - record.booked - record.leased

    def _instant_in(self, bound: Bound) -> Instant:
        """Return the instant of a window that is closest to now: clocks may differ at its ends."""
        return max(bound.window.start, min(self._now, bound.window.until - 1))

    def _holder(self, holder: str) -> HolderRecord:
        record = self._records.holder(holder)
        return record or HolderRecord(holder, 0, b"", 0, 0, 0, 0, None, self._now)

    def _figures(self) -> tuple[Figures, ...]:
        return tuple(self.figures(account) for account in self._touched)


def _are_valid(accounts: list[Account], amounts: list[int], *, minimum: int) -> bool:
    return (
        1 <= len(accounts) <= DEBITS_MAX
        and len(set(accounts)) == len(accounts)
        and all(minimum <= amount <= AMOUNT_MAX for amount in amounts)
    )
