"""What was told of the status of each feature: locked by whoever changes its reports or silences."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sqlalchemy import func, select, text, update

from tiergate.feed.status_reports import read_reports
from tiergate.model import FeatureReports
from tiergate.status.shown import ShownStatus
from tiergate.store.id_lists import is_among
from tiergate.store.tables import FEATURE_STATUS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sqlmodel import Session

    from tiergate.model import Instant
    from tiergate.store.units import ReadUnit, WriteUnit

_C = FEATURE_STATUS.c
_NOTHING: Final = b"[]"
_ADD: Final = text(
    "INSERT INTO feature_status (feature, record, shown, since, told, next_at) "
    "VALUES (:feature, :record, :shown, :now, :now, NULL) ON CONFLICT (feature) DO NOTHING"
)


class ToldStatus(NamedTuple):
    """What was told of a feature: its `record` in the feed, what is `shown` and `since` when, and `told` until when.

    `next_at`: when something begins or ends by itself next, if anything does.
    """

    feature: str
    record: bytes
    shown: ShownStatus
    since: Instant
    told: Instant
    next_at: Instant | None


def lock_statuses(unit: WriteUnit, features: Iterable[str]) -> dict[str, ToldStatus]:
    """Lock some features, in the order of their ids, and return what was told of them."""
    ids = sorted(set(features))
    if not ids:
        return {}
    connection = unit.session.connection()
    shown = ShownStatus.OPERATIONAL.value
    connection.execute(_ADD, [{"feature": id_, "record": _NOTHING, "shown": shown, "now": unit.now} for id_ in ids])
    query = select(FEATURE_STATUS).where(is_among(_C.feature)).order_by(_C.feature).with_for_update()
    return {row.feature: _told(row) for row in connection.execute(query, {"ids": ids})}


def write_status(unit: WriteUnit, told: ToldStatus) -> None:
    """Write what is told of a feature now; the caller has its lock."""
    values = told._asdict() | {"shown": told.shown.value}
    unit.session.connection().execute(update(FEATURE_STATUS).where(_C.feature == told.feature).values(values))


def due_statuses(unit: ReadUnit, limit: int) -> list[str]:
    """Read features of which something has begun or ended by itself, the earliest first."""
    query = select(_C.feature).where(_C.next_at <= unit.now).order_by(_C.next_at).limit(limit)
    return list(unit.session.connection().execute(query).scalars())


def first_due(unit: ReadUnit) -> Instant | None:
    """Return the first instant at which something begins or ends by itself."""
    found: Instant | None = unit.session.connection().execute(select(func.min(_C.next_at))).scalar_one()
    return found


def all_statuses(session: Session) -> Iterator[FeatureReports]:
    """Read the reports of all features as the feed has them, for a snapshot."""
    query = select(_C.feature, _C.record).where(_C.record != _NOTHING).order_by(_C.feature)
    for feature, record in session.connection().execute(query):
        yield FeatureReports(feature, read_reports(bytes(record)))


def _told(row: Any) -> ToldStatus:  # noqa: ANN401 - a row of the table
    return ToldStatus(row.feature, bytes(row.record), ShownStatus(row.shown), row.since, row.told, row.next_at)
