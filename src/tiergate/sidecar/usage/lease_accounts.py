"""The accounts of a consumption at a sidecar with leases: which windows, and what limits them.

Windows and limits follow from the catalog and the subjects here. The ledger has the last word: where it knows another
window for an account, or more was granted, `learn` takes that from its figures.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from tiergate.engine.evaluator import Denial
from tiergate.engine.facts import TotalOverflowError, resolve_facts
from tiergate.engine.metered_limits import NO_CEILING, is_unbounded
from tiergate.errors import OperatorError, RequestError
from tiergate.model import FOREVER, Interval, LimitKind, OfflineUse, Subject, SubjectType, format_instant
from tiergate.sidecar.usage.account_windows import AccountWindows
from tiergate.usage.accounts import Account, Debit, Figures, Scope

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tiergate.engine import Evaluator
    from tiergate.engine.facts import Facts
    from tiergate.model import Feature, Instant
    from tiergate.usage.windows import UsageWindows

AHEAD_MS: Final = 60_000
"""How far in the future usage after the fact may be, in milliseconds: clocks differ."""

_MOST_CACHED: Final = 100_000

Key = tuple[str, Scope, str, str]
"""An account in any window: feature, scope, customer, member."""


class Booking(NamedTuple):
    """A consumption on one account. `ceiling`: the most units by the data here; `None`: any number.

    `bounded`: whether units must be leased. Also where nothing limits the account, but the first use opens its window:
    then the ledger must know of it.
    """

    account: Account
    until: Instant
    units: int
    ceiling: int | None
    bounded: bool

    @property
    def debit(self) -> Debit:
        """What the holder debits."""
        return Debit(self.account, self.units, self.bounded)


class LeaseAccounts:
    """Finds accounts. `evaluator`: returns that of the current generation."""

    def __init__(self, evaluator: Callable[[], Evaluator]) -> None:
        self._evaluator = evaluator
        self._windows = AccountWindows(evaluator)
        self._open: dict[Key, Interval] = {}
        self._facts: dict[tuple[Subject, str], tuple[int, Evaluator, Facts]] = {}
        self._granted: dict[Account, tuple[Figures, int]] = {}

    # ── what the ledger says ─────────────────────────────────────────────────────────────────────────────────────────

    def learn(self, figures: Sequence[Figures]) -> None:
        """Take over the windows of accounts that the ledger knows."""
        if len(self._open) >= _MOST_CACHED:
            self._open.clear()
        for figure in figures:
            account = figure.account
            key = _key(account)
            known = self._open.get(key)
            is_open = figure.until < FOREVER and (figure.booked or figure.leased or not self._opens_with_use(account))
            if is_open and (known is None or known.start <= account.window):
                self._open[key] = Interval(account.window, figure.until)

    def open(self, account: Account, until: Instant) -> None:
        """Take over the window of an account that the ledger has named in place of another one."""
        self._open[_key(account)] = Interval(account.window, until)

    def _opens_with_use(self, account: Account) -> bool:
        feature = self._evaluator().index.features.get(account.feature)
        return feature is None or feature.metered is None or self._windows.of_feature(feature).opens_with_use

    def granted(self, owner: Subject, feature: Feature, figures: Figures | None, now: Instant) -> int:
        """Return what the ledger adds to the allowance of a customer or subscription: grants, and what rolled over.

        A ceiling is as old as its figures, and the allowance here may be newer: the smaller difference counts.
        """
        facts = self.facts(owner, feature, now)
        if figures is None or figures.ceiling is None or facts is None or is_unbounded(facts):
            return 0
        more = max(0, figures.ceiling - facts.total - _overage(facts))
        known = self._granted.get(figures.account)
        if known is None or known[0] is not figures:
            if len(self._granted) >= _MOST_CACHED:
                self._granted.clear()
            known = self._granted[figures.account] = figures, more
        return min(known[1], more)

    # ── subjects ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def facts(self, owner: Subject, feature: Feature, now: Instant) -> Facts | None:
        """Return the facts of a customer or subscription; `None` if there are none."""
        evaluator = self._evaluator()
        active = evaluator.find_subject(owner, now)
        if isinstance(active, Denial):
            return None
        key = (owner, feature.id)
        known = self._facts.get(key)
        if known is not None and known[0] == active.serial and known[1] is evaluator:
            facts = known[2]
            if facts.feature is feature and facts.start <= now < facts.until:
                return facts
        try:
            facts = resolve_facts(feature, active.items, owner, evaluator.bundle, now)
        except (OperatorError, TotalOverflowError, ValueError):
            return None
        if len(self._facts) >= _MOST_CACHED:
            self._facts.clear()
        self._facts[key] = active.serial, evaluator, facts
        return facts

    def customer_of(self, owner: Subject, now: Instant) -> str | None:
        """Return the customer of a customer or subscription; `None` if the subscription is unknown."""
        if owner.type is SubjectType.CUSTOMER:
            return owner.id
        active = self._evaluator().find_subject(owner, now)
        return None if isinstance(active, Denial) else active.record.customer.id

    def allows_offline(self, owner: Subject, feature: Feature, now: Instant) -> bool:
        """Return whether a feature is consumed without a lease while the ledger is out of reach."""
        if feature.metered is None:
            return True
        if feature.metered.offline is not None:
            return feature.metered.offline is OfflineUse.ALLOW
        facts = self.facts(owner, feature, now)
        if facts is None:
            return feature.metered.limit is LimitKind.SOFT
        return facts.soft or facts.unlimited

    # ── accounts ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def of_owner(self, owner: Subject, customer: str, feature: Feature, now: Instant) -> tuple[Account, Interval, bool]:
        """Return the account of a customer or subscription, its window, and whether that is open or would be opened."""
        is_customer = owner.type is SubjectType.CUSTOMER
        scope, member = (Scope.CUSTOMER, "") if is_customer else (Scope.SUBSCRIPTION, owner.id)
        key = (feature.id, scope, customer, member)
        windows = self._windows.of_subject(owner, feature, now)
        known = self._open.get(key)
        window = windows.at(now, known)
        is_open = not windows.opens_with_use or (known is not None and known.start == window.start)
        return Account(*key, window.start), window, is_open

    def of_everybody(self, feature: Feature, now: Instant) -> tuple[Account, Interval]:
        """Return the account of everybody together, and its window."""
        key = (feature.id, Scope.EVERYBODY, "", "")
        window = self._windows.of_feature(feature).at(now, self._open.get(key))
        return Account(*key, window.start), window

    def of_user(self, customer: str, user: str, feature: Feature, now: Instant) -> tuple[Account, Interval]:
        """Return the account of a user of a customer, in the window of its own that the ledger knows."""
        key = (feature.id, Scope.USER, customer, user)
        windows = self._windows.of_subject(Subject(customer), feature, now)
        window = windows.at(now, self._open.get(key))
        return Account(*key, window.start), window

    def bookings(
        self,
        owner: Subject,
        customer: str,
        user: str | None,
        feature: Feature,
        units: int,
        now: Instant,
        at: Instant,
        ceiling_of: Callable[[Subject, Feature], int | None],
    ) -> list[Booking]:
        """Return what a consumption at an instant books for one feature."""
        whole = Subject(customer)
        windows = self._windows.of_subject(whole, feature, now)
        key: Key = (feature.id, Scope.CUSTOMER, customer, "")
        booked = [self._booking(key, windows, units, ceiling_of(whole, feature), now, at)]
        if owner.type is SubjectType.SUBSCRIPTION:
            own = self._windows.of_subject(owner, feature, now)
            key = (feature.id, Scope.SUBSCRIPTION, customer, owner.id)
            booked.append(self._booking(key, own, units, ceiling_of(owner, feature), now, at))
        if user is not None:
            key = (feature.id, Scope.USER, customer, user)
            booked.append(self._booking(key, windows, units, feature.caps.per_user, now, at))
        if feature.caps.total is not None:
            key = (feature.id, Scope.EVERYBODY, "", "")
            booked.append(self._booking(key, self._windows.of_feature(feature), units, feature.caps.total, now, at))
        return booked

    def _booking(
        self, key: Key, windows: UsageWindows, units: int, ceiling: int | None, now: Instant, at: Instant
    ) -> Booking:
        known = self._open.get(key)
        window = windows.at(now, known)
        if not window.start <= at < window.until:
            window = self._window_of(windows, known, window, now, at)
        is_bounded = ceiling is not None or windows.opens_with_use
        return Booking(Account(*key, window.start), window.until, units, ceiling, is_bounded)

    @staticmethod
    def _window_of(
        windows: UsageWindows, known: Interval | None, current: Interval, now: Instant, at: Instant
    ) -> Interval:
        """Return the window of an earlier instant, if usage in it is accepted."""
        if at > now + AHEAD_MS:
            detail = f"the usage is of {format_instant(at)}, which is in the future"
            raise RequestError(422, "usage in the future", detail, field="/at")
        intervals = [] if known is None else [known]
        if not windows.opens_with_use and (known is None or known.start < current.start):
            intervals.append(current)
        window = windows.window_of(at, intervals)
        if not windows.accepts(window, now):
            detail = f"the window of the usage ended at {format_instant(window.until)}, and is closed"
            raise RequestError(422, "usage too late", detail, field="/at")
        return window


def ceiling_by_facts(facts: Facts | None, granted: int) -> int | None:
    """Return the most units by facts and what is granted; `None`: any number; 0 without facts."""
    if facts is None:
        return granted
    if is_unbounded(facts):
        return None
    return min(facts.total + granted + _overage(facts), NO_CEILING)


def _overage(facts: Facts) -> int:
    return facts.overage_max or 0 if facts.soft and facts.held else 0


def _key(account: Account) -> Key:
    return account.feature, account.scope, account.customer, account.member
