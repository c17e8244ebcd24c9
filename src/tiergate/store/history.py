"""Past states: a customer's record at an instant, as the feed has kept it, and the publication active then.

The last entry written by an instant counts. Positions order entries exactly, clocks only roughly; so the past state
for a sidecar's decision is read by position.

History is kept for as long as the operator configures. INVARIANT (no guess): "the customer did not exist" is returned
for the time before a customer's first entry only if no dropped entry could contradict it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec
from sqlalchemy import func, select

from tiergate.errors import ConflictError, NotFoundError, NotKeptError
from tiergate.model import SubjectRecord, format_instant
from tiergate.store.feed import read_head
from tiergate.store.subjects import customers_of
from tiergate.store.tables import AUDIT, CUSTOMERS, FEED, PUBLICATIONS

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement
    from sqlmodel import Session

    from tiergate.model import Instant


class PastRecord(NamedTuple):
    """The record in the feed and its position; no record if the customer did not exist then.

    `redacted`: personal data was erased from it later.
    """

    position: int
    record: SubjectRecord | None
    redacted: bool = False


class PastPublication(NamedTuple):
    """A publication's sequence and revision."""

    sequence: int
    revision: str


class _Line(msgspec.Struct):
    record: SubjectRecord | None


_line = msgspec.json.Decoder(_Line).decode


def record_at(session: Session, customer: str, at: Instant) -> PastRecord:
    """Return the record of a customer at an instant; position 0 before its first entry.

    Raises:
        NotKeptError: if this part of the history was dropped.
    """
    return _past(session, customer, FEED.c.at <= at, None)


def record_at_position(session: Session, customer: str, position: int) -> PastRecord:
    """Return the record of a customer at a position of the feed, as `record_at`.

    Raises:
        ConflictError: if the feed ends before the position.
        NotKeptError: if this part of the history was dropped.
    """
    head = read_head(session).position
    if position > head:
        raise ConflictError("beyond-the-feed", f"the feed ends at position {head}, before {position}")
    return _past(session, customer, FEED.c.position <= position, position)


def _past(session: Session, customer: str, then: ColumnElement[bool], position: int | None) -> PastRecord:
    query = (
        select(FEED.c.position, FEED.c.line, FEED.c.redacted)
        .where(FEED.c.customer == customer, then)
        .order_by(FEED.c.position.desc())
        .limit(1)
    )
    row = session.connection().execute(query).one_or_none()
    if row is not None:
        return PastRecord(row.position, _line(row.line).record, row.redacted)
    if _may_be_lost(session, customer, position):
        raise NotKeptError(f"the history of `{customer}` at that time was dropped")
    return PastRecord(0, None)


def _may_be_lost(session: Session, customer: str, position: int | None) -> bool:
    """Return whether an earlier entry of a customer may have been dropped, by `position` or before its first entry."""
    execute = session.connection().execute
    first = execute(
        select(FEED.c.position, FEED.c.at).where(FEED.c.customer == customer).order_by(FEED.c.position).limit(1)
    ).one_or_none()
    if first is None:  # the last entry of every customer is kept
        return False
    upto = first.position - 1 if position is None else position
    kept = execute(select(func.count()).select_from(FEED).where(FEED.c.position <= upto)).scalar_one()
    if kept == upto:  # gaps in the positions are dropped entries
        return False
    seen = [
        execute(select(CUSTOMERS.c.created_at).where(CUSTOMERS.c.id == customer)).scalar_one_or_none(),
        execute(select(func.min(AUDIT.c.at)).where(AUDIT.c.customer == customer)).scalar_one(),
    ]
    return bool(min((at for at in seen if at is not None), default=0) < first.at)


def find_past_customer(session: Session, subscription: str) -> str | None:
    """Return the customer who has a subscription, or had it before its deletion; none if it never existed."""
    customer = customers_of(session, [subscription]).get(subscription)
    if customer is None:
        query = (
            select(AUDIT.c.customer)
            .where(AUDIT.c.kind == "subscription", AUDIT.c.resource == subscription)
            .order_by(AUDIT.c.id.desc())
            .limit(1)
        )
        customer = session.connection().execute(query).scalar_one_or_none()
    return customer


def list_past_customers(session: Session, subscription: str) -> tuple[str, ...]:
    """Return every customer who has a subscription or had it, by the audit log; the present one first."""
    present = customers_of(session, [subscription]).get(subscription)
    query = (
        select(AUDIT.c.customer)
        .where(AUDIT.c.kind == "subscription", AUDIT.c.resource == subscription, AUDIT.c.customer.is_not(None))
        .group_by(AUDIT.c.customer)
        .order_by(func.max(AUDIT.c.id).desc())
    )
    past = session.connection().execute(query).scalars()
    return tuple(dict.fromkeys([*([] if present is None else [present]), *past]))


def publication_at(session: Session, at: Instant) -> PastPublication:
    """Return the publication that was active at an instant.

    Raises:
        NotFoundError: if nothing was published yet.
    """
    return _publication(session, PUBLICATIONS.c.issued_at <= at, "active publication at", format_instant(at))


def publication_at_position(session: Session, position: int) -> PastPublication:
    """Return the publication that was active at a position of the feed.

    Raises:
        NotFoundError: if nothing was published yet.
    """
    return _publication(session, PUBLICATIONS.c.position <= position, "active publication at position", str(position))


def _publication(session: Session, then: ColumnElement[bool], what: str, when: str) -> PastPublication:
    query = (
        select(PUBLICATIONS.c.sequence, PUBLICATIONS.c.revision)
        .where(then)
        .order_by(PUBLICATIONS.c.sequence.desc())
        .limit(1)
    )
    row = session.connection().execute(query).one_or_none()
    if row is None:
        raise NotFoundError(what, when)
    return PastPublication(*row)
