"""What rolls over, through the store: once, whatever comes late, on either database."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.unit.store.usage_model import DIGEST, rows
from tests.usage_bounds import customer_account, debits
from tiergate.model import CalendarUnit, Metered, parse_instant
from tiergate.store.tables import USAGE_GRANTS
from tiergate.store.usage_ledger import UsageLedger
from tiergate.store.usage_state import StoredGrant
from tiergate.usage.accounts import Consumption
from tiergate.usage.bounds import AccountLimit, resolve_bound
from tiergate.usage.pools import rollover_id
from tiergate.usage.protocol import Booked, Reason, Refused
from tiergate.usage.windows import UsageWindows

if TYPE_CHECKING:
    from collections.abc import Collection

    from tests.unit.store.clocks import Time
    from tiergate.model import Instant
    from tiergate.store import ReadUnit, Store
    from tiergate.store.usage_state import UsageState
    from tiergate.usage.accounts import Account, Bound
    from tiergate.usage.ledger import BoundOf

NOVEMBER, DECEMBER, JANUARY = (parse_instant(day) for day in ("2023-11-01", "2023-12-01", "2024-01-01"))
ROLLING = Metered(reset=CalendarUnit.MONTH, rollover_max=30)


def bounds(unit: ReadUnit, state: UsageState, accounts: Collection[Account]) -> BoundOf:  # noqa: ARG001
    """A limit of 100 units a month from November on, of which up to 30 roll over."""

    def bound_of(account: Account, at: Instant) -> Bound:
        found = resolve_bound(
            ROLLING,
            UsageWindows.of(ROLLING),
            account,
            at,
            unit.now,
            lambda instant: AccountLimit(100 if instant >= NOVEMBER else 0),
            state,
        )
        if found.grant is not None:
            state.add_grant(StoredGrant(account.customer, account.feature, found.grant, created_at=unit.now))
        return found.bound

    return bound_of


def consumption(window: int, units: int, at: int) -> Consumption:
    """Units of the customer."""
    return Consumption(b"", DIGEST, at, debits(customer_account(window), amount=units))


def test_what_rolled_over_is_spent_once(store: Store, time: Time) -> None:
    """Neither late usage of the old window nor the window after next has it again."""
    ledger = UsageLedger(store, bounds)
    assert ledger.debit(consumption(NOVEMBER, 80, time.now)) == Booked()
    time.now = DECEMBER + 1
    too_much = Refused(Reason.LIMIT_REACHED, customer_account(DECEMBER))
    assert ledger.debit(consumption(DECEMBER, 121, time.now)) == too_much
    assert ledger.record(consumption(NOVEMBER, 20, DECEMBER - 1)) == Booked()
    assert ledger.debit(consumption(DECEMBER, 120, time.now)) == Booked()
    assert ledger.debit(consumption(DECEMBER, 1, time.now)) == too_much
    time.now = JANUARY
    assert ledger.debit(consumption(JANUARY, 101, time.now)) == Refused(Reason.LIMIT_REACHED, customer_account(JANUARY))
    ledger.close()
    found = {str(row["id"]): (row["amount"], row["spent"]) for row in rows(store, USAGE_GRANTS)}
    october = rollover_id(parse_instant("2023-10-01"))
    assert found == {october: (0, 0), rollover_id(NOVEMBER): (20, 20), rollover_id(DECEMBER): (0, 0)}
