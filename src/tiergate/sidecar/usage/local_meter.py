"""The meter of a sidecar that counts alone: a book in memory, and a journal that makes it durable.

Cedar decides with the exact usage of this book, and nobody else debits it. Usage moves in memory at once, so that the
next check sees it; it is taken back if it cannot be written.
"""

from __future__ import annotations

import logging
from operator import is_
from typing import TYPE_CHECKING, Final

from tiergate.engine.evaluator import Denial
from tiergate.engine.metered_limits import drawn_amount
from tiergate.errors import RequestError
from tiergate.model import (
    BEGINNING,
    FOREVER,
    NO_METERED_USAGE,
    Interval,
    MeteredUsage,
    SpendOrder,
    Subject,
    SubjectType,
    format_instant,
)
from tiergate.model.features import DEFAULT_LATE_MS
from tiergate.sidecar.metrics import UsageReport
from tiergate.sidecar.time_slicing import run_in_slices
from tiergate.sidecar.usage.account_windows import AccountWindows, is_window_over, limit_at
from tiergate.sidecar.usage.book import DEFAULT_KEYS, Book
from tiergate.sidecar.usage.book_bounds import NO_PARTS, BookBounds, parts_given_back, parts_of, rolled_over_into
from tiergate.sidecar.usage.book_records import (
    CUSTOMER,
    EVERYBODY,
    SUBSCRIPTION,
    USER,
    Ended,
    Entry,
    Nothing,
    Reserved,
    Used,
    decode_record,
    encode_record,
)
from tiergate.sidecar.usage.journal import DEFAULT_BUDGET, Journal
from tiergate.sidecar.usage.meter import Draft
from tiergate.usage.pools import rollover_source

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tiergate.engine import Evaluator
    from tiergate.errors import JournalError
    from tiergate.model import Feature, Instant, Metered
    from tiergate.sidecar.state import State
    from tiergate.sidecar.usage.book_records import (
        AccountId,
        BookRecord,
        EndedReservation,
        EndState,
        KeyUse,
        Reservation,
        WindowUse,
    )
    from tiergate.sidecar.usage.meter import Done
    from tiergate.sidecar.usage.usage_service import UsageCounts
    from tiergate.usage.bounds import ResolvedBound
    from tiergate.usage.windows import UsageWindows

_logger = logging.getLogger(__name__)

AHEAD_MS: Final = 60_000
"""How far in the future usage after the fact may be, in milliseconds: clocks differ."""

_SNAPSHOT_AFTER: Final = 8 * 2**20
"""Bytes of records after which the journal is replaced by a snapshot, if they are twice the snapshot's."""

_MOST_CACHED: Final = 200_000


