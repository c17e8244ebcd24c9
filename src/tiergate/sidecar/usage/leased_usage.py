"""Usage as a sidecar with leases knows it: the ledger's last figures, and what was consumed here since.

Figures of accounts that are only read are asked for, and again by who reads them when they are older than `REFRESH_MS`:
so long answers that rest on them are kept. What a consumption could not get is shown as usage for a moment, so that
Cedar denies it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from tiergate.engine.evaluator import Denial
from tiergate.errors import RequestError
from tiergate.model import BEGINNING, FOREVER, NO_METERED_USAGE, MeteredUsage, Subject
from tiergate.sidecar.usage.lease_accounts import LeaseAccounts
from tiergate.sidecar.usage.watched_accounts import WatchedAccounts
from tiergate.usage.accounts import Account, Scope
from tiergate.usage.reservations import ReservationState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from tiergate.engine import Evaluator
    from tiergate.model import Feature, Instant
    from tiergate.sidecar.state import State
    from tiergate.sidecar.usage.ledger_link import LedgerLink
    from tiergate.usage.accounts import Figures

REFRESH_MS: Final = 5_000
"""How old the figures of an account may be, in milliseconds, when they are read: then they are asked for again."""

_ASK_AGAIN_MS: Final = 2_000
_EXHAUSTED_MS: Final = 1_000
_MOST_CACHED: Final = 200_000


class _Exhausted(NamedTuple):
    """So much usage of an account is shown until an instant, because no more than the rest can be had here."""

    used: int
    until: Instant


class LeasedUsage:
    """A `UsageSource`. It takes over what the link learns."""

    def __init__(self, state: State, link: LedgerLink) -> None:
        self.accounts = LeaseAccounts(self.evaluator)
        self._state = state
        self._link = link
        self._read_at: dict[Account, Instant] = {}
        self._exhausted: dict[Account, _Exhausted] = {}
        self._reserved: dict[Account, int] = {}
        self._watched = WatchedAccounts()
        link.on_figures = self._learn
        link.on_reopened = self._begin
        self._begin()

    @property
    def size(self) -> int:
        """The number of accounts that are known."""
        return len(self._read_at)

    def _begin(self) -> None:
        """Take over the reservations of a holder that was read from the disk."""
        self._reserved.clear()
        for reservation in self._link.holder.state.reservations.values():
            if reservation.state is ReservationState.OPEN:
                self.set_aside(((spend.account, spend.amount) for spend in reservation.spends), 1)
        if self._state.current is not None:
            self.announce(list(self._read_at), self._state.clock())

    def evaluator(self) -> Evaluator:
        """Return that of the current generation. Raises `RequestError` (503) if there is none."""
        current = self._state.current
        if current is None:
            raise RequestError(503, "not ready", "no data is loaded yet")
        return current.engine.evaluator

    # ── what is here ─────────────────────────────────────────────────────────────────────────────────────────────────

    def set_aside(self, amounts: Iterable[tuple[Account, int]], sign: int) -> None:
        """Add units that are reserved, or with -1 take them away."""
        for account, units in amounts:
            total = self._reserved.get(account, 0) + sign * units
            if total > 0:
                self._reserved[account] = total
            else:
                self._reserved.pop(account, None)

    def show(self, account: Account, used: int, now: Instant) -> None:
        """Show at least so much usage of an account for a moment."""
        if len(self._exhausted) >= _MOST_CACHED:
            self._exhausted.clear()
        self._exhausted[account] = _Exhausted(used, now + _EXHAUSTED_MS)
        self.announce((account,), now)

    def is_exhausted(self, account: Account, now: Instant) -> bool:
        """Return whether somebody could not get units of an account a moment ago."""
        exhausted = self._exhausted.get(account)
        return exhausted is not None and now < exhausted.until

    # ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def usage_of(self, subject: Subject, feature: Feature, now: Instant) -> MeteredUsage:
        """Return the usage of a metered feature, and of the feature that it draws on."""
        usage = NO_METERED_USAGE if feature.metered is None else self._usage(subject, feature, now)
        source = self.source_of(feature)
        return usage if source is None else usage._replace(drawn=self._usage(subject, source, now))

    def source_of(self, feature: Feature) -> Feature | None:
        """Return the metered feature that a feature draws on."""
        if feature.draws is None:
            return None
        source = self.evaluator().index.features.get(feature.draws.source)
        return None if source is None or source.metered is None else source

    def _usage(self, subject: Subject, feature: Feature, now: Instant) -> MeteredUsage:
        owner = owner_of(subject)
        customer = self.accounts.customer_of(owner, now)
        if customer is None:
            return NO_METERED_USAGE
        account, window, is_open = self.accounts.of_owner(owner, customer, feature, now)
        used, until = self._used(account, now)
        until = min(until, window.until)
        granted = self.accounts.granted(owner, feature, self._link.holder.usage_of(account).figures, now)
        user_used = total_used = 0
        if subject.user is not None:
            of_user, its_window = self.accounts.of_user(customer, subject.user, feature, now)
            user_used, valid = self._used(of_user, now)
            until = min(until, valid, its_window.until)
        if feature.caps.total is not None:
            of_all, its_window = self.accounts.of_everybody(feature, now)
            total_used, valid = self._used(of_all, now)
            until = min(until, valid, its_window.until)
        start, end = window.start, window.until
        if not is_open:  # the next use begins a window
            start, end = BEGINNING, FOREVER
        return MeteredUsage(used, user_used, total_used, granted, start, end, BEGINNING, until)

    def _used(self, account: Account, now: Instant) -> tuple[int, Instant]:
        """Return the units that are known to be used, reserved ones included, and until when, unless that is news."""
        held = self._link.holder.usage_of(account)
        booked = 0 if held.figures is None else held.figures.booked
        used = booked + held.unreported + self._reserved.get(account, 0)
        read_at = self._read_at.get(account)
        if held.figures is None or read_at is None or not 0 <= now - read_at < REFRESH_MS:
            self._link.look(account, now)
            self._watched.watch(account, now + _ASK_AGAIN_MS)
        else:
            self._watched.watch(account, read_at + REFRESH_MS)
        exhausted = self._exhausted.get(account)
        if exhausted is not None:
            if now < exhausted.until:
                return max(used, exhausted.used), exhausted.until
            del self._exhausted[account]
        return used, FOREVER

    def forget_old(self, now: Instant) -> None:
        """Have the answers forgotten that rest on figures which are too old. To be called about once a second."""
        old = []
        for account in self._watched.take_due(now):
            read_at = self._read_at.get(account)
            if read_at is not None and 0 <= now - read_at < REFRESH_MS:  # news came meanwhile
                self._watched.watch(account, read_at + REFRESH_MS)
            else:
                old.append(account)
        self.announce(old, now)

    def reserved_of(self, subject: Subject, feature: Feature, now: Instant) -> int:
        """Return the units of reservations here in the current window of a subject."""
        owner = owner_of(subject)
        customer = self.accounts.customer_of(owner, now)
        if feature.metered is None or customer is None:
            return 0
        account, _, _ = self.accounts.of_owner(owner, customer, feature, now)
        return self._reserved.get(account, 0)

    def _learn(self, figures: Sequence[Figures]) -> Callable[[], None]:
        """Return what takes over what the ledger says about accounts, and has answers forgotten where that is news."""
        before = {figure.account: self._known(figure.account) for figure in figures}

        def learn() -> None:
            if self._state.current is None:
                return
            now = self._state.clock()
            if len(self._read_at) > _MOST_CACHED:
                self._read_at.clear()
            self.accounts.learn(figures)
            changed = [account for account, known in before.items() if known != self._known(account)]
            for account in before:
                self._read_at[account] = now
                if self._exhausted.pop(account, None) is not None:
                    changed.append(account)
            self.announce(changed, now)

        return learn

    def _known(self, account: Account) -> tuple[int, int | None, Instant] | None:
        held = self._link.holder.usage_of(account)
        figures = held.figures
        return None if figures is None else (figures.booked + held.unreported, figures.ceiling, figures.until)

    def announce(self, accounts: Iterable[Account], now: Instant) -> None:
        """Have the answers forgotten that rest on the usage of accounts."""
        for account in accounts:
            if account.scope is Scope.CUSTOMER:
                self._state.usage_changed(account.customer, (), (account.feature,))
            elif account.scope is Scope.EVERYBODY:
                self._state.usage_changed("", (), (account.feature,))
            elif account.scope is Scope.SUBSCRIPTION:
                self._state.usage_changed(account.customer, (account.member,), (account.feature,))
            else:
                self._state.usage_changed(
                    account.customer, self.subscriptions_of(account.customer, now), (account.feature,)
                )

    def subscriptions_of(self, customer: str, now: Instant) -> tuple[str, ...]:
        """Return the subscriptions of a customer; none if it is unknown."""
        active = self.evaluator().find_subject(Subject(customer), now)
        if isinstance(active, Denial):
            return ()
        return tuple(subscription.id for subscription in active.record.subscriptions)


def owner_of(subject: Subject) -> Subject:
    """Return the customer or subscription of a subject, without its user."""
    return subject if subject.user is None else Subject(subject.id, subject.type)
