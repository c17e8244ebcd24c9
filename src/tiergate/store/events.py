"""The list of events, and which of them go to a webhook again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec
from sqlalchemy import and_, delete, insert, select, update

from tiergate.model import Instant
from tiergate.store.deliveries import DeliveryStatus
from tiergate.store.outbox import delivery_columns
from tiergate.store.tables import DELIVERIES, EVENTS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import ColumnElement

    from tiergate.store.units import ReadUnit, WriteUnit

_BATCH: Final = 1_000


class StoredEvent(NamedTuple):
    """An event: its position in the order of all, when it was recorded, and its body (JSON)."""

    position: int
    recorded_at: Instant
    payload: bytes


class EventQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Conditions on events, all of which must hold. `since`, `until`: of their own instants."""

    types: tuple[str, ...] = ()
    customer: str | None = None
    feature: str | None = None
    since: Instant | None = None
    until: Instant | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        """Return the conditions on `EVENTS`."""
        columns = EVENTS.c
        found: list[ColumnElement[bool]] = []
        if self.types:
            found.append(columns.type.in_(self.types))
        if self.customer is not None:
            found.append(columns.customer == self.customer)
        if self.feature is not None:
            quoted = msgspec.json.encode(self.feature).decode()
            found.append(columns.features.contains(quoted, autoescape=True))
        if self.since is not None:
            found.append(columns["at"] >= self.since)
        if self.until is not None:
            found.append(columns["at"] < self.until)
        return found


def list_events(unit: ReadUnit, query: EventQuery, after: int, limit: int) -> list[StoredEvent]:
    """Read up to `limit` events after a position, the oldest first."""
    statement = (
        select(EVENTS.c.position, EVENTS.c.recorded_at, EVENTS.c.payload)
        .where(EVENTS.c.position > after, *query.conditions())
        .order_by(EVENTS.c.position)
        .limit(limit)
    )
    rows = unit.session.connection().execute(statement)
    return [StoredEvent(row.position, row.recorded_at, bytes(row.payload)) for row in rows]


def redeliver_finished(
    unit: WriteUnit, webhook: str, *, status: DeliveryStatus | None = None, query: EventQuery | None = None
) -> int:
    """Start finished deliveries of a webhook again, under their ids; return how many. None given: all of them."""
    columns = DELIVERIES.c
    chosen = [columns.webhook == webhook]
    finished = columns.status != DeliveryStatus.WAITING.value
    chosen.append(finished if status is None else columns.status == status.value)
    if query is not None:
        events = select(EVENTS.c.position).where(*query.conditions())
        chosen.append(columns.position.in_(events))
    values = {"status": DeliveryStatus.WAITING.value, "attempts": 0, "due_at": unit.now, "finished_at": None}
    return unit.session.connection().execute(update(DELIVERIES).where(and_(*chosen)).values(values)).rowcount


def deliver_missing(unit: WriteUnit, webhook: str, types: Sequence[str], query: EventQuery) -> int:
    """Deliver events to a webhook that it was never sent, such as those while it was disabled; return how many.

    `types`: those that the webhook wants; empty: all.
    """
    connection = unit.session.connection()
    columns = EVENTS.c
    known = (
        select(DELIVERIES.c.id)
        .where(DELIVERIES.c.webhook == webhook, DELIVERIES.c.position == columns.position)
        .exists()
    )
    wanted = [*query.conditions(), ~known]
    if types:
        wanted.append(columns.type.in_(types))
    page = select(columns.position, columns.id, columns.type, columns.customer, columns.payload).where(*wanted)
    count, after = 0, 0
    while True:
        batch = page.where(columns.position > after).order_by(columns.position).limit(_BATCH)
        rows: list[Any] = list(connection.execute(batch))
        if not rows:
            return count
        connection.execute(insert(DELIVERIES), [delivery_columns(webhook, row._asdict(), unit.now) for row in rows])
        count, after = count + len(rows), rows[-1].position


def delete_events(unit: WriteUnit, before: Instant) -> int:
    """Delete some events that were recorded before an instant; return how many. Deliveries have copies."""
    connection = unit.session.connection()
    old = select(EVENTS.c.position).where(EVENTS.c.recorded_at < before).order_by(EVENTS.c.position).limit(_BATCH * 5)
    positions = connection.execute(old).scalars().all()
    if positions:
        connection.execute(delete(EVENTS).where(EVENTS.c.position <= positions[-1], EVENTS.c.recorded_at < before))
    return len(positions)
