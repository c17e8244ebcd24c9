"""Deliveries: what is due, who has taken it, and what came of it.

Whoever delivers *claims* first: an attempt is counted and the delivery put off for a while, in a short transaction.
Where the claimer dies, it falls due again: at least once, and by one at a time. Several control planes claim from the
same database without waiting for each other (`SKIP LOCKED`). Nothing is promised about the order.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple

from sqlalchemy import and_, delete, func, or_, select, update

from tiergate.errors import ConflictError, NotFoundError
from tiergate.store.tables import DELIVERIES, WEBHOOKS
from tiergate.store.webhooks import signing_secrets

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import ColumnElement, Row

    from tiergate.model import Instant
    from tiergate.store.transactions import ReadUnit, WriteUnit


_DAY: Final = 24 * 60 * 60 * 1000
_PATIENCE: Final = 5 * _DAY  # a webhook to which nothing got through for so long is disabled


class DeliveryStatus(StrEnum):
    """Where a delivery stands."""

    WAITING = "waiting"
    DELIVERED = "delivered"
    DEAD = "dead"


class Delivery(NamedTuple):
    """A delivery as it stands. `answer`: what the last attempt met with; `due_at`: the next one, while it waits."""

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


class Claim(NamedTuple):
    """One attempt to deliver, by whoever claimed it: the how manieth it is, from 1, and what to send where."""

    id: str
    webhook: str
    attempt: int
    url: str
    secrets: tuple[str, ...]
    payload: bytes


class Result(NamedTuple):
    """What came of an attempt. Where it failed: when to try again, or never; `gone`: the receiver wants no more."""

    delivered: bool
    answer: str
    retry_at: Instant | None = None
    gone: bool = False


# ── Reading ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def read_delivery(unit: ReadUnit, webhook: str, id_: str) -> Delivery:
    """Read one delivery of a webhook.

    Raises:
        NotFoundError: there is none of this id.
    """
    query = select(DELIVERIES).where(DELIVERIES.c.id == id_, DELIVERIES.c.webhook == webhook)
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
    """Up to `limit` deliveries of a webhook, the newest first; `before`: of when and of which id the last one was."""
    columns = DELIVERIES.c
    query = select(DELIVERIES).where(columns.webhook == webhook)
    if status is not None:
        query = query.where(columns.status == status.value)
    if before is not None:
        at, id_ = before
        query = query.where(or_(columns.created_at < at, and_(columns.created_at == at, columns.id < id_)))
    query = query.order_by(columns.created_at.desc(), columns.id.desc()).limit(limit)
    return [_delivery(row) for row in unit.session.connection().execute(query)]


def next_due(unit: ReadUnit) -> Instant | None:
    """When the next delivery to an enabled webhook falls due, if any waits."""
    query = (
        select(func.min(DELIVERIES.c.due_at))
        .join(WEBHOOKS, WEBHOOKS.c.id == DELIVERIES.c.webhook)
        .where(WEBHOOKS.c.enabled, _waiting())
    )
    found: Instant | None = unit.session.connection().execute(query).scalar_one()
    return found


# ── Delivering ───────────────────────────────────────────────────────────────────────────────────────────────────────


def claim_due(unit: WriteUnit, *, most: int, each: int, lease: int, busy: Mapping[str, int]) -> list[Claim]:
    """Claim up to `most` deliveries that are due, and up to `each` for one webhook, those of `busy` counted in.

    A claim holds for `lease` milliseconds. A webhook that is failing gets one at a time, so that what does not answer
    keeps nobody else waiting.
    """
    connection = unit.session.connection()
    columns = DELIVERIES.c
    query = select(WEBHOOKS.c.id, WEBHOOKS.c.url, WEBHOOKS.c.secrets, WEBHOOKS.c.failing_since).where(
        WEBHOOKS.c.enabled,
        WEBHOOKS.c.id.in_(select(columns.webhook).where(_waiting(), columns.due_at <= unit.now)),
    )
    claims: list[Claim] = []
    for webhook in connection.execute(query.order_by(WEBHOOKS.c.id)).all():
        room = (1 if webhook.failing_since is not None else each) - busy.get(webhook.id, 0)
        due = (
            select(columns.id, columns.attempts, columns.payload)
            .where(columns.webhook == webhook.id, _waiting(), columns.due_at <= unit.now)
            .order_by(columns.due_at)
            .limit(max(0, min(room, most - len(claims))))
            .with_for_update(skip_locked=True)
        )
        secrets = signing_secrets(webhook.secrets, unit.now)
        claims += [
            Claim(row.id, webhook.id, row.attempts + 1, webhook.url, secrets, bytes(row.payload))
            for row in connection.execute(due).all()
        ]
    if claims:
        taken = columns.id.in_([claim.id for claim in claims])
        put_off = {"attempts": columns.attempts + 1, "due_at": unit.now + lease}
        connection.execute(update(DELIVERIES).where(taken).values(put_off))
    return claims


def record_result(unit: WriteUnit, claim: Claim, result: Result) -> None:
    """Write down what came of an attempt. One that failed counts only while nobody else has claimed the delivery."""
    connection = unit.session.connection()
    columns = DELIVERIES.c
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
    webhook = connection.execute(
        select(WEBHOOKS.c.failing_since, WEBHOOKS.c.enabled, WEBHOOKS.c.etag)
        .where(WEBHOOKS.c.id == claim.webhook)
        .with_for_update()
    ).one_or_none()
    if webhook is None:
        return
    since = None if result.delivered else webhook.failing_since or unit.now
    change: dict[str, object] = {} if since == webhook.failing_since else {"failing_since": since}
    # One that is rarely used has failed for long only if a delivery was tried to its end, too.
    hopeless = result.retry_at is None and since is not None and unit.now - since >= _PATIENCE
    if webhook.enabled and (result.gone or hopeless):
        change |= {"enabled": False, "etag": webhook.etag + 1, "updated_at": unit.now}
        after = {"enabled": False, "answer": result.answer}
        unit.audit("webhook.disabled", "webhook", claim.webhook, before={"enabled": True}, after=after)
    if change:
        connection.execute(update(WEBHOOKS).where(WEBHOOKS.c.id == claim.webhook).values(change))


def redeliver(unit: WriteUnit, webhook: str, id_: str) -> Delivery:
    """Have a delivery that has ended, well or not, made again from the start, under the same id.

    Raises:
        NotFoundError: there is no such delivery.
        ConflictError: it is waiting anyway.
    """
    found = read_delivery(unit, webhook, id_)
    values = {"status": DeliveryStatus.WAITING.value, "attempts": 0, "due_at": unit.now, "finished_at": None}
    ended = and_(DELIVERIES.c.id == id_, DELIVERIES.c.status != DeliveryStatus.WAITING.value)
    if not unit.session.connection().execute(update(DELIVERIES).where(ended).values(values)).rowcount:
        raise ConflictError("delivery-waiting", f"the delivery `{id_}` is waiting to be made")
    return found._replace(status=DeliveryStatus.WAITING, attempts=0, due_at=unit.now, finished_at=None)


def delete_finished_deliveries(unit: WriteUnit, before: Instant) -> int:
    """Delete deliveries that ended before an instant, and those whose webhook is gone; return how many."""
    columns = DELIVERIES.c
    ended = and_(columns.status != DeliveryStatus.WAITING.value, columns.finished_at < before)
    orphaned = columns.webhook.not_in(select(WEBHOOKS.c.id))
    return unit.session.connection().execute(delete(DELIVERIES).where(or_(ended, orphaned))).rowcount


def _waiting() -> ColumnElement[bool]:
    waiting: ColumnElement[bool] = DELIVERIES.c.status == DeliveryStatus.WAITING.value
    return waiting


def _delivery(row: Row[tuple[object, ...]]) -> Delivery:
    return Delivery(
        row.id,
        row.webhook,
        row.type,
        bytes(row.payload),
        DeliveryStatus(row.status),
        row.attempts,
        row.due_at,
        row.created_at,
        row.finished_at,
        row.answer,
    )
