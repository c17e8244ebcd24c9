"""Usage as it is exported: all of it, in pages by the keys of its rows.

Each page is one read. What changes between two pages is in the export as it is when its page is read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from sqlalchemy import and_, func, select, tuple_

from tiergate.model import BEGINNING, FOREVER
from tiergate.store.customers import CustomerFilter, is_customer
from tiergate.store.tables import USAGE_ACCOUNTS, USAGE_GRANTS, USAGE_WINDOWS
from tiergate.store.usage_reads import used_window
from tiergate.store.usage_series import DAYS, HOURS, points_of
from tiergate.store.usage_state import ACCOUNT_KEY, GRANT_KEY, stored_grant

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Table

    from tiergate.model import Instant
    from tiergate.store.units import ReadUnit
    from tiergate.store.usage_reads import UsedWindow
    from tiergate.store.usage_series import Layout, SeriesPoint
    from tiergate.store.usage_state import StoredGrant

WINDOW_ORDER: Final = (*ACCOUNT_KEY, "start")

WindowPlace = tuple[str, str, str, str, int]
"""Customer, feature, scope, member and start of a window."""

GrantPlace = tuple[str, str, str]
"""Customer, feature and id of a grant."""


class ExportFilter(NamedTuple):
    """What is exported. Empty `features` and no `customers` are all.

    Windows and grants that overlap the interval from `start` until `until`, or if `ended` those that end in it; the
    days and hours that begin in it.
    """

    features: tuple[str, ...] = ()
    customer: str | None = None
    customers: CustomerFilter | None = None
    start: Instant = BEGINNING
    until: Instant = FOREVER
    ended: bool = False


class SeriesPart(NamedTuple):
    """One period of the series of a feature: a month of its days, or a day of its hours."""

    feature: str
    period: int


def export_windows(unit: ReadUnit, wanted: ExportFilter, after: WindowPlace | None, limit: int) -> list[UsedWindow]:
    """Return the next windows by customer, feature, scope, member and start: open and closed ones."""
    found: list[UsedWindow] = []
    for table in (USAGE_WINDOWS, USAGE_ACCOUNTS):
        columns = table.c
        conditions = _conditions(table, wanted)
        if after is not None:
            account = tuple_(*(columns[name] for name in ACCOUNT_KEY))
            conditions.append(account >= tuple_(*after[:-1]))
            conditions.append((account > tuple_(*after[:-1])) | (columns.start > after[-1]))
        order = [columns[name] for name in WINDOW_ORDER]
        query = select(table).where(*conditions).order_by(*order).limit(limit)
        found += [used_window(row) for row in unit.side_session.connection().execute(query)]
    return sorted(found, key=window_place)[:limit]


def window_place(used: UsedWindow) -> WindowPlace:
    """Return where a window is in the order of `export_windows`."""
    account = used.account
    return account.customer, account.feature, account.scope.value, account.member, used.window.start


def export_grants(unit: ReadUnit, wanted: ExportFilter, after: GrantPlace | None, limit: int) -> list[StoredGrant]:
    """Return the next grants by customer, feature and id."""
    columns = USAGE_GRANTS.c
    conditions = _conditions(USAGE_GRANTS, wanted)
    order = [columns[name] for name in GRANT_KEY]
    if after is not None:
        conditions.append(tuple_(*order) > tuple_(*after))
    query = select(USAGE_GRANTS).where(*conditions).order_by(*order).limit(limit)
    return [stored_grant(row) for row in unit.side_session.connection().execute(query)]


def _conditions(table: Table, wanted: ExportFilter) -> list[ColumnElement[bool]]:
    columns = table.c
    conditions = _of_whom(table, wanted)
    if wanted.ended:
        conditions.append(and_(columns.until >= wanted.start, columns.until < wanted.until))
    else:
        if wanted.start > BEGINNING:
            conditions.append(columns.until > wanted.start)
        if wanted.until < FOREVER:
            conditions.append(columns.start < wanted.until)
    return conditions


def _of_whom(table: Table, wanted: ExportFilter) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if wanted.features:
        conditions.append(table.c.feature.in_(wanted.features))
    if wanted.customer is not None:
        conditions.append(table.c.customer == wanted.customer)
    if wanted.customers is not None:
        conditions.append(is_customer(table.c.customer, wanted.customers))
    return conditions


def series_parts(unit: ReadUnit, wanted: ExportFilter, *, hourly: bool) -> list[SeriesPart]:
    """Return the parts of the series of an interval that may have rows, by feature and period."""
    layout = HOURS if hourly else DAYS
    columns, connection = layout.table.c, unit.side_session.connection()
    period = columns[layout.period]
    parts: list[SeriesPart] = []
    for feature in sorted(wanted.features) or _features_of(unit, layout):
        query = select(func.min(period), func.max(period)).where(columns.feature == feature)
        first, last = connection.execute(query).one()
        if first is None:
            continue
        begin = first if wanted.start <= layout.first_of(first) else layout.place_of(wanted.start)[0]
        end = last if wanted.until > layout.first_of(last) else layout.place_of(max(wanted.until - 1, 0))[0]
        parts += [SeriesPart(feature, number) for number in range(begin, end + 1)]
    return parts


def _features_of(unit: ReadUnit, layout: Layout) -> list[str]:
    column = layout.table.c.feature
    features: list[str] = []
    feature: str | None = ""
    while True:  # each of these reads one entry of the index
        query = select(func.min(column)).where(column > feature)
        feature = unit.side_session.connection().execute(query).scalar_one()
        if feature is None:
            return features
        features.append(feature)


def export_series(
    unit: ReadUnit, part: SeriesPart, wanted: ExportFilter, first: str, limit: int, *, hourly: bool
) -> list[tuple[str, list[SeriesPoint]]]:
    """Return customers in a part of the series, by id from `first` on, with the days or hours of usage."""
    layout = HOURS if hourly else DAYS
    columns = layout.table.c
    conditions = [
        *_of_whom(layout.table, wanted._replace(features=(part.feature,))),
        columns[layout.period] == part.period,
        columns.customer >= first,
    ]
    query = select(columns.customer, columns.units).where(*conditions).order_by(columns.customer).limit(limit)
    rows = unit.side_session.connection().execute(query)
    return [
        (row.customer, points_of(layout, part.period, bytes(row.units), wanted.start, wanted.until)) for row in rows
    ]


def oldest_usage(unit: ReadUnit) -> Instant | None:
    """Return an instant before which no usage is stored; `None` if there is none at all."""
    connection = unit.side_session.connection()
    days = [
        connection.execute(select(func.min(DAYS.table.c.month)).where(DAYS.table.c.feature == feature)).scalar_one()
        for feature in _features_of(unit, DAYS)
    ]
    return min(map(DAYS.first_of, days), default=None)
