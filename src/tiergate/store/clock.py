"""What the clock has still to tell: the rows of customers, grants and windows whose next instant has come.

Each such row has a column `next_at`. Whoever changes a row sets it; the clock's job looks for those that are due.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sqlalchemy import func, select, update

from tiergate.store.tables import (
    EVENT_HEAD,
    ONLY_ROW,
    PUBLICATIONS,
    RECORDS,
    USAGE_ACCOUNTS,
    USAGE_GRANTS,
)
from tiergate.store.usage_events import EndedWindow
from tiergate.store.usage_state import StoredGrant, grant_columns, stored_grant
from tiergate.usage.accounts import Account, Scope
from tiergate.usage.pools import ROLLOVER

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Table

    from tiergate.model import Instant
    from tiergate.store.units import ReadUnit, WriteUnit

UNKNOWN: Final = 0
"""The `next_at` of a record for which it was not found out."""


class DueRecord(NamedTuple):
    """A record with something that is due, the first at `next_at`."""

    customer: str
    record: bytes
    next_at: Instant


def due_at(unit: ReadUnit) -> Instant | None:
    """Return the first instant that is still to be told; `None`: there is none."""
    connection = unit.session.connection()
    found = [connection.execute(select(func.min(table.c.next_at))).scalar_one() for table in _TABLES]
    return min((at for at in found if at is not None), default=None)


_TABLES: Final[Sequence[Table]] = (RECORDS, USAGE_GRANTS, USAGE_ACCOUNTS)


def due_records(unit: ReadUnit, limit: int, customers: Sequence[str] | None = None) -> list[DueRecord]:
    """Read records with something that is due, the earliest first; of some customers, or of all."""
    columns = RECORDS.c
    query = select(columns.customer, columns.record, columns.next_at).where(columns.next_at <= unit.now)
    if customers is not None:
        query = query.where(columns.customer.in_(customers))
    rows = unit.session.connection().execute(query.order_by(columns.next_at).limit(limit))
    return [DueRecord(row.customer, bytes(row.record), row.next_at) for row in rows]


def set_next_of_record(unit: WriteUnit, customer: str, next_at: Instant | None) -> None:
    """Set when something in a record begins or ends next."""
    edit = update(RECORDS).where(RECORDS.c.customer == customer).values(next_at=next_at)
    unit.session.connection().execute(edit)


def due_grants(unit: ReadUnit, limit: int) -> list[tuple[StoredGrant, Instant]]:
    """Read grants that have begun or ended, with the instant, the earliest first."""
    columns = USAGE_GRANTS.c
    query = select(USAGE_GRANTS).where(columns.next_at <= unit.now).order_by(columns.next_at).limit(limit)
    return [(stored_grant(row), row.next_at) for row in unit.session.connection().execute(query)]


def claim_grant(unit: WriteUnit, stored: StoredGrant, next_at: Instant) -> StoredGrant | None:
    """Note that what a grant had to tell at `next_at` is told, and return it as it is; `None`: somebody else did."""
    columns = USAGE_GRANTS.c
    mine = (
        (columns.customer == stored.customer)
        & (columns.feature == stored.feature)
        & (columns.id == stored.grant.id)
        & (columns.next_at == next_at)
    )
    connection = unit.session.connection()
    row = connection.execute(select(USAGE_GRANTS).where(mine).with_for_update()).one_or_none()
    if row is None:
        return None
    found = stored_grant(row)
    later = grant_columns(found, next_at)["next_at"]
    connection.execute(update(USAGE_GRANTS).where(mine).values(next_at=later))
    return found


def due_windows(unit: ReadUnit, limit: int) -> list[EndedWindow]:
    """Read windows that have ended, the earliest first."""
    columns = USAGE_ACCOUNTS.c
    query = select(USAGE_ACCOUNTS).where(columns.next_at <= unit.now).order_by(columns.next_at).limit(limit)
    return [_window(row) for row in unit.session.connection().execute(query)]


def claim_window(unit: WriteUnit, window: EndedWindow) -> EndedWindow | None:
    """Note that the end of a window is told, and return it as it is; `None`: somebody else did."""
    columns, account = USAGE_ACCOUNTS.c, window.account
    mine = (
        (columns.customer == account.customer)
        & (columns.feature == account.feature)
        & (columns.scope == Scope.CUSTOMER.value)
        & (columns.member == "")
        & (columns.start == account.window)
        & (columns.next_at <= unit.now)
    )
    connection = unit.session.connection()
    row = connection.execute(select(USAGE_ACCOUNTS).where(mine).with_for_update()).one_or_none()
    if row is None:
        return None
    connection.execute(update(USAGE_ACCOUNTS).where(mine).values(next_at=None))
    return _window(row)


def _window(row: Any) -> EndedWindow:  # noqa: ANN401 - a row of the table
    account = Account(row.feature, Scope.CUSTOMER, row.customer, "", row.start)
    return EndedWindow(account, row.until, row.booked, row.limit_units)


def is_rollover(stored: StoredGrant) -> bool:
    """Return whether a grant is what rolled over from a window."""
    return stored.grant.id.startswith(ROLLOVER)


def read_catalog_told(unit: ReadUnit, *, lock: bool = False) -> Instant:
    """Return until when it was told what begins and ends in the catalog."""
    query = select(EVENT_HEAD.c.catalog_told).where(EVENT_HEAD.c.key == ONLY_ROW)
    return int(unit.session.connection().execute(query.with_for_update() if lock else query).scalar_one())


def write_catalog_told(unit: WriteUnit, at: Instant) -> None:
    """Note until when it was told what begins and ends in the catalog."""
    edit = update(EVENT_HEAD).where(EVENT_HEAD.c.key == ONLY_ROW).values(catalog_told=at)
    unit.session.connection().execute(edit)


def publication_before(unit: ReadUnit, at: Instant) -> int:
    """Return the publication in force just before an instant; 0: none."""
    query = select(func.max(PUBLICATIONS.c.sequence)).where(PUBLICATIONS.c.issued_at < at)
    return unit.session.connection().execute(query).scalar_one() or 0
