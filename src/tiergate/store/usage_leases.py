"""Leases as they are stored: which holders have units of whom. A holder's identity is a secret: people see its name."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import func, select

from tiergate.store.tables import USAGE_HOLDERS, USAGE_LEASES
from tiergate.store.usage_state import lease_of
from tiergate.usage.leases import holder_name

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement

    from tiergate.model import Instant
    from tiergate.store.units import ReadUnit
    from tiergate.usage.leases import LeaseRecord


class LeaseFilter(NamedTuple):
    """Which leases are meant; `None`: all. `holder`: its name."""

    customer: str | None = None
    feature: str | None = None
    holder: str | None = None


class StoredLease(NamedTuple):
    """A lease, and when its holder's last request was."""

    lease: LeaseRecord
    seen: Instant

    @property
    def place(self) -> tuple[str, int]:
        """The name of the holder and the number of the lease: what lists are ordered by."""
        return holder_name(self.lease.holder), self.lease.number


def find_leases(unit: ReadUnit, wanted: LeaseFilter, after: tuple[str, int] | None, limit: int) -> list[StoredLease]:
    """Return leases that are not settled, by the names of their holders and their numbers."""
    found: list[StoredLease] = []
    columns = USAGE_LEASES.c
    for name, identity, seen in _holders(unit, wanted):
        if len(found) >= limit or (after is not None and name < after[0]):
            continue
        number = after[1] if after is not None and name == after[0] else 0
        query = (
            select(USAGE_LEASES)
            .where(columns.holder == identity, columns.number > number, *_conditions(wanted))
            .order_by(columns.number)
            .limit(limit - len(found))
        )
        found += [StoredLease(lease_of(row), seen) for row in unit.side_session.connection().execute(query)]
    return found


class LeaseCounts(NamedTuple):
    """How many leases are not settled, and how many of them have expired and are not written off."""

    open: int
    expired: int


def count_leases(unit: ReadUnit) -> LeaseCounts:
    """Count the leases that are not settled."""
    columns = USAGE_LEASES.c
    expired = func.count().filter(columns.expires <= unit.now, ~columns.written_off)
    row = unit.side_session.connection().execute(select(func.count(), expired).select_from(USAGE_LEASES)).one()
    return LeaseCounts(*row)


def find_holder(unit: ReadUnit, name: str) -> str | None:
    """Return the identity of the holder with a name, if it has leases."""
    return next((identity for _, identity, _ in _holders(unit, LeaseFilter(holder=name))), None)


def _holders(unit: ReadUnit, wanted: LeaseFilter) -> list[tuple[str, str, Instant]]:
    """Return the names, identities and last requests of the holders that have such leases, by their names."""
    leases, holders = USAGE_LEASES.c, USAGE_HOLDERS.c
    query = (
        select(leases.holder, holders.seen)
        .join(USAGE_HOLDERS, holders.holder == leases.holder)
        .where(*_conditions(wanted))
        .distinct()
    )
    rows = unit.side_session.connection().execute(query)
    named = [(holder_name(row.holder), row.holder, row.seen) for row in rows]
    return sorted(it for it in named if wanted.holder in {None, it[0]})


def _conditions(wanted: LeaseFilter) -> list[ColumnElement[bool]]:
    columns = USAGE_LEASES.c
    conditions = []
    if wanted.customer is not None:
        conditions.append(columns.customer == wanted.customer)
    if wanted.feature is not None:
        conditions.append(columns.feature == wanted.feature)
    return conditions
