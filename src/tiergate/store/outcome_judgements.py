"""What outcomes say by each promise, judged an hour at a time when they come.

Figures are sums over months of many features: they read these few rows, not each minute. Only hours in which something
was bad have one. A minute is judged by what was promised at its start, so an hour that is judged again, because late
outcomes came, is judged alike.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
from sqlalchemy import select

from tiergate.model import Instant
from tiergate.status.outcomes import bad_intervals
from tiergate.store.keyed_rows import delete_rows
from tiergate.store.row_inserts import insert_rows
from tiergate.store.service_levels import read_promises
from tiergate.store.tables import OUTCOME_JUDGEMENTS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Connection

    from tiergate.status.outcomes import Outcomes
    from tiergate.store.units import WriteUnit

HOUR_MS: Final = 3_600_000

_KEY: Final = ("feature", "item", "hour")
_BATCH: Final = 5_000

_decode: Final = msgspec.json.Decoder(list[tuple[Instant, Instant, str]]).decode


def judge_hours(connection: Connection, hours: Mapping[tuple[str, Instant], Mapping[Instant, Outcomes]]) -> None:
    """Judge hours of outcomes, each in place of what was known of it.

    `hours`: feature id and the start of the hour → the start of each minute of it → all outcomes of the minute.
    """
    if not hours:
        return
    by_feature: dict[str, list[Instant]] = {}
    for feature, hour in hours:
        by_feature.setdefault(feature, []).append(hour)
    keys: list[tuple[str, str, Instant]] = []
    rows: list[dict[str, object]] = []
    for key, targets in read_promises(connection, by_feature).items():
        levels = [(it.interval, it.service_level) for it in targets if it.service_level is not None]
        for hour in by_feature[key.feature] if levels else ():
            keys.append((key.feature, key.item, hour))
            bad = [(span.start, span.until, it) for span, it in bad_intervals(hours[key.feature, hour], levels)]
            if bad:
                text = msgspec.json.encode(bad).decode()
                rows.append({"feature": key.feature, "item": key.item, "hour": hour, "bad": text})
    if keys:
        delete_rows(connection, OUTCOME_JUDGEMENTS, _KEY, keys)
    insert_rows(connection, OUTCOME_JUDGEMENTS, rows)


def bad_spans(text: str) -> list[tuple[Instant, Instant, str]]:
    """Return the spans of a row: start, end and status."""
    return _decode(text)


def drop_judgements(unit: WriteUnit, before: Instant) -> int:
    """Delete some judgements of hours that began before an instant; return how many."""
    columns = OUTCOME_JUDGEMENTS.c
    connection = unit.session.connection()
    query = select(*(columns[name] for name in _KEY)).where(columns.hour < before).limit(_BATCH)
    rows = connection.execute(query.with_for_update(skip_locked=True))
    return delete_rows(connection, OUTCOME_JUDGEMENTS, _KEY, [tuple(row) for row in rows])
