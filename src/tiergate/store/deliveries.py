"""Deliveries: those that are due, the claims on them, and the results of attempts.

A worker *claims* a delivery first: a short transaction counts the attempt and moves the due time by a lease. If the
worker dies, the delivery falls due again. So every delivery is made at least once, and by one worker at a time. Several
control planes claim from one database without waiting for each other (`SKIP LOCKED`).

INVARIANT (in order per customer): a delivery is claimed only when no earlier one of its webhook and line waits, be it
because it is being sent or because it failed. A dead one lets the next ones pass.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sqlalchemy import and_, delete, func, or_, select, update
from sqlalchemy.orm import aliased

from tiergate.errors import ConflictError, NotFoundError
from tiergate.store.tables import DELIVERIES, WEBHOOKS
from tiergate.store.webhooks import signing_secrets

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import ColumnElement, Row

    from tiergate.model import Instant
    from tiergate.store.units import ReadUnit, WriteUnit


_DAY: Final = 24 * 60 * 60 * 1000
_MAX_FAILING: Final = 5 * _DAY  # a webhook that fails for longer is disabled


class DeliveryStatus(StrEnum):
    """The states of a delivery."""

    WAITING = "waiting"
    DELIVERED = "delivered"
    DEAD = "dead"


class Delivery(NamedTuple):
    """A delivery. `answer`: the result of the last attempt; `due_at`: the next attempt, while it waits."""

    id: str
    webhook: str
    type: str
    payload: bytes
    status: DeliveryStatus
    attempts: int
    due_at: Instant
    created_at: Instant
    finished_at: Instant | None
    answer: str
    event: str = ""


_COLUMNS: Final = [DELIVERIES.c[name] for name in Delivery._fields]


class Claim(NamedTuple):
    """One claimed attempt: its number, from 1, and what to send where."""

    id: str
    webhook: str
    attempt: int
    url: str
    secrets: tuple[str, ...]
    payload: bytes
    line: str = ""


class Backlog(NamedTuple):
    """How many deliveries wait, to all webhooks; how many are dead; and since when the oldest of the former waits."""

    waiting: int = 0
    dead: int = 0
    oldest: Instant | None = None


class DeliveryResult(NamedTuple):
    """The result of an attempt. After a failure: when to try again, or never; `gone`: the receiver wants no more."""

    delivered: bool
    answer: str
    retry_at: Instant | None = None
    gone: bool = False


def read_delivery(unit: ReadUnit, webhook: str, id_: str) -> Delivery:
    """Read one delivery of a webhook.

    Raises:
        NotFoundError: if there is none of this id.
    """
    query = select(*_COLUMNS).where(DELIVERIES.c.id == id_, DELIVERIES.c.webhook == webhook)
    row = unit.session.connection().execute(query).one_or_none()
    if row is None:
        raise NotFoundError("delivery", id_)
    return _delivery(row)


def list_deliveries(
    unit: ReadUnit,
    webhook: str,
    before: tuple[Instant, str] | None,
    limit: int,
    *,
    status: DeliveryStatus | None = None,
) -> list[Delivery]:
    """Read up to `limit` deliveries of a webhook, the newest first; `before`: instant and id of the last one read."""
    columns = DELIVERIES.c
    query = select(*_COLUMNS).where(columns.webhook == webhook)
    if status is not None:
        query = query.where(columns.status == status.value)
    if before is not None:
        at, id_ = before
        query = query.where(or_(columns.created_at < at, and_(columns.created_at == at, columns.id < id_)))
    query = query.order_by(columns.created_at.desc(), columns.id.desc()).limit(limit)
    return [_delivery(row) for row in unit.session.connection().execute(query)]


def read_backlog(unit: ReadUnit) -> Backlog:
    """Return what waits and what is dead. What waits for a disabled webhook does not count."""
    columns = DELIVERIES.c
    connection = unit.session.connection()
    is_enabled = columns.webhook.in_(select(WEBHOOKS.c.id).where(WEBHOOKS.c.enabled))
    waiting = select(func.count(), func.min(columns.created_at)).where(_waiting(), is_enabled)
    count, oldest = connection.execute(waiting).one()
    dead = select(func.count()).where(columns.status == DeliveryStatus.DEAD.value)
    return Backlog(count, connection.execute(dead).scalar_one(), oldest)


def next_due(unit: ReadUnit) -> Instant | None:
    """Return when the next delivery to an enabled webhook falls due; none if none waits."""
    query = (
        select(func.min(DELIVERIES.c.due_at))
        .join(WEBHOOKS, WEBHOOKS.c.id == DELIVERIES.c.webhook)
        .where(WEBHOOKS.c.enabled, _waiting())
    )
    due: Instant | None = unit.session.connection().execute(query).scalar_one()
    return due


def claim_due(unit: WriteUnit, *, most: int, each: int, lease: int, busy: Mapping[str, int]) -> list[Claim]:
    """Claim up to `most` due deliveries, and up to `each` for one webhook, counting those in `busy`.

    A claim lasts `lease` milliseconds. A failing webhook gets one delivery at a time, so that it does not delay others.
    Webhooks are locked before their deliveries, here and in `record_result`: who waits for a delivery is moved by what
    is known of that delivery, and a result that is recorded at the same time would move it back too early.
    """
    connection = unit.session.connection()
    columns = DELIVERIES.c
    before = aliased(DELIVERIES)
    is_earlier = (
        before.c.webhook == columns.webhook,
        before.c.line == columns.line,
        before.c.position < columns.position,
        before.c.status == DeliveryStatus.WAITING.value,
    )
    has_earlier = select(before.c.id).where(*is_earlier).exists()
    query = select(WEBHOOKS.c.id, WEBHOOKS.c.url, WEBHOOKS.c.secrets, WEBHOOKS.c.failing_since).where(
        WEBHOOKS.c.enabled,
        WEBHOOKS.c.id.in_(select(columns.webhook).where(_waiting(), columns.due_at <= unit.now)),
    )
    claims: list[Claim] = []
    for webhook in connection.execute(query.order_by(WEBHOOKS.c.id).with_for_update()).all():
        room = (1 if webhook.failing_since is not None else each) - busy.get(webhook.id, 0)
        room = max(0, min(room, most - len(claims)))
        due = (
            select(columns.id, columns.attempts, columns.payload, columns.line)
            .where(columns.webhook == webhook.id, _waiting(), columns.due_at <= unit.now)
            .where(or_(columns.line == "", ~has_earlier))
            .order_by(columns.due_at, columns.position)
            .limit(room)
            .with_for_update(skip_locked=True)
        )
        secrets = signing_secrets(webhook.secrets, unit.now)
        found = connection.execute(due).all()
        claims += [
            Claim(row.id, webhook.id, row.attempts + 1, webhook.url, secrets, bytes(row.payload), row.line)
            for row in found
        ]
        if len(found) < room:  # what is due otherwise must wait for another: it is not looked at until then
            behind = and_(columns.webhook == webhook.id, _waiting(), columns.due_at <= unit.now, columns.line != "")
            first_due = select(func.max(before.c.due_at)).where(*is_earlier).scalar_subquery()
            later = update(DELIVERIES).where(behind, first_due > unit.now)
            connection.execute(later.values(due_at=first_due))
    if claims:
        is_claimed = columns.id.in_([claim.id for claim in claims])
        lease_values = {"attempts": columns.attempts + 1, "due_at": unit.now + lease}
        connection.execute(update(DELIVERIES).where(is_claimed).values(lease_values))
    return claims


def record_result(unit: WriteUnit, claim: Claim, result: DeliveryResult) -> None:
    """Record the result of an attempt. A failure counts only while no other worker has claimed the delivery."""
    connection = unit.session.connection()
    columns = DELIVERIES.c
    webhook = connection.execute(
        select(WEBHOOKS.c.failing_since, WEBHOOKS.c.enabled, WEBHOOKS.c.etag)
        .where(WEBHOOKS.c.id == claim.webhook)
        .with_for_update()
    ).one_or_none()
    values: dict[str, object] = {"answer": result.answer}
    mine = and_(columns.id == claim.id, _waiting())
    if result.delivered:
        values |= {"status": DeliveryStatus.DELIVERED.value, "finished_at": unit.now}
    elif result.retry_at is None:
        values |= {"status": DeliveryStatus.DEAD.value, "finished_at": unit.now}
    else:
        values |= {"due_at": result.retry_at}
    if not result.delivered:
        mine = and_(mine, columns.attempts == claim.attempt)
    if not connection.execute(update(DELIVERIES).where(mine).values(values)).rowcount:
        return
    if claim.line:
        _move_behind(unit, claim, result)
    if webhook is None:
        return
    since = None if result.delivered else webhook.failing_since or unit.now
    change: dict[str, object] = {} if since == webhook.failing_since else {"failing_since": since}
    # A rarely used webhook counts as failing for long only if a delivery also used up its attempts.
    is_hopeless = result.retry_at is None and since is not None and unit.now - since >= _MAX_FAILING
    if webhook.enabled and (result.gone or is_hopeless):
        change |= {"enabled": False, "etag": webhook.etag + 1, "updated_at": unit.now}
        after = {"enabled": False, "answer": result.answer}
        unit.audit("webhook.disabled", "webhook", claim.webhook, before={"enabled": True}, after=after)
    if change:
        connection.execute(update(WEBHOOKS).where(WEBHOOKS.c.id == claim.webhook).values(change))


def _move_behind(unit: WriteUnit, claim: Claim, result: DeliveryResult) -> None:
    """Let the deliveries behind one wait for its next attempt, or be next; none of them was attempted."""
    columns = DELIVERIES.c
    behind = and_(columns.webhook == claim.webhook, columns.line == claim.line, _waiting(), columns.id != claim.id)
    due = unit.now if result.retry_at is None else result.retry_at
    is_other = columns.due_at < due if result.retry_at is not None else columns.due_at > due
    move = update(DELIVERIES).where(behind, columns.attempts == 0, is_other).values(due_at=due)
    unit.session.connection().execute(move)


def redeliver(unit: WriteUnit, webhook: str, id_: str) -> Delivery:
    """Start a finished delivery again, delivered or dead, under the same id.

    Raises:
        NotFoundError: if there is no such delivery.
        ConflictError: if it is still waiting.
    """
    delivery = read_delivery(unit, webhook, id_)
    values = {"status": DeliveryStatus.WAITING.value, "attempts": 0, "due_at": unit.now, "finished_at": None}
    ended = and_(DELIVERIES.c.id == id_, DELIVERIES.c.status != DeliveryStatus.WAITING.value)
    if not unit.session.connection().execute(update(DELIVERIES).where(ended).values(values)).rowcount:
        raise ConflictError("delivery-waiting", f"the delivery `{id_}` is still waiting")
    return delivery._replace(status=DeliveryStatus.WAITING, attempts=0, due_at=unit.now, finished_at=None)


def delete_finished_deliveries(unit: WriteUnit, before: Instant) -> int:
    """Delete deliveries that finished before an instant, or whose webhook is gone; return how many."""
    columns = DELIVERIES.c
    ended = and_(columns.status != DeliveryStatus.WAITING.value, columns.finished_at < before)
    orphaned = columns.webhook.not_in(select(WEBHOOKS.c.id))
    return unit.session.connection().execute(delete(DELIVERIES).where(or_(ended, orphaned))).rowcount


def _waiting() -> ColumnElement[bool]:
    waiting: ColumnElement[bool] = DELIVERIES.c.status == DeliveryStatus.WAITING.value
    return waiting


def _delivery(row: Row[Any]) -> Delivery:
    columns = row._asdict() | {"payload": bytes(row.payload), "status": DeliveryStatus(row.status)}
    return Delivery(**columns)
