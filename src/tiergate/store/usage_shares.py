"""How much of their limits customers have used, counted and added up by features."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Float, and_, cast, func, literal_column, select

from tiergate.store.item_holdings import narrowed
from tiergate.store.tables import USAGE_ACCOUNTS, USAGE_WINDOWS
from tiergate.store.usage_state import ACCOUNT_KEY
from tiergate.usage.accounts import Scope

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import ColumnElement, Row, Table

    from tiergate.model import Instant
    from tiergate.store.item_holdings import Narrowing
    from tiergate.store.units import ReadUnit

_CUSTOMER: Final = Scope.CUSTOMER.value
_HALF_BITS: Final = 31
"""Sums are added up as two halves, because a sum of many customers may have more than 63 bits."""


class Share(StrEnum):
    """Which part of its limit a customer has used."""

    NONE = "none"
    BELOW_25 = "below_25"
    BELOW_50 = "below_50"
    BELOW_75 = "below_75"
    BELOW_90 = "below_90"
    BELOW_100 = "below_100"
    FULL = "full"
    OVER = "over"


_BOUNDS: Final = {Share.BELOW_25: 0.25, Share.BELOW_50: 0.5, Share.BELOW_75: 0.75, Share.BELOW_90: 0.9}


@dataclass
class UsedShares:
    """Customers with a window of usage of one feature.

    `limited`: those with a limit. `entitled`: how many of these have an allowance, which is more than 0.
    `allowance`, `limit`, `used`: the sums of those with a limit. `shares`: how many of them have used what part of it.
    """

    limited: int = 0
    entitled: int = 0
    allowance: int = 0
    limit: int = 0
    used: int = 0
    unlimited: int = 0
    used_unlimited: int = 0
    shares: dict[Share, int] = field(default_factory=lambda: dict.fromkeys(Share, 0))

    def add(self, other: UsedShares) -> None:
        """Add what another one has."""
        for name in ("limited", "entitled", "allowance", "limit", "used", "unlimited", "used_unlimited"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for share, count in other.shares.items():
            self.shares[share] += count


def used_shares(unit: ReadUnit, feature: str, at: Instant, wanted: Narrowing) -> UsedShares:
    """Count the customers with a window of usage of a feature that contains an instant, by the limits in their rows.

    Customers whose limit is 0 count if they have used something.
    """
    found = UsedShares()
    for table in (USAGE_ACCOUNTS, USAGE_WINDOWS) if at < unit.now else (USAGE_ACCOUNTS,):
        for row in unit.side_session.connection().execute(_query(table, feature, at, wanted, unit.now)):
            found.add(_shares_of(row))
    return found


def _query(table: Table, feature: str, at: Instant, wanted: Narrowing, now: Instant) -> Any:  # noqa: ANN401
    columns = table.c
    limit, booked = columns.limit_units, columns.booked
    counts: list[ColumnElement[Any]] = [
        func.count(limit).label("all_limited"),
        func.count().filter(limit == 0, booked == 0).label("idle"),
        func.count().filter(columns.allowance > 0).label("entitled"),
        func.count().filter(limit.is_(None)).label("unlimited"),
        func.count().filter(booked == 0, limit > 0).label(Share.NONE.value),
        func.count().filter(booked > limit).label(Share.OVER.value),
        func.count().filter(booked == limit, booked > 0).label(Share.FULL.value),
        func.count().filter(booked < limit, booked > 0).label("below"),
        *(
            func.count().filter(booked > 0, booked < limit, booked < cast(limit, Float) * bound).label(share.value)
            for share, bound in _BOUNDS.items()
        ),
        *_sums("allowance_units", columns.allowance, limit.is_not(None)),
        *_sums("limits", limit, limit.is_not(None)),
        *_sums("used", booked, limit.is_not(None)),
        *_sums("used_unlimited", booked, limit.is_(None)),
    ]
    latest = USAGE_ACCOUNTS.c
    query = select(*counts).where(
        latest.feature == feature,
        latest.scope == _CUSTOMER,
        columns.start <= at,
        columns.until > at,
        *narrowed(latest.customer, wanted, now),
    )
    if table is USAGE_ACCOUNTS:
        return query
    # Earlier windows are found by the accounts of the feature: there is no index of them by feature.
    return query.join_from(USAGE_ACCOUNTS, table, and_(*(columns[name] == latest[name] for name in ACCOUNT_KEY)))


def _sums(name: str, column: ColumnElement[int], condition: ColumnElement[bool]) -> Sequence[ColumnElement[Any]]:
    bits: ColumnElement[int] = literal_column(str(_HALF_BITS))
    mask: ColumnElement[int] = literal_column(str((1 << _HALF_BITS) - 1))
    high, low = func.sum(column.bitwise_rshift(bits)), func.sum(column.bitwise_and(mask))
    return high.filter(condition).label(f"{name}_high"), low.filter(condition).label(f"{name}_low")


def _shares_of(row: Row[Any]) -> UsedShares:
    counts = row._mapping  # noqa: SLF001 - its public name

    def total(name: str) -> int:
        return (int(counts[f"{name}_high"] or 0) << _HALF_BITS) + int(counts[f"{name}_low"] or 0)

    shares = {share: counts[share.value] for share in (Share.NONE, Share.FULL, Share.OVER)}
    below = 0
    for share in _BOUNDS:
        shares[share] = counts[share.value] - below
        below = counts[share.value]
    shares[Share.BELOW_100] = counts["below"] - below
    return UsedShares(
        limited=counts["all_limited"] - counts["idle"],
        entitled=counts["entitled"],
        allowance=total("allowance_units"),
        limit=total("limits"),
        used=total("used"),
        unlimited=counts["unlimited"],
        used_unlimited=total("used_unlimited"),
        shares=shares,
    )
