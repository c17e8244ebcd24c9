"""What limits an account of the book: its window, and what rolled over into it, by the rules of the ledger.

`usage.bounds` resolves it, and `usage.pools` says where used units come from; here the book is their past. The book
knows no other grants than what rolled over. A feature that rolls nothing over has no pools: its units need no origin.

Current windows are kept, so that a check in the same window computes nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from tiergate.model import Interval
from tiergate.sidecar.usage.book_records import account_of, id_of
from tiergate.usage.accounts import AccountRecord
from tiergate.usage.bounds import resolve_bound
from tiergate.usage.pools import ALLOWANCE, OVERAGE, Grant, Pools, rollover_grant, rollover_id

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tiergate.model import Instant, Metered, SpendOrder
    from tiergate.sidecar.usage.book import Book
    from tiergate.sidecar.usage.book_records import AccountId, WindowUse
    from tiergate.usage.accounts import Account
    from tiergate.usage.bounds import AccountLimit, ResolvedBound
    from tiergate.usage.windows import UsageWindows

_MOST_CACHED: Final = 200_000


class RolledOver(NamedTuple):
    """What rolled over into a window, and how much of it was used there."""

    grant: Grant
    spent: int


class Parts(NamedTuple):
    """How many of some units come from what rolled over into their window, and how many are above the limit."""

    from_grant: int
    overage: int


NO_PARTS: Final = Parts(0, 0)
"""All units come from the allowance."""


class BookBounds:
    """Resolves bounds of the accounts of a book, and is their `History`."""

    def __init__(self, book: Book) -> None:
        self._book = book
        self._current: dict[AccountId, tuple[UsageWindows, Interval]] = {}

    # ── windows ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def window(self, id_: AccountId, windows: UsageWindows, now: Instant) -> Interval:
        """Return the current window of an account; the one that a use now would open, if none is open."""
        known = self._current.get(id_)
        if known is not None and known[0] is windows and known[1].start <= now < known[1].until:
            return known[1]
        uses = self._book.windows(id_)
        newest = self._interval(id_, uses[-1]) if uses else None
        window = windows.at(now, newest)
        if not windows.opens_with_use or (newest is not None and window.start == newest.start):
            if len(self._current) >= _MOST_CACHED:
                self._current.clear()
            self._current[id_] = windows, window
        return window

    def windows_used(self, id_: AccountId) -> UsageWindows | None:
        """Return the windows by which the current one of an account was found, if it was."""
        known = self._current.get(id_)
        return None if known is None else known[0]

    def _interval(self, id_: AccountId, use: WindowUse) -> Interval:
        """Return a window of the book; the end of the current one may have moved since it was booked."""
        known = self._current.get(id_)
        return known[1] if known is not None and known[1].start == use.start else Interval(use.start, use.until)

    # ── bounds ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def resolve(
        self,
        metered: Metered,
        windows: UsageWindows,
        id_: AccountId,
        at: Instant,
        now: Instant,
        limit_at: Callable[[Instant], AccountLimit],
    ) -> ResolvedBound:
        """Resolve what limits an account at an instant, as `usage.bounds.resolve_bound`."""
        return resolve_bound(metered, windows, account_of(id_, at), at, now, limit_at, self)

    def windows_of(self, account: Account, at: Instant) -> Sequence[Interval]:
        """Return the latest window that begins by `at`, and all later ones."""
        id_ = id_of(account)
        uses = self._book.windows(id_)
        first = next((place for place in reversed(range(len(uses))) if uses[place].start <= at), 0)
        return [self._interval(id_, use) for use in uses[first:]]

    def record_before(self, account: Account, start: Instant) -> AccountRecord | None:
        """Return the latest window that begins before `start`, with what was used in it."""
        id_ = id_of(account)
        use = next((use for use in reversed(self._book.windows(id_)) if use.start < start), None)
        if use is None:
            return None
        until = self._interval(id_, use).until
        return AccountRecord(account.in_window(use.start), until, use.used, drawn=_drawn(use))

    def grants_of(self, account: Account) -> Sequence[RolledOver]:
        """Return what rolled over into each window."""
        uses = self._book.windows(id_of(account))
        return [rolled for use in uses if (rolled := _rolled_over(use)) is not None]


def rolled_over_into(resolved: ResolvedBound) -> Grant | None:
    """Return what rolled over into the window of a bound; `None` if nothing has, and nothing does."""
    bound = resolved.bound
    return next((grant for grant in bound.grants if grant.start == bound.window.start), None)


def parts_of(use: WindowUse | None, resolved: ResolvedBound, units: int, at: Instant) -> Parts:
    """Return where units come from that are used now; `use`: of the window, if there is any."""
    bound, grant = resolved.bound, rolled_over_into(resolved)
    drawn = {} if use is None else _drawn(use)
    grants = [] if grant is None else [(grant, drawn.get(grant.id, 0))]
    before = Pools.of(bound.allowance, drawn, grants, bound.order)
    return _parts(before, before.debit(units, at))


def parts_given_back(use: WindowUse, order: SpendOrder, units: int, at: Instant) -> Parts:
    """Return where units go that are given back: 0 or less each."""
    rolled = _rolled_over(use)
    before = Pools.of(0, _drawn(use), [] if rolled is None else [rolled], order)
    return _parts(before, before.give_back(units, at))


def _parts(before: Pools, after: Pools) -> Parts:
    from_grant = sum(pool.drawn for pool in after.grants) - sum(pool.drawn for pool in before.grants)
    return Parts(from_grant, after.overage - before.overage)


def _drawn(use: WindowUse) -> dict[str, int]:
    """Return the used units of a window by pool."""
    drawn = {ALLOWANCE: use.used - use.from_grant - use.overage, OVERAGE: use.overage}
    if use.source is not None:
        drawn[rollover_id(use.source)] = use.from_grant
    return {pool: units for pool, units in drawn.items() if units}


def _rolled_over(use: WindowUse) -> RolledOver | None:
    if use.source is None:
        return None
    return RolledOver(rollover_grant(use.granted, use.source, Interval(use.start, use.until)), use.from_grant)
