"""Booking on one account: what its ceiling is, which pools units come from, and where they go back to.

INVARIANT (drawn): the sum of `drawn` of an account is always `booked + leased`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tiergate.usage.accounts import ALLOWANCE, OVERAGE, Figures, Part
from tiergate.usage.leases import cut

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tiergate.usage.accounts import AccountRecord, Bound, Pool
    from tiergate.usage.ledger_records import LedgerRecords


def ceiling_of(records: LedgerRecords, record: AccountRecord, bound: Bound) -> int | None:
    """Return how many units may be booked and leased in the window of an account; `None`: any number.

    A grant adds what other windows left of it. One that has ended, or was lowered, still adds what it gave here.
    """
    if not bound.limited:
        return None
    ceiling = 0
    listed = set()
    for pool in bound.pools:
        listed.add(pool.id)
        if pool.lasts:
            drawn = record.drawn.get(pool.id, 0)
            ceiling += max(drawn, pool.units - records.spent_of_grant(record.account, pool.id) + drawn)
        else:
            ceiling += pool.units
    ended = (units for pool, units in record.drawn.items() if pool not in listed and pool not in (ALLOWANCE, OVERAGE))
    return ceiling + sum(ended)


def figures_of(records: LedgerRecords, record: AccountRecord, bound: Bound | None) -> Figures:
    """Return the figures of an account. Without a bound nothing more is available."""
    used = record.booked + record.leased
    ceiling = used if bound is None else ceiling_of(records, record, bound)
    return Figures(
        record.account,
        record.until if bound is None else bound.window.until,
        record.booked,
        record.leased,
        ceiling,
        None if ceiling is None else max(0, ceiling - used),
        tuple(Part(pool, units) for pool, units in record.drawn.items() if units),
        record.version,
    )


def draw(records: LedgerRecords, record: AccountRecord, bound: Bound | None, units: int) -> tuple[Part, ...]:
    """Take units out of the pools, in their order; what they do not have is overage.

    The caller adds as many units to `booked` or `leased`.
    """
    parts = []
    for pool in () if bound is None else bound.pools:
        taken = min(units, _left(records, record, pool))
        if taken > 0:
            parts.append(Part(pool.id, taken))
            units -= taken
    if units:
        parts.append(Part(OVERAGE, units))
    _add(records, record, parts, 1)
    return tuple(parts)


def give_back(records: LedgerRecords, record: AccountRecord, parts: Sequence[Part], units: int) -> tuple[Part, ...]:
    """Return units to the pools that they came from, the last first: of `parts`, then of any other pool.

    The caller takes as many units from `booked` or `leased`. Return what remains of `parts`.
    """
    kept, returned = cut(parts, sum(part.units for part in parts) - units)
    _add(records, record, _covered(record, returned, units), -1)
    return kept


def give_back_booked(records: LedgerRecords, record: AccountRecord, bound: Bound | None, units: int) -> None:
    """Return booked units to their pools, in the reverse order in which they are spent: overage first."""
    order = [OVERAGE, *(pool.id for pool in reversed(() if bound is None else bound.pools) if pool.id != OVERAGE)]
    parts = [Part(pool, record.drawn.get(pool, 0)) for pool in order]
    _add(records, record, _covered(record, parts, units), -1)


def _left(records: LedgerRecords, record: AccountRecord, pool: Pool) -> int:
    if pool.lasts:
        return pool.units - records.spent_of_grant(record.account, pool.id)
    return pool.units - record.drawn.get(pool.id, 0)


def _covered(record: AccountRecord, parts: Iterable[Part], units: int) -> list[Part]:
    """Return parts of altogether so many units, each of at most what was drawn: of `parts`, then of other pools."""
    result: list[Part] = []
    drawn = dict(record.drawn)
    for part in (*parts, *(Part(pool, left) for pool, left in record.drawn.items())):
        taken = min(part.units, units, drawn.get(part.pool, 0))
        if taken > 0:
            result.append(Part(part.pool, taken))
            drawn[part.pool] -= taken
            units -= taken
    return result


def _add(records: LedgerRecords, record: AccountRecord, parts: Iterable[Part], sign: int) -> None:
    for part in parts:
        record.drawn[part.pool] = record.drawn.get(part.pool, 0) + sign * part.units
        if part.pool not in (ALLOWANCE, OVERAGE):
            spent = records.spent_of_grant(record.account, part.pool) + sign * part.units
            records.set_spent_of_grant(record.account, part.pool, spent)
