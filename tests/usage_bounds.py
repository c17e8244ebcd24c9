"""Bounds of accounts for tests: what a control plane resolves from its catalog, out of plain values instead."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tiergate.model import CalendarUnit, Metered
from tiergate.usage.accounts import Account, Bound, Debit, Scope
from tiergate.usage.windows import UsageWindows

if TYPE_CHECKING:
    from collections.abc import Collection

    from tiergate.model import Instant, Threshold
    from tiergate.store import ReadUnit
    from tiergate.store.usage_state import UsageState
    from tiergate.usage.ledger import BoundOf

MONTHLY = Metered(reset=CalendarUnit.MONTH)


@dataclass
class PlainBounds:
    """The same windows for all features, and a limit for each; grants come from the store."""

    metered: Metered = MONTHLY
    limit: int | None = 100
    limits: dict[str, int | None] = field(default_factory=dict)
    overage_max: int | None = 0
    anchor: Instant = 0
    thresholds: tuple[Threshold, ...] = ()

    def __call__(self, unit: ReadUnit, state: UsageState, accounts: Collection[Account]) -> BoundOf:  # noqa: ARG002
        """The bounds of one transaction."""
        windows = UsageWindows.of(self.metered, self.anchor)

        def bound_of(account: Account, at: Instant) -> Bound | None:
            limit = self.limits.get(account.feature, self.limit)
            window = windows.window_of(at, state.windows_of(account, at))
            latest = state.latest_of(account)
            if latest is not None and latest.account.window <= at < latest.until:
                window = windows.at(at, window)
            grants = tuple(stored.grant for stored in state.grants_of(account))
            return Bound(
                window,
                limit,
                self.overage_max,
                grants if account.scope is Scope.CUSTOMER else (),
                late_ms=self.metered.late,
                thresholds=self.thresholds if account.scope is Scope.CUSTOMER else (),
            )

        return bound_of


def customer_account(window: Instant, feature: str = "calls", customer: str = "acme") -> Account:
    """The account of a customer."""
    return Account(feature, Scope.CUSTOMER, customer, "", window)


def debits(*accounts: Account, amount: int = 1) -> tuple[Debit, ...]:
    """The same amount on several accounts."""
    return tuple(Debit(account, amount) for account in accounts)
