"""The meter of a sidecar that follows a control plane: units are leased from the ledger, and spent from a journal here.

Cedar decides with the ledger's last figures and what was consumed here since. Before, `prepare` leases what the
consumption needs. What cannot be had is no longer available to this sidecar: then as much usage is shown as leaves just
the rest, for a moment, so that Cedar denies with `limit_reached` or `cap_reached`.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, NamedTuple

from tiergate.engine.metered_limits import drawn_amount
from tiergate.errors import RequestError
from tiergate.model import MeteredUsage, Subject, SubjectType
from tiergate.sidecar.metrics import LeaseReport, UsageReport
from tiergate.sidecar.usage.book_records import EndedReservation, Entry, KeyUse, Reservation
from tiergate.sidecar.usage.lease_accounts import Booking, ceiling_by_facts
from tiergate.sidecar.usage.leased_usage import LeasedUsage, owner_of
from tiergate.sidecar.usage.meter import Draft
from tiergate.usage.accounts import Account, Consumption, Debit, Scope
from tiergate.usage.holder import Conflicting, Full, NotReserved, Repeated, Short, TooMuch
from tiergate.usage.protocol import Reason
from tiergate.usage.reservations import ReservationState

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from tiergate.errors import JournalError
    from tiergate.model import Feature, Instant
    from tiergate.sidecar.state import State
    from tiergate.sidecar.usage.ledger_link import LedgerLink
    from tiergate.sidecar.usage.meter import Done
    from tiergate.sidecar.usage.usage_service import UsageCounts
    from tiergate.usage.protocol import Need, Refused

LEASE_SECONDS: Final = 2.0
"""How long a consumption waits for leases."""

_WINDOWS_MOST: Final = 4

_SCOPES: Final = {Scope.CUSTOMER: "c", Scope.SUBSCRIPTION: "s", Scope.USER: "u", Scope.EVERYBODY: "e"}
_OF_LETTER: Final = {letter: scope for scope, letter in _SCOPES.items()}


class _Plan(NamedTuple):
    """What a consumption books, and whether it may be counted without leases now."""

    bookings: tuple[Booking, ...]
    customer: str
    features: tuple[str, ...]
    allows_offline: bool

    @property
    def debits(self) -> tuple[Debit, ...]:
        return tuple(booking.debit for booking in self.bookings)


class LeaseMeter:
    """A `Meter` and a `UsageSource`. Not for several threads."""

    def __init__(self, state: State, link: LedgerLink) -> None:
        self.link = link
        self._state = state
        self._usage = LeasedUsage(state, link)
        self._accounts = self._usage.accounts
        self._planned: tuple[tuple[Subject, str, int, Instant], _Plan] | None = None
        self._refused = {"offline": 0, "leased_elsewhere": 0, "no_reply": 0}

    # ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def usage_of(self, subject: Subject, feature: Feature, now: Instant) -> MeteredUsage:
        """Return the usage of a metered feature, and of the feature that it draws on."""
        return self._usage.usage_of(subject, feature, now)

    def reserved(self, subject: Subject, feature: Feature, now: Instant) -> int:
        """Return the units of reservations here in the current window of a subject."""
        return self._usage.reserved_of(subject, feature, now)

    # ── what a consumption needs ─────────────────────────────────────────────────────────────────────────────────────

    def _plan(self, subject: Subject, feature: Feature, amount: int, now: Instant, at: Instant) -> _Plan:
        key = (subject, feature.id, amount, now)
        if at == now and self._planned is not None and self._planned[0] == key:
            return self._planned[1]
        owner = owner_of(subject)
        customer = self._accounts.customer_of(owner, now)
        if customer is None:
            raise RequestError(404, "unknown subject", f"no subscription `{subject.id}`", field="/subject")
        counted = [] if feature.metered is None else [(feature, amount)]
        source = self._usage.source_of(feature)
        if source is not None:
            counted.append((source, drawn_amount(feature, amount)))
        bookings = [
            booking
            for one, units in counted
            for booking in self._accounts.bookings(
                owner, customer, subject.user, one, units, now, at, lambda who, what: self._ceiling(who, what, now)
            )
        ]
        is_allowed = all(self._accounts.allows_offline(owner, one, now) for one, _ in counted)
        plan = _Plan(tuple(bookings), customer, tuple(one.id for one, _ in counted), is_allowed)
        if at == now:
            self._planned = key, plan
        return plan

    def _ceiling(self, owner: Subject, feature: Feature, now: Instant) -> int | None:
        customer = self._accounts.customer_of(owner, now) or ""
        account, _, _ = self._accounts.of_owner(owner, customer, feature, now)
        figures = self.link.holder.usage_of(account).figures
        granted = self._accounts.granted(owner, feature, figures, now)
        return ceiling_by_facts(self._accounts.facts(owner, feature, now), granted)

    def prepare(self, subject: Subject, feature: Feature, amount: int, now: Instant) -> Awaitable[None] | None:
        """Lease what a consumption needs, as far as it can be had; `None` if nothing must be waited for."""
        self.link.expect_usable()
        plan = self._plan(subject, feature, amount, now, now)
        needs = self.link.holder.shortage(plan.debits, now, now)
        is_bounded = any(booking.bounded for booking in plan.bookings)
        if self.link.is_offline(now) and (plan.allows_offline or not needs):
            return None
        if not needs and (self.link.holder.has_greeted or not is_bounded):
            return None
        return self._lease(subject, feature, amount)

    async def _lease(self, subject: Subject, feature: Feature, amount: int) -> None:
        link, clock = self.link, asyncio.get_running_loop().time
        deadline = clock() + LEASE_SECONDS
        windows = 0
        before = self._state.clock()
        bookings = self._plan(subject, feature, amount, before, before).bookings
        has_waited = any(self._usage.is_exhausted(booking.account, before) for booking in bookings)
        while True:
            now = self._state.clock()
            link.expect_usable()
            self._planned = None
            plan = self._plan(subject, feature, amount, now, now)
            needs = link.holder.shortage(plan.debits, now, now)
            if not needs and link.holder.has_greeted:
                return
            left = deadline - clock()
            if link.is_offline(now):
                if not plan.allows_offline:
                    self._refused["offline"] += 1
                    self._show_exhausted(plan, needs, now)
                return
            if left <= 0:
                self._refused["no_reply"] += 1
                raise _not_leased("the ledger did not lease the units in time")
            try:
                if not link.holder.has_greeted:
                    await link.greeted(left)
                    continue
                refused = await link.lease(needs, now, left)
            except TimeoutError:
                continue
            if refused is None:
                continue
            match refused.reason:
                case Reason.OTHER_WINDOW if windows < _WINDOWS_MOST:
                    windows += 1
                    self._open(refused)
                case Reason.LEASED_ELSEWHERE if not has_waited and refused.retry_after_ms / 1000 < deadline - clock():
                    has_waited = True
                    await asyncio.sleep(refused.retry_after_ms / 1000)
                case Reason.LEASED_ELSEWHERE | Reason.LIMIT_REACHED:
                    self._refused["leased_elsewhere"] += refused.reason is Reason.LEASED_ELSEWHERE
                    now = self._state.clock()
                    self._planned = None
                    plan = self._plan(subject, feature, amount, now, now)
                    self._show_exhausted(plan, link.holder.shortage(plan.debits, now, now), now, refused)
                    return
                case _:
                    raise _not_leased(f"the ledger refuses it: {refused.reason}")

    def _open(self, refused: Refused) -> None:
        """Use the window that the ledger named."""
        account = refused.account
        figures = None if account is None else self.link.holder.usage_of(account).figures
        if figures is not None:
            self._accounts.open(figures.account, figures.until)

    def _show_exhausted(
        self, plan: _Plan, needs: tuple[Need, ...], now: Instant, refused: Refused | None = None
    ) -> None:
        """Show as much usage of accounts as leaves what this sidecar has or can get: less than what is needed.

        `refused`: by the ledger; without it, the ledger is out of reach.
        """
        short = {need.account for need in needs}
        for booking in plan.bookings:
            account = booking.account
            if account not in short or booking.ceiling is None:
                continue
            held = self.link.holder.usage_of(account)
            rest = held.left
            if refused is not None:
                rest += 0 if held.figures is None else held.figures.available or 0
                if refused.account != account and rest >= booking.units:
                    continue
            rest = min(rest, booking.units - 1)
            self._usage.show(account, booking.ceiling - rest, now)

    def draft(self, subject: Subject, feature: Feature, amount: int, now: Instant, at: Instant | None = None) -> Draft:
        """Return the change that a consumption makes; `at`: after the fact, without leases."""
        plan = self._plan(subject, feature, amount, now, now if at is None else at)
        entries = tuple(
            Entry(_id_of(booking.account), booking.account.window, booking.until, booking.units)
            for booking in plan.bookings
        )
        subscriptions: tuple[str, ...] = ()
        if subject.user is not None:
            subscriptions = self._usage.subscriptions_of(plan.customer, now)
        elif subject.type is SubjectType.SUBSCRIPTION:
            subscriptions = (subject.id,)
        unleased = at is not None or (plan.allows_offline and self.link.is_offline(now))
        return Draft(entries, plan.customer, subscriptions, plan.features, plan.debits, unleased)

    # ── changing ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def find_key(self, key: bytes, now: Instant) -> KeyUse | None:
        """Return what an idempotency key was used for."""
        self.link.expect_usable()
        kept = self.link.holder.state.keys.find(key, now)
        return None if kept is None else KeyUse(key, kept.digest, kept.answer, kept.at)

    def count(self, draft: Draft, at: Instant, key: KeyUse | None, done: Done) -> None:
        """Count usage of an instant. Raises `RequestError` (503) if leases do not cover it, or there is no room."""
        link = self.link
        link.expect_usable()
        consumption, answer = _consumption(draft, at, key)
        outcome = link.holder.consume(consumption, answer, self._state.clock(), unleased=draft.unleased)
        if isinstance(outcome, Repeated | Conflicting | Short | Full):
            raise _not_counted(outcome)
        link.append(outcome.record, self._finish(draft, done))
        self._changed(draft)

    def reserve(self, draft: Draft, reservation: Reservation, now: Instant, key: KeyUse | None, done: Done) -> None:
        """Set units aside. Raises as `count`."""
        link = self.link
        link.expect_usable()
        consumption, answer = _consumption(draft, now, key)
        outcome = link.holder.reserve(reservation.id, consumption, answer, reservation.expires, now)
        if isinstance(outcome, Repeated | Conflicting | Short | Full):
            raise _not_counted(outcome)
        link.notes[reservation.id] = reservation
        self._usage.set_aside(((debit.account, debit.amount) for debit in draft.debits), 1)
        link.append(outcome.record, self._finish(draft, done), note=reservation)
        self._changed(draft)

    def reservation(self, id_: str) -> Reservation | EndedReservation | None:
        """Return a reservation, also for a while after its end."""
        self.link.expect_usable()
        note = self.link.notes.get(id_)
        held = self.link.holder.state.reservations.get(id_)
        if note is None or held is None:
            return None
        match held.state:
            case ReservationState.OPEN:
                return note
            case ReservationState.COMMITTED:
                return EndedReservation(note, held.ended, "committed", int(held.answer or b"0"))
            case ReservationState.RELEASED:
                return EndedReservation(note, held.ended, "released", 0)
            case ReservationState.EXPIRED:
                return EndedReservation(note, held.ended, "expired", 0)

    def end(self, reservation: Reservation, consumed: int, now: Instant, *, committed: bool, done: Done) -> None:
        """End a reservation: so many units are used, the others are given back."""
        link = self.link
        link.expect_usable()
        draft = self._draft_of(reservation, now)
        if committed:
            drawn = -(-consumed * reservation.cost // 10**reservation.scale) if reservation.source else 0
            debits = tuple(
                Debit(debit.account, drawn if debit.account.feature == reservation.source else consumed)
                for debit in draft.debits
            )
            outcome = link.holder.commit(reservation.id, debits, b"", str(consumed).encode(), now)
            if isinstance(outcome, Repeated | Conflicting | NotReserved | TooMuch | Full):
                raise _not_counted(outcome)
            link.append(outcome.record, self._finish(draft, done))
        else:
            released = link.holder.release(reservation.id, now)
            if isinstance(released, NotReserved):
                raise _not_counted(released)
            link.append(released, self._finish(draft, done))
        self._usage.set_aside(((debit.account, debit.amount) for debit in draft.debits), -1)
        self._changed(draft)

    def _draft_of(self, reservation: Reservation, now: Instant) -> Draft:
        """Return the draft that a reservation was made by."""
        debits = tuple(
            Debit(Account(id_[0], _OF_LETTER[id_[1]], id_[2], id_[3], entry.start), entry.used)
            for entry in reservation.entries
            for id_ in (entry.account,)
        )
        customer = next((debit.account.customer for debit in debits if debit.account.customer), "")
        features = tuple(dict.fromkeys(debit.account.feature for debit in debits))
        return Draft(reservation.entries, customer, self._usage.subscriptions_of(customer, now), features, debits)

    def sync(self, done: Done) -> None:
        """Call `done` when everything before is on disk."""
        self.link.sync(done)

    def _finish(self, draft: Draft, done: Done) -> Done:
        def finish(error: JournalError | None) -> None:
            if error is not None:
                self._changed(draft)
            done(error)

        return finish

    def _changed(self, draft: Draft) -> None:
        self._planned = None
        self._state.usage_changed(draft.customer, draft.subscriptions, draft.features)

    # ── in the background ────────────────────────────────────────────────────────────────────────────────────────────

    async def tick(self, now: Instant) -> None:
        """Do what is due: forget answers that rest on old figures, end reservations, replace a long journal."""
        if self._state.current is None:
            return
        self._usage.forget_old(now)
        try:
            self.link.expect_usable()
        except RequestError:
            return
        for record in self.link.holder.expire(now):
            self.link.append(record, _ignore)
            note = self.link.notes.get(record.id)
            if note is not None:
                draft = self._draft_of(note, now)
                self._usage.set_aside(((debit.account, debit.amount) for debit in draft.debits), -1)
                self._changed(draft)
        for id_ in [id_ for id_ in self.link.notes if id_ not in self.link.holder.state.reservations]:
            del self.link.notes[id_]
        self.link.compact(now)

    def report(self, counts: UsageCounts) -> UsageReport:
        """Return what `/status` and the metrics show."""
        link = self.link
        journal, state, now = link.journal, link.holder.state, self._state.clock()
        last = link.last_exchange
        leasing = LeaseReport(
            leases=len(state.leases),
            unreported=len(state.pending),
            exchanges=link.counts.exchanges,
            failures=link.counts.failures,
            disagreements=link.holder.disagreements,
            offline=link.is_offline(now),
            last_exchange=None if last is None else last / 1000,
            error=link.error,
            durations=link.counts.durations,
            refused=self._refused,
        )
        return UsageReport(
            outcomes=counts.outcomes(),
            journal_bytes=journal.size,
            budget_bytes=journal.budget,
            pending=journal.pending,
            error=None if journal.failed is None else journal.failed.detail,
            accounts=self._usage.size,
            reservations=state.open_reservations,
            keys=len(state.keys),
            keys_forgotten=state.keys.forgotten_early,
            syncs=journal.counts.syncs,
            late=counts.late(),
            leasing=leasing,
        )

    def start(self) -> None:
        """Begin to write and to exchange, in the running event loop."""
        self.link.start()

    async def run(self) -> None:
        """Exchange with the ledger, until cancelled."""
        await self.link.run()

    async def shut_down(self, seconds: float) -> None:
        """Report what is unreported, and give leases back, if that can be done in this time; after `run`."""
        await self.link.end(seconds)

    def close(self) -> None:
        """Close the journal."""
        self.link.close()


def _id_of(account: Account) -> tuple[str, str, str, str]:
    return account.feature, _SCOPES[account.scope], account.customer, account.member


def _consumption(draft: Draft, at: Instant, key: KeyUse | None) -> tuple[Consumption, bytes]:
    if key is None:
        return Consumption(b"", b"", at, draft.debits), b""
    return Consumption(key.key, key.digest, at, draft.debits), key.answer


def _not_leased(detail: str) -> RequestError:
    return RequestError(503, "usage not leased", f"{detail}; nothing was counted")


def _not_counted(outcome: Repeated | Conflicting | Short | Full | NotReserved | TooMuch) -> RequestError:
    match outcome:
        case Full():
            detail = "too much usage is unreported: nothing was counted"
            return RequestError(503, "usage storage full", detail)
        case Short():
            return _not_leased("others have leased the units meanwhile, or the ledger is out of reach")
        case NotReserved():
            return RequestError(409, "reservation ended", "the reservation ended meanwhile")
        case _:
            return RequestError(409, "idempotency key reused", "this key was used meanwhile", field="/key")


def _ignore(error: JournalError | None) -> None:
    """The journal logs its errors."""
