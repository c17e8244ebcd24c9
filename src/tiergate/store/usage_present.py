"""Usage as it stands: the current windows of accounts, with the limits that hold now.

The limits in rows follow publications a little later (`usage_reads`); here they are resolved, as the ledger does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tiergate.model import BEGINNING
from tiergate.store.usage_reads import UsedWindow
from tiergate.store.usage_state import UsageState
from tiergate.usage.bookings import limit_of
from tiergate.usage.ledger_records import Needs

if TYPE_CHECKING:
    from collections.abc import Collection

    from tiergate.store.units import ReadUnit
    from tiergate.store.usage_ledger import Bounds
    from tiergate.usage.accounts import Account


def present_usage(unit: ReadUnit, bounds: Bounds, accounts: Collection[Account]) -> dict[Account, UsedWindow]:
    """Return the current window of each account, whichever it names, by the account without its window.

    Accounts of features and subjects that do not exist are left out. Nothing is locked.
    """
    wanted = {account.in_window(BEGINNING) for account in accounts}
    state = UsageState(unit.side_session.connection(), locking=False)
    state.load([Needs("", frozenset(wanted), frozenset(), frozenset(), all_leases=False)])
    state.now = unit.now
    bound_of = bounds(unit, state, wanted)
    found: dict[Account, UsedWindow] = {}
    for account in sorted(wanted):
        bound = bound_of(account, unit.now)
        if bound is None:
            continue
        record = state.records.account(account.in_window(bound.window.start))
        limit = limit_of(state.records, record, bound, unit.now)
        found[account] = UsedWindow(
            record.account, bound.window, record.booked, record.leased, bound.allowance, limit, record.drawn
        )
    return found
