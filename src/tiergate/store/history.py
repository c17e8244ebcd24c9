"""What was so at an instant: the record of a customer, as the feed has kept it, and the publication in force.

The entry that counts at an instant is the last one of those that were written by then: positions say what came after
what, clocks only roughly; so what a sidecar decided by is asked for by its position.

History is kept for as long as the operator says. INVARIANT (no guess): before the first entry that is left of a
customer, it is only said not to have been where it is known that no entry was dropped that would say otherwise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec
from sqlalchemy import func, select

from tiergate.errors import ConflictError, NotFoundError, NotKeptError
from tiergate.model import SubjectRecord, format_instant
from tiergate.store.feed import read_head
from tiergate.store.subscriptions import customer_of
from tiergate.store.tables import AUDIT, BLOBS, CUSTOMERS, FEED, PUBLICATIONS

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement
    from sqlmodel import Session

    from tiergate.model import Instant


class PastRecord(NamedTuple):
    """What the feed said of a customer, and where; none where the customer was not, or not any more.

    `redacted`: what described a person was erased from it since.
    """

    position: int
    record: SubjectRecord | None
    redacted: bool = False


class PastPublication(NamedTuple):
    """A publication by its number, and its revision."""

    sequence: int
    revision: str


class _Line(msgspec.Struct):
    record: SubjectRecord | None


_line = msgspec.json.Decoder(_Line).decode


def record_at(session: Session, customer: str, at: Instant) -> PastRecord:
    """What a customer was at an instant. After its first entry there is always one; before, there is position 0.

    Raises:
        NotKeptError: it is not kept any more.
    """
    return _past(session, customer, FEED.c.at <= at, None)


def record_at_position(session: Session, customer: str, position: int) -> PastRecord:
    """What a customer was once everything up to a position of the feed had happened; as `record_at`.

    Raises:
        ConflictError: the feed does not go so far.
        NotKeptError: it is not kept any more.
    """
    head = read_head(session).position
    if position > head:
        raise ConflictError("beyond-the-feed", f"the feed ends at {head}, and does not have a position {position}")
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
        raise NotKeptError(f"what `{customer}` had then is not kept any more")
    return PastRecord(0, None)


def _may_be_lost(session: Session, customer: str, position: int | None) -> bool:
    """Whether a customer, of whom there is an entry only later, may have had one that was dropped.

    `position`: where it should stand at last; none: before its first one.
    """
    execute = session.connection().execute
    first = execute(
        select(FEED.c.position, FEED.c.at).where(FEED.c.customer == customer).order_by(FEED.c.position).limit(1)
    ).one_or_none()
    if first is None:  # of everybody who ever was, the last entry stays
        return False
    upto = first.position - 1 if position is None else position
    kept = execute(select(func.count()).select_from(FEED).where(FEED.c.position <= upto)).scalar_one()
    if kept == upto:  # positions have no gaps but where entries were dropped
        return False
    seen = [
        execute(select(CUSTOMERS.c.created_at).where(CUSTOMERS.c.id == customer)).scalar_one_or_none(),
        execute(select(func.min(AUDIT.c.at)).where(AUDIT.c.customer == customer)).scalar_one(),
    ]
    return bool(min((at for at in seen if at is not None), default=0) < first.at)


def find_past_customer(session: Session, subscription: str) -> str | None:
    """The customer who has a subscription, or had it before it was deleted; none where there never was one."""
    found = customer_of(session, subscription)
    if found is None:
        query = (
            select(AUDIT.c.customer)
            .where(AUDIT.c.kind == "subscription", AUDIT.c.resource == subscription)
            .order_by(AUDIT.c.id.desc())
            .limit(1)
        )
        found = session.connection().execute(query).scalar_one_or_none()
    return found


def list_past_customers(session: Session, subscription: str) -> tuple[str, ...]:
    """Every customer who has a subscription or ever had it, as the log says; who has it now comes first."""
    now = customer_of(session, subscription)
    query = (
        select(AUDIT.c.customer)
        .where(AUDIT.c.kind == "subscription", AUDIT.c.resource == subscription, AUDIT.c.customer.is_not(None))
        .group_by(AUDIT.c.customer)
        .order_by(func.max(AUDIT.c.id).desc())
    )
    found = session.connection().execute(query).scalars()
    return tuple(dict.fromkeys([*([] if now is None else [now]), *found]))


def publication_at(session: Session, at: Instant) -> PastPublication:
    """The publication that was in force at an instant.

    Raises:
        NotFoundError: nothing was published yet.
    """
    when = ("publication in force at", format_instant(at))
    return _publication(session, PUBLICATIONS.c.issued_at <= at, *when)


def publication_at_position(session: Session, position: int) -> PastPublication:
    """The publication that was in force once everything up to a position of the feed had happened.

    Raises:
        NotFoundError: nothing was published yet.
    """
    when = ("publication in force at position", str(position))
    return _publication(session, PUBLICATIONS.c.position <= position, *when)


def _publication(session: Session, then: ColumnElement[bool], what: str, when: str) -> PastPublication:
    """The last publication of those then in force; `what` and `when` say in the error what there was none of."""
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


def blob_content(session: Session, sha256: str) -> bytes | None:
    """The content of a blob, if the store has it."""
    found = session.connection().execute(select(BLOBS.c.content).where(BLOBS.c.sha256 == sha256))
    content = found.scalar_one_or_none()
    return None if content is None else bytes(content)
