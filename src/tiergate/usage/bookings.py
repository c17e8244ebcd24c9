"""Booking on one account: `pools` says where units come from; here the records follow.

INVARIANT (drawn): the sum of `drawn` of an account is always `booked + leased`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tiergate.model import BEGINNING
from tiergate.usage.accounts import Figures
from tiergate.usage.pools import ALLOWANCE, OVERAGE, Grant, Pools

if TYPE_CHECKING:
    from collections.abc import Callable

    from tiergate.model import Instant
    from tiergate.usage.accounts import AccountRecord, Bound
    from tiergate.usage.ledger_records import LedgerRecords
    from tiergate.usage.pools import Part


def limit_of(records: LedgerRecords, record: AccountRecord, bound: Bound, at: Instant) -> int | None:
    """Return the limit of the window of an account: the allowance, and what grants add; `None`: unlimited."""
    if bound.allowance is None or not bound.grants:
        return bound.allowance
    return bound.allowance + _pools(records, record, bound).added(at)


def ceiling_of(records: LedgerRecords, record: AccountRecord, bound: Bound, at: Instant) -> int | None:
    """Return how many units may be booked and leased in the window of an account; `None`: any number."""
    if bound.allowance is None or bound.overage_max is None:
        return None
    if not bound.grants:
        return bound.allowance + bound.overage_max
    limit = limit_of(records, record, bound, at)
    return None if limit is None else limit + bound.overage_max


def figures_of(records: LedgerRecords, record: AccountRecord, bound: Bound | None, at: Instant) -> Figures:
    """Return the figures of an account. Without a bound nothing more is available."""
    used = record.booked + record.leased
    ceiling = used if bound is None else ceiling_of(records, record, bound, at)
    return Figures(
        record.account,
        record.until if bound is None else bound.window.until,
        record.booked,
        record.leased,
        ceiling,
        None if ceiling is None else max(0, ceiling - used),
        tuple(record.drawn.items()),
        record.version,
    )


def is_settled(records: LedgerRecords, record: AccountRecord, bound: Bound | None, at: Instant) -> bool:
    """Return whether nothing follows from another limit: no pool takes overage over, no threshold can be reached."""
    if bound is None or bound.thresholds:
        return False
    settled = _pools(records, record, bound).debit(0, at).drawn
    return all(settled.get(pool, 0) == record.drawn.get(pool, 0) for pool in settled.keys() | record.drawn.keys())


def draw(records: LedgerRecords, record: AccountRecord, bound: Bound | None, units: int, at: Instant) -> None:
    """Take units out of the pools; what they do not have is overage.

    The caller adds as many units to `booked` or `leased`.
    """
    _change(records, record, bound, lambda pools: pools.debit(units, at))


def give_back(records: LedgerRecords, record: AccountRecord, bound: Bound | None, units: int, at: Instant) -> None:
    """Return units to the pools, the last spent first. The caller takes as many from `booked` or `leased`."""
    _change(records, record, bound, lambda pools: pools.give_back(units, at))


def _change(
    records: LedgerRecords, record: AccountRecord, bound: Bound | None, change: Callable[[Pools], Pools]
) -> None:
    before = _pools(records, record, bound)
    after = change(before)
    record.drawn = after.drawn
    if before.grants:
        for part in after.parts_since(before):
            _count_grant(records, record, part)


def _count_grant(records: LedgerRecords, record: AccountRecord, part: Part) -> None:
    if part.pool not in (ALLOWANCE, OVERAGE):
        spent = records.spent_of_grant(record.account, part.pool) + part.units
        records.set_spent_of_grant(record.account, part.pool, spent)


def _pools(records: LedgerRecords, record: AccountRecord, bound: Bound | None) -> Pools:
    """Return the pools of an account. Grants that its bound does not list any more have ended."""
    account, drawn = record.account, record.drawn
    listed = () if bound is None else bound.grants
    if not listed and drawn.keys() <= {ALLOWANCE, OVERAGE}:
        grants = []
    else:
        grants = [(grant, records.spent_of_grant(account, grant.id)) for grant in listed]
        ids = {grant.id for grant in listed} | {ALLOWANCE, OVERAGE}
        for pool in drawn.keys() - ids:
            spent = records.spent_of_grant(account, pool)
            grants.append((Grant(pool, spent, until=BEGINNING), spent))
    if bound is None:
        return Pools.of(0, drawn, grants)
    return Pools.of(bound.allowance, drawn, grants, bound.order)