class LocalMeter:
    """A `Meter` and a `UsageSource`. Not for several threads."""

    def __init__(self, state: State, book: Book, journal: Journal) -> None:
        self.book = book
        self.journal = journal
        self._state = state
        self._windows = AccountWindows(self._evaluator)
        self._bounds = BookBounds(book)
        self._rolled_over: dict[AccountId, tuple[tuple[object, ...], Interval, int]] = {}
        self._is_compacting = False

    @classmethod
    def open(
        cls, state: State, folder: Path, *, budget: int = DEFAULT_BUDGET, most_keys: int = DEFAULT_KEYS
    ) -> LocalMeter:
        """Open the journal in a folder that nobody else uses, and read the book from it.

        Raises:
            JournalError: if it cannot be read.
        """
        book = Book(most_keys)
        journal = Journal.open(folder, lambda content: book.apply(decode_record(content)), budget=budget)
        return cls(state, book, journal)

    def _evaluator(self) -> Evaluator:
        current = self._state.current
        if current is None:
            raise RequestError(503, "not ready", "no data is loaded yet")
        return current.engine.evaluator

    # ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def usage_of(self, subject: Subject, feature: Feature, now: Instant) -> MeteredUsage:
        """Return the usage of a metered feature, and of the feature that it draws on."""
        usage = NO_METERED_USAGE if feature.metered is None else self._usage(subject, feature, now)
        if feature.draws is not None:
            source = self._evaluator().index.features.get(feature.draws.source)
            if source is not None and source.metered is not None:
                usage = usage._replace(drawn=self._usage(subject, source, now))
        return usage

    def _usage(self, subject: Subject, feature: Feature, now: Instant) -> MeteredUsage:
        plain = self._plain_window(subject, feature, now)
        if plain is not None:
            id_, window = plain
            use = _find(self.book.windows(id_), window.start)
            used = 0 if use is None else use.used
            return MeteredUsage(used, 0, 0, 0, window.start, window.until, BEGINNING, window.until)
        is_customer = subject.type is SubjectType.CUSTOMER
        owner = subject if subject.user is None else Subject(subject.id, subject.type)
        id_ = _account(owner, feature.id)
        windows = self._windows.of_subject(owner, feature, now)
        window = self._bounds.window(id_, windows, now)
        uses = self.book.windows(id_)
        use = _find(uses, window.start)
        until = window.until
        user_used = total_used = 0
        if subject.user is not None:
            customer = owner if is_customer else self._customer_of(owner, now)
            of_customer = window if is_customer else self._window_of(customer, feature, now)
            of_user = _find(self.book.windows((feature.id, USER, customer.id, subject.user)), of_customer.start)
            user_used = 0 if of_user is None else of_user.used
            until = min(until, of_customer.until)
        if feature.caps.total is not None:
            everybody = (feature.id, EVERYBODY, "", "")
            of_everybody = self._bounds.window(everybody, self._windows.of_feature(feature), now)
            of_all = _find(self.book.windows(everybody), of_everybody.start)
            total_used = 0 if of_all is None else of_all.used
            until = min(until, of_everybody.until)
        start, end = window.start, window.until
        if use is None and windows.opens_with_use:  # no window is open: the next use begins one
            start, end, until = (uses[-1].until if uses else BEGINNING), FOREVER, FOREVER
        granted = self._granted(owner, feature, id_, windows, now)
        return MeteredUsage(
            0 if use is None else use.used, user_used, total_used, granted, start, end, BEGINNING, until
        )

    def _plain_window(self, subject: Subject, feature: Feature, now: Instant) -> tuple[AccountId, Interval] | None:
        """Return the one account of a customer's usage and its current window; `None` if there may be more to it."""
        windows = self._windows.plain(feature)
        if windows is None or subject.user is not None or subject.type is not SubjectType.CUSTOMER:
            return None
        id_ = (feature.id, CUSTOMER, subject.id, "")
        return id_, self._bounds.window(id_, windows, now)

    def _granted(self, owner: Subject, feature: Feature, id_: AccountId, windows: UsageWindows, now: Instant) -> int:
        """Return what rolled over into the current window of an account."""
        metered = feature.metered
        if metered is None or not metered.rollover_max:
            return 0
        evaluator, uses = self._evaluator(), self.book.windows(id_)
        active = evaluator.find_subject(owner, now)
        if isinstance(active, Denial):
            return 0
        rests_on = (active, evaluator, windows, uses)
        known = self._rolled_over.get(id_)
        if known is None or not all(map(is_, known[0], rests_on)) or not known[1].start <= now < known[1].until:
            resolved = self._resolve(owner, feature, metered, id_, windows, now, now)
            grant = rolled_over_into(resolved)
            if len(self._rolled_over) >= _MOST_CACHED:
                self._rolled_over.clear()
            known = rests_on, resolved.bound.window, 0 if grant is None else grant.amount
            self._rolled_over[id_] = known
        return known[2]

    def _resolve(
        self,
        owner: Subject,
        feature: Feature,
        metered: Metered,
        id_: AccountId,
        windows: UsageWindows,
        at: Instant,
        now: Instant,
    ) -> ResolvedBound:
        evaluator = self._evaluator()
        return self._bounds.resolve(
            metered, windows, id_, at, now, lambda instant: limit_at(evaluator, owner, feature, instant)
        )

    def reserved(self, subject: Subject, feature: Feature, now: Instant) -> int:
        """Return the units of open reservations in the current window of a subject."""
        if feature.metered is None:
            return 0
        owner = subject if subject.user is None else Subject(subject.id, subject.type)
        use = _find(self.book.windows(_account(owner, feature.id)), self._window_of(owner, feature, now).start)
        return 0 if use is None else use.reserved

    def _window_of(self, owner: Subject, feature: Feature, now: Instant) -> Interval:
        return self._bounds.window(_account(owner, feature.id), self._windows.of_subject(owner, feature, now), now)

    def _customer_of(self, subscription: Subject, now: Instant) -> Subject:
        active = self._evaluator().find_subject(subscription, now)
        if isinstance(active, Denial):
            raise RequestError(404, "unknown subject", f"no subscription `{subscription.id}`", field="/subject")
        return Subject(active.record.customer.id)

    # ── drafts ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def prepare(self, subject: Subject, feature: Feature, amount: int, now: Instant) -> None:
        """Return `None`: the book is here."""

    def draft(self, subject: Subject, feature: Feature, amount: int, now: Instant, at: Instant | None = None) -> Draft:
        """Return the change that a consumption makes."""
        plain = self._plain_window(subject, feature, now) if at is None else None
        if plain is not None:
            id_, window = plain
            return Draft((Entry(id_, window.start, window.until, amount),), subject.id, (), (feature.id,))
        owner = subject if subject.user is None else Subject(subject.id, subject.type)
        customer = owner if subject.type is SubjectType.CUSTOMER else self._customer_of(owner, now)
        entries: list[Entry] = []
        features: tuple[str, ...] = ()
        if feature.metered is not None:
            self._add(entries, owner, customer, subject.user, feature, amount, now, at)
            features = (feature.id,)
        if feature.draws is not None:
            source = self._evaluator().index.features.get(feature.draws.source)
            if source is not None and source.metered is not None:
                self._add(entries, owner, customer, subject.user, source, drawn_amount(feature, amount), now, at)
                features = (*features, source.id)
        return Draft(tuple(entries), customer.id, self._outdated(owner, subject.user, now), features)

    def _outdated(self, owner: Subject, user: str | None, now: Instant) -> tuple[str, ...]:
        """Return the subscriptions whose answers change: all of the customer's where a user's usage moves."""
        if user is not None:
            active = self._evaluator().find_subject(owner, now)
            if not isinstance(active, Denial):
                return tuple(subscription.id for subscription in active.record.subscriptions)
        return (owner.id,) if owner.type is SubjectType.SUBSCRIPTION else ()

    def _add(
        self,
        entries: list[Entry],
        owner: Subject,
        customer: Subject,
        user: str | None,
        feature: Feature,
        amount: int,
        now: Instant,
        at: Instant | None,
    ) -> None:
        name = feature.id
        window = self._add_one(entries, customer, feature, amount, now, at)
        if owner is not customer:
            self._add_one(entries, owner, feature, amount, now, at)
        if user is not None:
            entries.append(Entry((name, USER, customer.id, user), window.start, window.until, amount))
        if feature.caps.total is not None:
            windows = self._windows.of_feature(feature)
            whole = self._chosen(Subject(""), feature, (name, EVERYBODY, "", ""), windows, now, at).bound.window
            entries.append(Entry((name, EVERYBODY, "", ""), whole.start, whole.until, amount))

    def _add_one(
        self, entries: list[Entry], owner: Subject, feature: Feature, amount: int, now: Instant, at: Instant | None
    ) -> Interval:
        id_ = _account(owner, feature.id)
        windows = self._windows.of_subject(owner, feature, now)
        resolved = self._chosen(owner, feature, id_, windows, now, at)
        window = resolved.bound.window
        if feature.metered is None or not feature.metered.rollover_max or id_[1] != CUSTOMER:
            entries.append(Entry(id_, window.start, window.until, amount))
            return window
        use = _find(self.book.windows(id_), window.start)
        parts = parts_of(use, resolved, amount, now if at is None else at)
        grant = rolled_over_into(resolved)
        granted, source = (0, None) if grant is None else (grant.amount, rollover_source(grant.id))
        entries.append(Entry(id_, window.start, window.until, amount, 0, granted, source, *parts))
        return window

    def _chosen(
        self,
        owner: Subject,
        feature: Feature,
        id_: AccountId,
        windows: UsageWindows,
        now: Instant,
        at: Instant | None,
    ) -> ResolvedBound:
        """Return what limits an account in the window of an instant, if usage in it is accepted."""
        if feature.metered is None:
            raise ValueError(f"`{feature.id}` is not metered")
        self._bounds.window(id_, windows, now)  # the end of the open one may have moved
        if at is not None and at > now + AHEAD_MS:
            detail = f"the usage is of {format_instant(at)}, which is in the future"
            raise RequestError(422, "usage in the future", detail, field="/at")
        resolved = self._resolve(owner, feature, feature.metered, id_, windows, now if at is None else at, now)
        window = resolved.bound.window
        if not windows.accepts(window, now):
            detail = f"the window of the usage ended at {format_instant(window.until)}, and is closed"
            raise RequestError(422, "usage too late", detail, field="/at")
        return resolved

    # ── changing ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def find_key(self, key: bytes, now: Instant) -> KeyUse | None:
        """Return what an idempotency key was used for."""
        return self.book.find_key(key, now)

    def count(self, draft: Draft, at: Instant, key: KeyUse | None, done: Done) -> None:
        """Count usage of an instant."""
        self._change(Used(at, draft.entries, key), (draft,), done)

    def reserve(self, draft: Draft, reservation: Reservation, now: Instant, key: KeyUse | None, done: Done) -> None:
        """Set units aside."""
        self._change(Reserved(now, reservation, key), (draft,), done)

    def reservation(self, id_: str) -> Reservation | EndedReservation | None:
        """Return a reservation, also for a while after its end."""
        return self.book.reservations.get(id_) or self.book.ended.get(id_)

    def end(self, reservation: Reservation, consumed: int, now: Instant, *, committed: bool, done: Done) -> None:
        """End a reservation: so many units are used, the others are given back."""
        self._end(reservation, consumed, now, "committed" if committed else "released", done)

    def sync(self, done: Done) -> None:
        """Call `done` when everything before is on disk."""
        self.journal.append(encode_record(Nothing()), done)

    def _end(self, reservation: Reservation, consumed: int, now: Instant, state: EndState, done: Done) -> None:
        drawn = -(-consumed * reservation.cost // 10**reservation.scale) if reservation.source else 0
        entries = tuple(
            self._given_back(entry, drawn if entry.account[0] == reservation.source else consumed, now)
            for entry in reservation.entries
        )
        customers = {entry.account[2] for entry in entries if entry.account[1] == CUSTOMER}
        subscriptions = tuple({entry.account[3] for entry in entries if entry.account[1] == SUBSCRIPTION})
        features = tuple({entry.account[0] for entry in entries})
        drafts = [Draft(entries, customer, subscriptions, features) for customer in customers]
        if any(entry.account[1] == USER for entry in entries):
            drafts = [draft._replace(subscriptions=self._subscriptions_of(draft.customer, now)) for draft in drafts]
        self._change(Ended(reservation.id, now, state, consumed, entries), drafts, done)

    def _given_back(self, entry: Entry, consumed: int, now: Instant) -> Entry:
        """Return the end of a reservation's entry of which so many units are used."""
        returned = entry.used - consumed
        parts = NO_PARTS
        use = _find(self.book.windows(entry.account), entry.start)
        if returned and use is not None and (use.from_grant or use.overage):
            feature = self._evaluator().index.features.get(entry.account[0])
            metered = None if feature is None else feature.metered
            order = SpendOrder.ALLOWANCE_FIRST if metered is None else metered.spend
            parts = parts_given_back(use, order, returned, now)
        return Entry(entry.account, entry.start, entry.until, -returned, -entry.reserved, 0, None, *parts)

    def _subscriptions_of(self, customer: str, now: Instant) -> tuple[str, ...]:
        active = self._evaluator().find_subject(Subject(customer), now)
        if isinstance(active, Denial):
            return ()
        return tuple(subscription.id for subscription in active.record.subscriptions)

    def _change(self, record: BookRecord, drafts: Sequence[Draft], done: Done) -> None:
        """Change the book now, and call `done` when that is on disk; take it back if it cannot be."""

        def finish(error: JournalError | None) -> None:
            if error is not None:
                self.book.undo(record)
                self._announce(drafts)
            done(error)

        self.journal.append(encode_record(record), finish)
        self.book.apply(record)
        self._announce(drafts)

    def _announce(self, drafts: Sequence[Draft]) -> None:
        for draft in drafts:
            self._state.usage_changed(draft.customer, draft.subscriptions, draft.features)

    # ── in the background ────────────────────────────────────────────────────────────────────────────────────────────

    async def tick(self, now: Instant) -> None:
        """Do what is due: end reservations whose time is over, and replace a long journal by a snapshot."""
        if self._state.current is None:
            return
        for reservation in [it for it in self.book.reservations.values() if it.expires <= now]:
            self._end(reservation, 0, now, "expired", _ignore)
        if self.journal.since_snapshot > max(_SNAPSHOT_AFTER, self.journal.size // 2) and not self._is_compacting:
            self._is_compacting = True
            try:
                await run_in_slices(self.book.forget_old(now, lambda account, use: self._is_over(account, use, now)))
                self.journal.begin_snapshot(self.book.snapshot())
            finally:
                self._is_compacting = False

    def _is_over(self, account: AccountId, use: WindowUse, now: Instant) -> bool:
        feature = self._evaluator().index.features.get(account[0])
        if feature is None or feature.metered is None:
            return is_window_over(None, use, now, DEFAULT_LATE_MS, rolls=False)
        return is_window_over(
            self._bounds.windows_used(account),
            use,
            now,
            feature.metered.late,
            rolls=bool(feature.metered.rollover_max),
        )

    def report(self, counts: UsageCounts) -> UsageReport:
        """Return what `/status` and the metrics show."""
        book, journal = self.book, self.journal
        return UsageReport(
            outcomes=counts.outcomes(),
            journal_bytes=journal.size,
            budget_bytes=journal.budget,
            pending=journal.pending,
            error=None if journal.failed is None else journal.failed.detail,
            accounts=len(book.accounts),
            reservations=len(book.reservations),
            keys=len(book.keys),
            keys_forgotten=book.keys.forgotten_early,
            syncs=journal.counts.syncs,
            late=counts.late(),
        )

    def start(self) -> None:
        """Begin to write, in the running event loop."""
        self.journal.start()

    def close(self) -> None:
        """Close the journal."""
        self.journal.close()


def _account(owner: Subject, feature: str) -> AccountId:
    """Return the account of a customer or a subscription."""
    if owner.type is SubjectType.CUSTOMER:
        return feature, CUSTOMER, owner.id, ""
    return feature, SUBSCRIPTION, "", owner.id


def _find(uses: tuple[WindowUse, ...], start: Instant) -> WindowUse | None:
    for use in reversed(uses):
        if use.start == start:
            return use
    return None


def _ignore(error: JournalError | None) -> None:
    """The journal logs its errors; the next tick tries again."""
