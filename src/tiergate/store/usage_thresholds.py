"""Thresholds of usage: those of single customers, what has fired, and the accounts whose limit may have moved."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec
from sqlalchemy import bindparam, delete, insert, select, tuple_, update

from tiergate.model import Instant, Threshold
from tiergate.store.batches import in_batches
from tiergate.store.id_lists import is_among
from tiergate.store.prepared_queries import Query, fetch_together
from tiergate.store.tables import EVENT_HEAD, ONLY_ROW, USAGE_ACCOUNTS, USAGE_THRESHOLDS
from tiergate.usage.accounts import Account, Scope
from tiergate.usage.bookings import limit_of
from tiergate.usage.thresholds import ReachedThreshold, newly_reached

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from sqlalchemy import Connection

    from tiergate.model import CatalogIndex
    from tiergate.store.units import ReadUnit, WriteUnit
    from tiergate.store.usage_state import UsageState
    from tiergate.usage.accounts import AccountRecord
    from tiergate.usage.ledger import BoundOf

OWN_THRESHOLDS: Final = Query(
    select(USAGE_THRESHOLDS.c.customer, USAGE_THRESHOLDS.c.feature, USAGE_THRESHOLDS.c.levels).where(
        is_among(USAGE_THRESHOLDS.c.customer)
    )
)
"""The thresholds of some customers (`ids`); `levels_of_rows` takes its rows."""

_decode: Final = msgspec.json.Decoder(tuple[Threshold, ...]).decode


class OwnThresholds(NamedTuple):
    """The thresholds of one customer for a feature, in their order, and how often they were changed."""

    feature: str
    thresholds: tuple[Threshold, ...]
    etag: int


def levels_of_rows(rows: Iterable[Sequence[str]]) -> dict[tuple[str, str], tuple[Threshold, ...]]:
    """Return thresholds by customer and feature, from the rows of `OWN_THRESHOLDS`."""
    return {(customer, feature): _decode(levels) for customer, feature, levels in rows}


def read_own_thresholds(unit: ReadUnit, customer: str) -> list[OwnThresholds]:
    """Read the thresholds of a customer, by feature."""
    columns = USAGE_THRESHOLDS.c
    query = select(columns.feature, columns.levels, columns.etag).where(columns.customer == customer)
    rows = unit.side_session.connection().execute(query.order_by(columns.feature))
    return [OwnThresholds(row.feature, _decode(row.levels), row.etag) for row in rows]


def write_own_thresholds(
    unit: WriteUnit, customer: str, feature: str, thresholds: tuple[Threshold, ...] | None, etag: int
) -> None:
    """Set the thresholds of a customer for a feature; `None`: those of the feature. `etag`: 1 if there were none."""
    connection = unit.session.connection()
    columns = USAGE_THRESHOLDS.c
    mine = (columns.customer == customer) & (columns.feature == feature)
    if thresholds is None:
        connection.execute(delete(USAGE_THRESHOLDS).where(mine))
        return
    values = {"levels": msgspec.json.encode(thresholds).decode(), "etag": etag, "updated_at": unit.now}
    if etag == 1:
        connection.execute(insert(USAGE_THRESHOLDS), [{"customer": customer, "feature": feature, **values}])
    else:
        connection.execute(update(USAGE_THRESHOLDS).where(mine).values(values))


def delete_own_thresholds(unit: WriteUnit, customer: str) -> None:
    """Delete all thresholds of a customer."""
    columns = USAGE_THRESHOLDS.c
    unit.side_writing_session.connection().execute(delete(USAGE_THRESHOLDS).where(columns.customer == customer))


def fired_of(unit: ReadUnit, customer: str) -> dict[str, list[str]]:
    """Return which thresholds have fired in the current window of a customer, by feature."""
    columns = USAGE_ACCOUNTS.c
    query = select(columns.feature, columns.fired).where(
        columns.customer == customer, columns.scope == Scope.CUSTOMER.value, columns.fired.is_not(None)
    )
    rows = unit.side_session.connection().execute(query.where(columns.until > unit.now))
    return {row.feature: msgspec.json.decode(row.fired, type=list[str]) for row in rows}


# ── what fires ───────────────────────────────────────────────────────────────────────────────────────────────────────


def find_reached(state: UsageState, records: Iterable[AccountRecord], bound_of: BoundOf) -> list[ReachedThreshold]:
    """Find the thresholds that changed accounts of customers have newly reached, and note in `state` that they fired.

    The limit is that of now, whenever the usage was; of a window that has ended, the one at its end.
    """
    reached: list[ReachedThreshold] = []
    for record in records:
        account = record.account
        if account.scope is not Scope.CUSTOMER or not record.booked:
            continue
        known = state.bounds.get(account)
        if known is not None and not known.thresholds:
            continue
        until = record.until if known is None else known.window.until
        at = max(account.window, min(state.now, until - 1))
        bound = bound_of(account, at)
        if bound is None or not bound.thresholds or bound.window.start != account.window:
            continue
        fired = state.fired.get(account, frozenset())
        limit = limit_of(state.records, record, bound, at)
        new = newly_reached(bound.thresholds, fired, record.booked, limit)
        if new:
            state.fired[account] = fired | {threshold.key for threshold in new}
            reached += [ReachedThreshold(account, bound.window, it, record.booked, limit) for it in new]
    return reached


# ── whose limit may have moved ───────────────────────────────────────────────────────────────────────────────────────


def metered_features(index: CatalogIndex) -> frozenset[str]:
    """Return the features whose usage is counted."""
    return frozenset(it.id for it in index.features.values() if it.metered is not None)


def features_with_thresholds(index: CatalogIndex) -> frozenset[str]:
    """Return the features that have thresholds for all customers."""
    features = index.features.values()
    return frozenset(it.id for it in features if it.metered is not None and it.metered.thresholds)


_OPEN_ACCOUNTS: Final = Query(
    select(USAGE_ACCOUNTS.c.feature, USAGE_ACCOUNTS.c.customer, USAGE_ACCOUNTS.c.start).where(
        is_among(USAGE_ACCOUNTS.c.customer),
        USAGE_ACCOUNTS.c.scope == Scope.CUSTOMER.value,
        USAGE_ACCOUNTS.c.until > bindparam("now"),
        is_among(USAGE_ACCOUNTS.c.feature, "features"),
    )
)


def open_accounts(
    connection: Connection, customers: Collection[str], features: Collection[str], now: Instant
) -> list[Account]:
    """Return the accounts of customers, with a row, whose window is open."""
    found: list[Account] = []
    for part in in_batches(sorted(customers)):
        parameters = {"ids": part, "features": sorted(features), "now": now}
        (rows,) = fetch_together(connection, [(_OPEN_ACCOUNTS, parameters)])
        found += [Account(row.feature, Scope.CUSTOMER, row.customer, "", row.start) for row in rows]
    return sorted(found)


def next_accounts(
    connection: Connection, features: Collection[str], now: Instant, after: tuple[str, str], limit: int
) -> list[Account]:
    """Return up to `limit` accounts of customers, with a row, by customer and feature, whose window is open."""
    columns = USAGE_ACCOUNTS.c
    query = (
        select(columns.customer, columns.feature, columns.start)
        .where(
            tuple_(columns.customer, columns.feature) > after,
            columns.scope == Scope.CUSTOMER.value,
            columns.feature.in_(features),
            columns.until > now,
        )
        .order_by(columns.customer, columns.feature)
        .limit(limit)
    )
    return [Account(row.feature, Scope.CUSTOMER, row.customer, "", row.start) for row in connection.execute(query)]


def read_checked_publication(unit: ReadUnit) -> int:
    """Return the last publication after which the thresholds of all customers were checked."""
    query = select(EVENT_HEAD.c.checked_publication).where(EVENT_HEAD.c.key == ONLY_ROW)
    return int(unit.session.connection().execute(query).scalar_one())


def write_checked_publication(unit: WriteUnit, publication: int) -> None:
    """Note that the thresholds of all customers were checked after a publication."""
    columns = EVENT_HEAD.c
    edit = update(EVENT_HEAD).where(columns.key == ONLY_ROW, columns.checked_publication < publication)
    unit.session.connection().execute(edit.values(checked_publication=publication))
