"""Service levels as rows for other systems: each promise in each of its windows, in a fixed order.

Each row has a cursor behind it. Windows that have ended are final unless their reports are edited, or outcomes come
late. Rows are computed in pages, each in a transaction of its own, so that whoever reads all of them needs constant
memory.
"""

from __future__ import annotations

import base64
from itertools import islice
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from tiergate.admin.service_level_figures import compute, wanted_promise
from tiergate.admin.service_levels import is_wanted, percent_of, windows_between
from tiergate.errors import ParameterError
from tiergate.model import MILLIONTHS, Interval, format_instant
from tiergate.status.promises import PromiseKey
from tiergate.store.service_levels import read_promises

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tiergate.admin.service_level_figures import Standing, Wanted
    from tiergate.admin.service_levels import LevelFilter
    from tiergate.model import Instant
    from tiergate.store import ReadUnit, Store

PAGE: Final = 500
"""How many rows are computed at once."""

COLUMNS: Final = (
    *("feature", "item", "starts_at", "ends_at", "measured_until", "closed", "promised_availability"),
    *("operational_ms", "degraded_ms", "partial_ms", "down_ms", "maintenance_ms", "unknown_ms"),
    *("availability", "kept", "allowed_ms", "spent_ms", "left_ms"),
)
"""The columns, in their order; new ones come last. No name is a word that SQL reserves."""


class ExportedLevel(NamedTuple):
    """One row: a value for each column, `None` for what there is none of, and the cursor that continues behind it."""

    values: tuple[object, ...]
    cursor: str


class _Place(msgspec.Struct, array_like=True, frozen=True):
    """What a page ended with: a promise and the end of its window, where the next one is looked for."""

    feature: str
    item: str
    until: int


_place_decoder: Final = msgspec.json.Decoder(_Place)


def export_service_levels(
    store: Store, wanted: LevelFilter, start: Instant, until: Instant, cursor: str | None = None
) -> Iterator[list[ExportedLevel]]:
    """Yield all windows that overlap an interval, by feature, item and start, in lists that are not empty.

    Windows that have not begun are left out.

    Raises:
        ParameterError: the cursor is not one of this export; at once, not with the first list.
        StoreError: if the store cannot be used.
    """
    return _pages(store, wanted, Interval(start, until), None if cursor is None else _parse(cursor))


def _pages(store: Store, wanted: LevelFilter, within: Interval, place: _Place | None) -> Iterator[list[ExportedLevel]]:
    while True:
        behind = place
        rows, place = store.read(lambda unit: _page(unit, wanted, within, behind))  # noqa: B023 - called before the next
        if rows:
            yield rows
        if place is None:
            return


def _page(
    unit: ReadUnit, wanted: LevelFilter, within: Interval, behind: _Place | None
) -> tuple[list[ExportedLevel], _Place | None]:
    listed = list(islice(_windows(unit, wanted, within, behind), PAGE))
    standings = [it for it in compute(unit, listed) if wanted.kept is None or it.figures.kept is wanted.kept]
    last = listed[-1] if len(listed) == PAGE else None
    place = None if last is None else _Place(last.key.feature, last.key.item, last.window.until)
    return [_row(standing) for standing in standings], place


def _windows(unit: ReadUnit, wanted: LevelFilter, within: Interval, behind: _Place | None) -> Iterator[Wanted]:
    promises = read_promises(unit.session.connection(), wanted.features or None)
    until = min(within.until, unit.now)
    for key in promises:
        if not is_wanted(unit, key, wanted):
            continue
        start = within.start
        if behind is not None:
            place = PromiseKey(behind.feature, behind.item)
            if key < place:
                continue
            start = max(start, behind.until) if key == place else start
        for window in windows_between(promises[key], start, until):
            yield wanted_promise(promises, key, window)


def _row(standing: Standing) -> ExportedLevel:
    key, window, figures, budget = standing.key, standing.window, standing.figures, standing.budget
    values: tuple[object, ...] = (
        key.feature,
        key.item or None,
        format_instant(window.start),
        format_instant(window.until),
        format_instant(standing.until),
        standing.until >= window.until,
        None if standing.level is None else percent_of(standing.level.availability),
        *(getattr(figures.durations, name) for name in figures.durations.__struct_fields__),
        None if figures.availability is None else percent_of(figures.availability),
        figures.kept,
        *((None, None, None) if budget is None else (budget.allowed // MILLIONTHS, budget.spent, budget.left)),
    )
    content = msgspec.json.encode(_Place(key.feature, key.item, window.until))
    return ExportedLevel(values, base64.urlsafe_b64encode(content).decode().rstrip("="))


def _parse(cursor: str) -> _Place:
    try:
        content = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        return _place_decoder.decode(content)
    except (ValueError, msgspec.MsgspecError):
        raise ParameterError("cursor", "is not one that this export gave out") from None
