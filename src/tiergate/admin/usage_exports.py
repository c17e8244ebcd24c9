"""Usage as rows for other systems: windows, days, hours and grants, in a fixed order, each row with a cursor behind it.

Numbers are exact decimals by the feature's scale; of a feature that is not published any more, they are units as they
are stored. Windows and grants that have ended are exact once no late usage can come. Whoever reads all rows needs
constant memory: they are read in pages, each in a transaction of its own.
"""

from __future__ import annotations

import base64
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

import msgspec

from tiergate.errors import ParameterError
from tiergate.model import BEGINNING, FOREVER, from_units
from tiergate.store.usage_exports import (
    GrantPlace,
    WindowPlace,
    export_grants,
    export_series,
    export_windows,
    series_parts,
    window_place,
)
from tiergate.usage.pools import ALLOWANCE, OVERAGE, ROLLOVER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tiergate.model import CatalogIndex, Instant, Number
    from tiergate.store import ReadUnit, Store
    from tiergate.store.usage_exports import ExportFilter, SeriesPart
    from tiergate.store.usage_reads import UsedWindow
    from tiergate.store.usage_state import StoredGrant

PAGE: Final = 5_000
"""How many rows of the store are read at once."""

_CUSTOMERS: Final = 500
"""How many customers of a month or day of series are read at once."""

_SeriesPlace = tuple[str, int, str, int]
"""Feature, month or day, customer and instant of a row."""

_window_cursor: Final = msgspec.json.Decoder(tuple[str, WindowPlace])
_grant_cursor: Final = msgspec.json.Decoder(tuple[str, GrantPlace])
_series_cursor: Final = msgspec.json.Decoder(tuple[str, _SeriesPlace])

T = TypeVar("T")


class Dataset(StrEnum):
    """What is exported."""

    WINDOWS = "windows"
    """What each customer, subscription, user and everybody used in each window, and what they could use."""

    DAYS = "days"
    """What each customer used on each day in UTC."""

    HOURS = "hours"
    """What each customer used in each hour in UTC."""

    GRANTS = "grants"
    """The grants of customers, and how much of them was spent."""


class ColumnType(StrEnum):
    """What a column contains; each can be missing."""

    TEXT = "text"
    NUMBER = "number"
    INSTANT = "instant"
    COUNT = "count"
    FLAG = "flag"


class Column(NamedTuple):
    """A column of a dataset."""

    name: str
    type: ColumnType


class ExportedRow(NamedTuple):
    """One row, with a value for each column of its dataset, and the cursor that continues behind it.

    Instants are UTC milliseconds.
    """

    values: tuple[str | bool | Number | None, ...]
    cursor: str


def _columns(text: str) -> tuple[Column, ...]:
    pairs = (word.split(":") for word in text.split())
    return tuple(Column(name, ColumnType(type_)) for name, type_ in pairs)


COLUMNS: Final = {
    Dataset.WINDOWS: _columns(
        "customer:text feature:text scope:text member_id:text starts_at:instant ends_at:instant closed:flag used:number"
        " leased:number unlimited:flag allowance:number usage_limit:number overage:number used_of_grants:number"
    ),
    Dataset.DAYS: _columns("customer:text feature:text starts_at:instant used:number"),
    Dataset.HOURS: _columns("customer:text feature:text starts_at:instant used:number"),
    Dataset.GRANTS: _columns(
        "customer:text feature:text grant_id:text starts_at:instant ends_at:instant amount:number spent:number"
        " priority:count rolled_over:flag created_at:instant"
    ),
}
"""The columns of each dataset, in their order; new ones come last. No name is a word that SQL reserves."""


def export_rows(
    store: Store, dataset: Dataset, wanted: ExportFilter, cursor: str | None = None
) -> Iterator[list[ExportedRow]]:
    """Yield all rows of a dataset behind a cursor, in lists that are not empty.

    Raises:
        ParameterError: the cursor is not one of this dataset; at once, not with the first list.
        StoreError: if the store cannot be used.
    """
    match dataset:
        case Dataset.WINDOWS:
            return _pages(store, partial(_windows, wanted), _parse(cursor, dataset, _window_cursor))
        case Dataset.GRANTS:
            return _pages(store, partial(_grants, wanted), _parse(cursor, dataset, _grant_cursor))
        case Dataset.DAYS | Dataset.HOURS:
            return _series_pages(store, dataset, wanted, _parse(cursor, dataset, _series_cursor))


def _parse(cursor: str | None, dataset: Dataset, decoder: msgspec.json.Decoder[tuple[str, T]]) -> T | None:
    if cursor is None:
        return None
    try:
        content = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        name, place = decoder.decode(content)
    except (ValueError, msgspec.MsgspecError):
        name = ""
    if name != dataset:
        raise ParameterError("cursor", "is not one that this export gave out")
    return place


