"""What is deleted of usage, and when; series are in `usage_series`.

Windows are kept for as long as the operator says, keys and holders for as long as they matter. Windows with leases that
are not settled stay, because their holders may still report. Each function deletes some rows, so that no transaction is
long, and returns how many: call it until that is 0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import select

from tiergate.store.keyed_rows import delete_rows
from tiergate.store.tables import (
    USAGE_ACCOUNTS,
    USAGE_GRANTS,
    USAGE_HOLDERS,
    USAGE_KEYS,
    USAGE_WINDOWS,
)
from tiergate.store.usage_state import ACCOUNT_KEY, GRANT_KEY, WINDOW_KEY
from tiergate.usage.idempotency import KEY_TTL_MS

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Table

    from tiergate.model import Instant
    from tiergate.store.units import WriteUnit

HOLDER_MS: Final = 90 * 24 * 3600 * 1000
"""Milliseconds for which a holder without leases is known after its last request. Then it begins a new epoch."""

_BATCH: Final = 5_000


def drop_windows(unit: WriteUnit, before: Instant) -> int:
    """Delete windows that ended before an instant, and the last one of an account too."""
    columns = USAGE_WINDOWS.c
    dropped = _drop(unit, USAGE_WINDOWS, WINDOW_KEY, (columns.until < before) & (columns.leases == 0))
    latest = USAGE_ACCOUNTS.c
    return dropped + _drop(unit, USAGE_ACCOUNTS, ACCOUNT_KEY, (latest.until < before) & (latest.leases == 0))


def drop_grants(unit: WriteUnit, before: Instant) -> int:
    """Delete grants that ended before an instant."""
    return _drop(unit, USAGE_GRANTS, GRANT_KEY, USAGE_GRANTS.c.until < before)


def drop_keys(unit: WriteUnit, now: Instant) -> int:
    """Delete idempotency keys whose time is over."""
    return _drop(unit, USAGE_KEYS, ("key",), USAGE_KEYS.c.at <= now - KEY_TTL_MS)


def drop_holders(unit: WriteUnit, now: Instant) -> int:
    """Delete holders without leases that have not been seen for `HOLDER_MS`."""
    columns = USAGE_HOLDERS.c
    return _drop(unit, USAGE_HOLDERS, ("holder",), (columns.seen < now - HOLDER_MS) & (columns.leases == 0))


def _drop(unit: WriteUnit, table: Table, key: tuple[str, ...], condition: ColumnElement[bool]) -> int:
    connection = unit.session.connection()
    query = select(*(table.c[name] for name in key)).where(condition).limit(_BATCH).with_for_update(skip_locked=True)
    return delete_rows(connection, table, key, [tuple(row) for row in connection.execute(query)])
