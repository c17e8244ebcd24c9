"""What limits the accounts of a simulated customer: it changes at any time, and is as simple as can be."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tiergate.model import BEGINNING, FOREVER, Interval
from tiergate.usage.accounts import Account, Bound, Debit, Scope
from tiergate.usage.pools import Grant

if TYPE_CHECKING:
    from random import Random

LATE_MS = 3_000
DRAWN_UNITS = 3
"""How much a consumption of the feature `images` takes of the feature `credits`, for each of its units."""


class Facts:
    """The limits in force. `window_ms`: 0 for usage that never resets."""

    def __init__(self, random: Random) -> None:
        self.window_ms = random.choice((0, 0, 2_000, 6_000, 30_000))
        self.allowance: dict[tuple[str, Scope], int | None] = {}
        self.overage_max: int | None = random.choice((0, 0, 0, 0, 5, None))
        self.grants: tuple[Grant, ...] = ()
        self._bounds: dict[tuple[str, Scope, int], Bound] = {}
        limit = random.choice((5, 20, 60, 200, 1_000))
        self.features = random.choice((("calls",), ("calls",), ("calls", "images")))
        for feature in ("calls", "images", "credits"):
            self.allowance[feature, Scope.CUSTOMER] = limit * (DRAWN_UNITS if feature == "credits" else 1)
            self.allowance[feature, Scope.SUBSCRIPTION] = random.choice((None, limit // 2 + 1))
            self.allowance[feature, Scope.USER] = random.choice((None, limit // 3 + 1))
            self.allowance[feature, Scope.EVERYBODY] = random.choice((None, limit * 2))

    def window(self, at: int) -> Interval:
        """Return the window of an instant."""
        if not self.window_ms:
            return Interval(BEGINNING, FOREVER)
        start = at - at % self.window_ms
        return Interval(start, start + self.window_ms)

    def bound_of(self, account: Account, at: int) -> Bound:
        """Return what limits an account at an instant."""
        window = self.window(at)
        key = (account.feature, account.scope, window.start)
        bound = self._bounds.get(key)
        if bound is None:
            owned = account.scope is Scope.CUSTOMER and account.feature == "calls"
            bound = self._bounds[key] = Bound(
                window,
                self.allowance[account.feature, account.scope],
                self.overage_max if account.scope is Scope.CUSTOMER else 0,
                self.grants if owned else (),
                late_ms=LATE_MS,
            )
        return bound

    def ceiling(self, account: Account) -> int | None:
        """Return the most that may be consumed on an account now; `None`: any number."""
        bound = self.bound_of(account, max(0, account.window))
        if bound.allowance is None or bound.overage_max is None:
            return None
        return bound.allowance + bound.overage_max + sum(grant.amount for grant in bound.grants)

    def change(self, random: Random) -> None:
        """Change one limit, or give, top up or take away a grant."""
        self._bounds.clear()
        if random.random() < 0.3:
            if self.grants and random.random() < 0.4:
                self.grants = self.grants[:-1]
            elif len(self.grants) < 3:
                grant = Grant(f"g{random.randrange(10**9)}", random.randint(1, 40), priority=random.randint(0, 3))
                self.grants = (*self.grants, grant)
            return
        key = random.choice([key for key, limit in self.allowance.items() if limit is not None])
        limit = self.allowance[key]
        assert limit is not None
        self.allowance[key] = max(0, random.choice((limit // 2, limit - 3, limit + 3, limit * 2, 0, limit + 20)))

    def debits(self, random: Random, at: int) -> tuple[Debit, ...]:
        """Return the debits of a consumption: of the customer, and perhaps of others."""
        feature = random.choice(self.features)
        amount = random.choice((1, 1, 1, 2, 5))
        window = self.window(at).start
        debits = [self._debit(Account(feature, Scope.CUSTOMER, "c", "", window), amount)]
        if random.random() < 0.3:
            debits.append(self._debit(Account(feature, Scope.SUBSCRIPTION, "c", "s1", window), amount))
        if random.random() < 0.3:
            user = random.choice(("u1", "u2"))
            debits.append(self._debit(Account(feature, Scope.USER, "c", user, window), amount))
        if self.allowance[feature, Scope.EVERYBODY] is not None:
            debits.append(self._debit(Account(feature, Scope.EVERYBODY, "", "", window), amount))
        if feature == "images":
            drawn = amount * DRAWN_UNITS
            debits.append(self._debit(Account("credits", Scope.CUSTOMER, "c", "", window), drawn))
        return tuple(debits)

    def _debit(self, account: Account, amount: int) -> Debit:
        return Debit(account, amount, self.ceiling(account) is not None)