def _cursor(dataset: Dataset, place: tuple[str | int, ...]) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode([dataset.value, place])).decode().rstrip("=")


def _pages(
    store: Store, read: Callable[[ReadUnit, T | None], tuple[list[ExportedRow], T | None]], place: T | None
) -> Iterator[list[ExportedRow]]:
    """Yield pages; `read` returns the rows behind a place, and the next place unless that was the end."""
    while True:
        behind = place
        rows, place = store.read(lambda unit: read(unit, behind))  # noqa: B023 - called before the next round
        if rows:
            yield rows
        if place is None:
            return


def _windows(
    wanted: ExportFilter, unit: ReadUnit, behind: WindowPlace | None
) -> tuple[list[ExportedRow], WindowPlace | None]:
    index, now = unit.published.index, unit.now
    found = export_windows(unit, wanted, behind, PAGE)
    return [_window_row(index, used, now) for used in found], window_place(found[-1]) if len(found) == PAGE else None


def _window_row(index: CatalogIndex, used: UsedWindow, now: Instant) -> ExportedRow:
    account, scale, limit = used.account, _scale(index, used.account.feature), used.limit
    granted = sum(units for pool, units in used.drawn.items() if pool not in (ALLOWANCE, OVERAGE))
    values = (
        account.customer,
        account.feature,
        account.scope.value,
        account.member,
        _instant(used.window.start),
        _instant(used.window.until),
        used.window.until <= now,
        from_units(used.booked, scale),
        from_units(used.leased, scale),
        limit is None,
        None if used.allowance is None else from_units(used.allowance, scale),
        None if limit is None else from_units(limit, scale),
        None if limit is None else from_units(max(0, used.booked - limit), scale),
        from_units(granted, scale),
    )
    return ExportedRow(values, _cursor(Dataset.WINDOWS, window_place(used)))


def _grants(
    wanted: ExportFilter, unit: ReadUnit, behind: GrantPlace | None
) -> tuple[list[ExportedRow], GrantPlace | None]:
    index = unit.published.index
    found = export_grants(unit, wanted, behind, PAGE)
    return [_grant_row(index, stored) for stored in found], _grant_place(found[-1]) if len(found) == PAGE else None


def _grant_place(stored: StoredGrant) -> GrantPlace:
    return stored.customer, stored.feature, stored.grant.id


def _grant_row(index: CatalogIndex, stored: StoredGrant) -> ExportedRow:
    """Return a grant without its reason and author, who may be people."""
    grant, scale = stored.grant, _scale(index, stored.feature)
    values = (
        stored.customer,
        stored.feature,
        grant.id,
        _instant(grant.start),
        _instant(grant.until),
        from_units(grant.amount, scale),
        from_units(stored.spent, scale),
        grant.priority,
        grant.id.startswith(ROLLOVER),
        stored.created_at,
    )
    return ExportedRow(values, _cursor(Dataset.GRANTS, _grant_place(stored)))


def _series_pages(
    store: Store, dataset: Dataset, wanted: ExportFilter, behind: _SeriesPlace | None
) -> Iterator[list[ExportedRow]]:
    hourly = dataset is Dataset.HOURS
    for part in store.read(lambda unit: series_parts(unit, wanted, hourly=hourly)):
        if behind is not None and part < behind[:2]:
            continue
        begin = None if behind is None or part != behind[:2] else behind
        yield from _pages(store, partial(_series, dataset, wanted, part), begin)


def _series(
    dataset: Dataset, wanted: ExportFilter, part: SeriesPart, unit: ReadUnit, behind: _SeriesPlace | None
) -> tuple[list[ExportedRow], _SeriesPlace | None]:
    scale = _scale(unit.published.index, part.feature)
    first, at = ("", BEGINNING) if behind is None else behind[2:]
    found = export_series(unit, part, wanted, first, _CUSTOMERS, hourly=dataset is Dataset.HOURS)
    rows = [
        ExportedRow(
            (customer, part.feature, point.start, from_units(point.units, scale)),
            _cursor(dataset, (*part, customer, point.start)),
        )
        for customer, points in found
        for point in points
        if customer != first or point.start > at
    ]
    last = found[-1][0] if len(found) == _CUSTOMERS else None
    return rows, None if last is None else (*part, last, FOREVER)


def _scale(index: CatalogIndex, feature: str) -> int:
    found = index.features.get(feature)
    return 0 if found is None else found.scale


def _instant(at: Instant) -> Instant | None:
    return at if BEGINNING < at < FOREVER else None
