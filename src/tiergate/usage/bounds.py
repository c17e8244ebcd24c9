"""What limits an account at an instant: the window, the allowance, and the grants, rollover among them.

The caller knows the feature and what the subject is entitled to; `History` knows the account's past. The ledger of a
control plane and the one of a sidecar on its own resolve their bounds here. Rules, besides those of `windows` and
`pools`:

1. What rolls over into a window is fixed once: at the first request after the window before has ended, from what that
   window has left then. If the account did not use that window, or never used any, all of its allowance is left. With
   `first_use` there are no windows without usage between others.
2. It is a grant, which is stored even if it has no units: it says that the window before has rolled over.
3. Usage that arrives later for a window that has rolled over has an allowance that is smaller by what rolled over.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from msgspec.structs import replace

from tiergate.model import Interval
from tiergate.usage.accounts import Bound, Scope
from tiergate.usage.pools import ALLOWANCE, ROLLOVER, Grant, Pools, rollover_grant, rollover_id

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tiergate.model import Instant, Metered
    from tiergate.usage.accounts import Account, AccountRecord
    from tiergate.usage.windows import UsageWindows


class AccountLimit(NamedTuple):
    """What an account is entitled to: its allowance (`None`: unlimited), and units above it (`None`: any number)."""

    allowance: int | None
    overage_max: int | None = 0


class SpentGrant(Protocol):
    """A grant, and how many of its units were spent, in all windows."""

    @property
    def grant(self) -> Grant:
        """The grant."""

    @property
    def spent(self) -> int:
        """Its units that were spent."""


class History(Protocol):
    """What is known of accounts."""

    def windows_of(self, account: Account, at: Instant) -> Sequence[Interval]:
        """Return windows of an account in their order: the latest that begins by `at`, and all later ones."""

    def record_before(self, account: Account, start: Instant) -> AccountRecord | None:
        """Return the latest window of an account that begins before `start`, with what was used in it."""

    def grants_of(self, account: Account) -> Sequence[SpentGrant]:
        """Return all grants of the account's customer for its feature."""


class ResolvedBound(NamedTuple):
    """A bound. `grant`: one that is new, or has another end; to be stored before the bound is used."""

    bound: Bound
    grant: Grant | None = None


def resolve_bound(
    metered: Metered,
    windows: UsageWindows,
    account: Account,
    at: Instant,
    now: Instant,
    limit_at: Callable[[Instant], AccountLimit],
    history: History,
) -> ResolvedBound:
    """Resolve what limits an account at an instant.

    `windows`: those of `metered`, from the anchor of the account. `limit_at` returns what the account is entitled to at
    an instant. `account` may name any window.
    """
    window = _window(windows, history.windows_of(account, at), at, now)
    limit = limit_at(at)
    if account.scope is not Scope.CUSTOMER:
        return ResolvedBound(Bound(window, limit.allowance, limit.overage_max, (), metered.spend, metered.late))
    grants = {stored.grant.id: stored for stored in history.grants_of(account)}
    changed = _rollover(metered, windows, account, window, now, limit_at, history)
    listed = {id_: stored.grant for id_, stored in grants.items()}
    if changed is not None:
        listed[changed.id] = changed
    allowance = limit.allowance
    rolled_over = listed.get(rollover_id(window.start))
    if allowance is not None and rolled_over is not None:
        allowance = max(0, allowance - rolled_over.amount)
    bound = Bound(window, allowance, limit.overage_max, tuple(listed.values()), metered.spend, metered.late)
    is_stored = changed is None or (changed.id in grants and grants[changed.id].grant == changed)
    return ResolvedBound(bound, None if is_stored else changed)


def _window(windows: UsageWindows, known: Sequence[Interval], at: Instant, now: Instant) -> Interval:
    window = windows.window_of(at, known)
    if known and window == known[-1] and window.start <= now < window.until:
        return windows.at(now, window)  # the open one: its end may have moved
    return window


def _rollover(
    metered: Metered,
    windows: UsageWindows,
    account: Account,
    window: Interval,
    now: Instant,
    limit_at: Callable[[Instant], AccountLimit],
    history: History,
) -> Grant | None:
    """Return the grant of what rolled over into a window, if it is there, or is due now; with the window's end."""
    if metered.reset is None:
        return None
    for stored in history.grants_of(account):
        if stored.grant.start == window.start and stored.grant.id.startswith(ROLLOVER):
            return replace(stored.grant, until=window.until)
    if not metered.rollover_max or not window.start <= now < window.until:
        return None
    before = history.record_before(account, window.start)
    spent = 0
    if before is not None and (windows.opens_with_use or before.until == window.start):
        source, spent = before.account.window, before.drawn.get(ALLOWANCE, 0)
    elif windows.opens_with_use:
        return None
    else:
        known = [] if before is None else [Interval(before.account.window, before.until)]
        source = windows.window_of(window.start - 1, [*known, window]).start
    pools = Pools(limit_at(window.start - 1).allowance, spent)
    return rollover_grant(pools.closing(metered.rollover_max), source, window)
