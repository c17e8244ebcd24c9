"""What limits an account: window, allowance, grants, and what rolls over, once."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from tests.usage_bounds import customer_account
from tiergate.model import CalendarUnit, Instant, Interval, Metered, SpendOrder, WindowAnchor, parse_instant
from tiergate.usage.accounts import Account, AccountRecord, Scope
from tiergate.usage.bounds import AccountLimit, ResolvedBound, resolve_bound
from tiergate.usage.pools import ALLOWANCE, OVERAGE, Grant, rollover_id
from tiergate.usage.windows import UsageWindows

OCTOBER, NOVEMBER, DECEMBER, JANUARY = (
    parse_instant(day) for day in ("2023-10-01", "2023-11-01", "2023-12-01", "2024-01-01")
)
DAY = 24 * 3_600_000
MONTHLY = Metered(reset=CalendarUnit.MONTH, rollover_max=30)
ACCOUNT = customer_account(NOVEMBER)


@dataclass
class Spent:
    """A grant and what was spent of it."""

    grant: Grant
    spent: int = 0


@dataclass
class Past:
    """The past of one account."""

    records: list[AccountRecord] = field(default_factory=list)
    grants: list[Spent] = field(default_factory=list)

    def windows_of(self, _: Account, __: Instant) -> list[Interval]:
        """All windows."""
        return [Interval(record.account.window, record.until) for record in self.records]

    def record_before(self, _: Account, start: Instant) -> AccountRecord | None:
        """The last of those that begin before."""
        return next((record for record in reversed(self.records) if record.account.window < start), None)

    def grants_of(self, _: Account) -> list[Spent]:
        """All grants."""
        return self.grants


def used(start: Instant, until: Instant, units: int, **more: int) -> AccountRecord:
    """A window with usage."""
    return AccountRecord(customer_account(start), until, units, drawn={ALLOWANCE: units, **more})


def resolve(
    past: Past,
    at: Instant,
    now: Instant | None = None,
    metered: Metered = MONTHLY,
    allowance: int | None = 100,
    account: Account = ACCOUNT,
) -> ResolvedBound:
    """Resolve, and store the grant as the caller must."""
    windows = UsageWindows.of(metered)
    found = resolve_bound(
        metered, windows, account, at, at if now is None else now, lambda _: AccountLimit(allowance, 7), past
    )
    if found.grant is not None:
        grant = found.grant
        past.grants = [*(spent for spent in past.grants if spent.grant.id != grant.id), Spent(grant)]
    return found


def test_a_bound_says_what_the_feature_and_the_entitlement_say() -> None:
    """Window, allowance, what is above it, grants, what is spent first, and for how long usage may be late."""
    metered = Metered(reset=CalendarUnit.MONTH, spend=SpendOrder.GRANTS_FIRST, late=5)
    grant = Grant("g", 50)
    bound = resolve(Past(grants=[Spent(grant, 3)]), NOVEMBER + DAY, metered=metered).bound
    assert (bound.window, bound.allowance, bound.overage_max) == (Interval(NOVEMBER, DECEMBER), 100, 7)
    assert (bound.grants, bound.order, bound.late_ms) == ((grant,), SpendOrder.GRANTS_FIRST, 5)


@pytest.mark.parametrize("scope", [Scope.SUBSCRIPTION, Scope.USER, Scope.EVERYBODY])
def test_grants_and_rollover_are_the_customers(scope: Scope) -> None:
    """No other account has them."""
    account = Account("calls", scope, "acme", "m", NOVEMBER)
    found = resolve(Past(grants=[Spent(Grant("g", 50))]), NOVEMBER + DAY, account=account)
    assert (found.bound.grants, found.grant) == ((), None)


@pytest.mark.parametrize(("units", "left"), [(0, 30), (60, 30), (85, 15), (100, 0), (130, 0)])
def test_what_the_window_before_has_left_rolls_over_once(units: int, left: int) -> None:
    """At the first request after its end; then it stays, whatever is reported late."""
    past = Past([used(OCTOBER, NOVEMBER, units)])
    first = resolve(past, NOVEMBER + DAY)
    assert first.grant == Grant(rollover_id(OCTOBER), left, NOVEMBER, DECEMBER, 0)
    assert first.bound.grants == (first.grant,)
    past.records[0].drawn[ALLOWANCE] = 90
    again = resolve(past, NOVEMBER + 2 * DAY)
    assert (again.bound.grants, again.grant) == (first.bound.grants, None)


def test_late_usage_of_a_window_cannot_take_what_rolled_over() -> None:
    """Its allowance is smaller by it."""
    past = Past([used(OCTOBER, NOVEMBER, 60)])
    resolve(past, NOVEMBER + DAY)
    past.records.append(used(NOVEMBER, DECEMBER, 1))
    late = resolve(past, NOVEMBER - 1, NOVEMBER + 2 * DAY).bound
    assert (late.window, late.allowance) == (Interval(OCTOBER, NOVEMBER), 70)


@pytest.mark.parametrize("allowance", [None, 0, 10])
def test_a_window_without_usage_rolls_over_its_allowance(allowance: int | None) -> None:
    """Between windows with usage, and before the first one; nothing if it was unlimited or not there."""
    for records in ([], [used(parse_instant("2023-06-01"), parse_instant("2023-07-01"), 100)]):
        found = resolve(Past(records), NOVEMBER + DAY, allowance=allowance)
        assert found.grant is not None
        assert (found.grant.id, found.grant.amount) == (rollover_id(OCTOBER), allowance or 0)


def test_the_first_use_of_all_has_nothing_that_could_roll_over() -> None:
    """The next one has, however much later it is."""
    metered = Metered(reset=CalendarUnit.DAY, anchor=WindowAnchor.FIRST_USE, rollover_max=30)
    assert resolve(Past(), NOVEMBER, metered=metered).grant is None
    found = resolve(Past([used(NOVEMBER, NOVEMBER + DAY, 80)]), NOVEMBER + 5 * DAY, metered=metered)
    assert found.grant == Grant(rollover_id(NOVEMBER), 20, NOVEMBER + 5 * DAY, NOVEMBER + 6 * DAY, 0)


def test_nothing_rolls_over_before_the_window_has_begun() -> None:
    """Units of the next window are leased ahead of it, while this one is still used."""
    past = Past([used(NOVEMBER, DECEMBER, 60)])
    assert resolve(past, DECEMBER, DECEMBER - 1000).grant is None
    past.records[0].drawn[ALLOWANCE] = 95
    past.records.append(used(DECEMBER, JANUARY, 0))
    found = resolve(past, DECEMBER + 1)
    assert found.grant is not None
    assert found.grant.amount == 5


def test_what_rolled_over_ends_with_its_window_even_if_that_moves() -> None:
    """The grant gets the new end."""
    metered = Metered(reset=CalendarUnit.MONTH, anchor=WindowAnchor.SUBSCRIPTION, rollover_max=30)
    past = Past([used(OCTOBER, NOVEMBER, 90)])
    limit = lambda _: AccountLimit(100)  # noqa: E731
    first = resolve_bound(metered, UsageWindows.of(metered, OCTOBER), ACCOUNT, NOVEMBER, NOVEMBER, limit, past)
    assert first.grant is not None
    past.grants.append(Spent(first.grant))
    past.records.append(used(NOVEMBER, DECEMBER, 1))
    moved = UsageWindows.of(metered, parse_instant("2023-11-20"))
    found = resolve_bound(metered, moved, ACCOUNT, NOVEMBER + DAY, NOVEMBER + DAY, limit, past)
    assert found.bound.window == Interval(NOVEMBER, parse_instant("2023-11-20"))
    assert found.grant is not None
    assert (found.grant.id, found.grant.until) == (first.grant.id, parse_instant("2023-11-20"))


def test_what_never_resets_never_rolls_over() -> None:
    """Nor does a quantity without rollover, or what is only late."""
    for metered in (Metered(rollover_max=30), Metered(reset=CalendarUnit.MONTH)):
        assert resolve(Past(), NOVEMBER + DAY, metered=metered).grant is None
    assert resolve(Past([used(NOVEMBER, DECEMBER, 1)]), OCTOBER + DAY, NOVEMBER + DAY).grant is None


def test_overage_of_the_window_before_takes_nothing_from_what_is_left() -> None:
    """And what grants gave is not of the allowance."""
    past = Past([used(OCTOBER, NOVEMBER, 90, g=40)], [Spent(Grant("g", 40), 40)])
    past.records[0].drawn[OVERAGE] = 3
    found = resolve(past, NOVEMBER)
    assert found.grant is not None
    assert found.grant.amount == 10
