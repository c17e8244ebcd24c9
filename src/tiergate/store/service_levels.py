"""What was promised when, and which budgets were told to be spent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec
from sqlalchemy import select

from tiergate.model import Instant, ServiceLevel
from tiergate.status.promises import PromiseKey, targets_of
from tiergate.store.id_lists import is_among
from tiergate.store.keyed_rows import delete_rows
from tiergate.store.prepared_queries import Query, fetch_together
from tiergate.store.row_inserts import insert_rows
from tiergate.store.tables import BUDGETS_SPENT, SERVICE_LEVEL_HISTORY

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from sqlalchemy import Connection

    from tiergate.status.figures import Target
    from tiergate.store.units import ReadUnit, WriteUnit

_KEY: Final = ("feature", "item", "start")
_COLUMNS: Final = SERVICE_LEVEL_HISTORY.c
_ALL: Final = select(_COLUMNS.feature, _COLUMNS.item, _COLUMNS.start, _COLUMNS.level).order_by(
    _COLUMNS.feature, _COLUMNS.item, _COLUMNS.start
)
_HISTORY: Final = Query(_ALL)
_HISTORY_OF: Final = Query(_ALL.where(is_among(_COLUMNS.feature)))
_TOLD: Final = Query(
    select(BUDGETS_SPENT.c.feature, BUDGETS_SPENT.c.item, BUDGETS_SPENT.c.start, BUDGETS_SPENT.c.percent)
)

_decode: Final = msgspec.json.Decoder(ServiceLevel).decode


class ToldBudget(NamedTuple):
    """The start of a window, and the highest level in percent that was told to be spent of its budget."""

    start: Instant
    percent: int


def write_promises(unit: WriteUnit, changes: Mapping[PromiseKey, ServiceLevel | None], publication: int) -> None:
    """Write what is promised from now on; `None`: nothing is any more."""
    if not changes:
        return
    connection = unit.session.connection()
    rows = [
        {
            "feature": key.feature,
            "item": key.item,
            "start": unit.now,
            "level": None if level is None else msgspec.json.encode(level).decode(),
            "publication": publication,
        }
        for key, level in changes.items()
    ]
    delete_rows(connection, SERVICE_LEVEL_HISTORY, _KEY, [(key.feature, key.item, unit.now) for key in changes])
    insert_rows(connection, SERVICE_LEVEL_HISTORY, rows)


def read_promises(connection: Connection, features: Collection[str] | None = None) -> dict[PromiseKey, list[Target]]:
    """Read what was promised when, of some features or of all, sorted by feature and item."""
    if features is None:
        (rows,) = fetch_together(connection, [(_HISTORY, {})])
    else:
        (rows,) = fetch_together(connection, [(_HISTORY_OF, {"ids": list(features)})])
    levels: dict[str, ServiceLevel] = {}
    changes: dict[PromiseKey, list[tuple[Instant, ServiceLevel | None]]] = {}
    for feature, item, start, text in rows:
        level = None
        if text is not None:
            level = levels.get(text)
            if level is None:
                level = levels[text] = _decode(text)
        changes.setdefault(PromiseKey(feature, item), []).append((start, level))
    return {key: targets_of(found) for key, found in changes.items()}


def read_told(unit: ReadUnit) -> dict[PromiseKey, ToldBudget]:
    """Read which budgets were told to be spent."""
    (rows,) = fetch_together(unit.session.connection(), [(_TOLD, {})])
    return {PromiseKey(feature, item): ToldBudget(start, percent) for feature, item, start, percent in rows}


def lock_told(unit: WriteUnit, keys: Collection[PromiseKey]) -> dict[PromiseKey, ToldBudget]:
    """Read them for some keys, and prevent other transactions from telling these until this one ends."""
    columns = BUDGETS_SPENT.c
    connection = unit.session.connection()
    found: dict[PromiseKey, ToldBudget] = {}
    for key in sorted(keys):
        query = select(columns.start, columns.percent).where(columns.feature == key.feature, columns.item == key.item)
        row = connection.execute(query.with_for_update()).one_or_none()
        if row is None:
            row_of_none = {"feature": key.feature, "item": key.item, "start": 0, "percent": 0, "at": unit.now}
            insert_rows(connection, BUDGETS_SPENT, [row_of_none])
        else:
            found[key] = ToldBudget(row.start, row.percent)
    return found


def write_told(unit: WriteUnit, told: Mapping[PromiseKey, ToldBudget]) -> None:
    """Write which budgets are told to be spent; each key was locked."""
    connection = unit.session.connection()
    delete_rows(connection, BUDGETS_SPENT, ("feature", "item"), [tuple(key) for key in told])
    rows = [
        {"feature": key.feature, "item": key.item, "start": it.start, "percent": it.percent, "at": unit.now}
        for key, it in told.items()
    ]
    insert_rows(connection, BUDGETS_SPENT, rows)
