"""What was so at an instant: the record of a customer, as the feed has kept it, and the publication in force.

The entry that counts at an instant is the last one of those that were written by then: positions say what came after
what, clocks only roughly.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec
from sqlalchemy import select

from tiergate.errors import NotFoundError
from tiergate.model import SubjectRecord
from tiergate.store.subscriptions import customer_of
from tiergate.store.tables import AuditRow, BlobRow, FeedRow, PublicationRow

if TYPE_CHECKING:
    from sqlalchemy import Table
    from sqlmodel import Session

    from tiergate.model import Instant

__all__ = ["PastPublication", "PastRecord", "blob_content", "holder_of", "publication_at", "record_at"]

_FEED: Table = FeedRow.__table__  # type: ignore[attr-defined]
_AUDIT: Table = AuditRow.__table__  # type: ignore[attr-defined]
_PUBLICATIONS: Table = PublicationRow.__table__  # type: ignore[attr-defined]
_BLOBS: Table = BlobRow.__table__  # type: ignore[attr-defined]


class PastRecord(NamedTuple):
    """What the feed said of a customer, and where; none where the customer was not, or not any more."""

    position: int
    record: SubjectRecord | None


class PastPublication(NamedTuple):
    """A publication by its number, and its revision."""

    sequence: int
    revision: str


class _Line(msgspec.Struct):
    record: SubjectRecord | None


_line = msgspec.json.Decoder(_Line).decode


def record_at(session: Session, customer: str, at: Instant) -> PastRecord:
    """What a customer was at an instant. After its first entry there is always one; before, there is position 0."""
    query = (
        select(_FEED.c.position, _FEED.c.line)
        .where(_FEED.c.customer == customer, _FEED.c.at <= at)
        .order_by(_FEED.c.position.desc())
        .limit(1)
    )
    row = session.connection().execute(query).one_or_none()
    return PastRecord(0, None) if row is None else PastRecord(row.position, _line(row.line).record)


def holder_of(session: Session, subscription: str) -> str | None:
    """The customer who has a subscription, or had it before it was deleted; none where there never was one."""
    found = customer_of(session, subscription)
    if found is None:
        query = (
            select(_AUDIT.c.customer)
            .where(_AUDIT.c.kind == "subscription", _AUDIT.c.resource == subscription)
            .order_by(_AUDIT.c.id.desc())
            .limit(1)
        )
        found = session.connection().execute(query).scalar_one_or_none()
    return found


def publication_at(session: Session, at: Instant) -> PastPublication:
    """The publication that was in force at an instant.

    Raises:
        NotFoundError: nothing was published yet.
    """
    query = (
        select(_PUBLICATIONS.c.sequence, _PUBLICATIONS.c.revision)
        .where(_PUBLICATIONS.c.issued_at <= at)
        .order_by(_PUBLICATIONS.c.sequence.desc())
        .limit(1)
    )
    row = session.connection().execute(query).one_or_none()
    if row is None:
        raise NotFoundError("publication", "at that instant")
    return PastPublication(*row)


def blob_content(session: Session, sha256: str) -> bytes | None:
    """The content of a blob, if the store has it."""
    found = session.connection().execute(select(_BLOBS.c.content).where(_BLOBS.c.sha256 == sha256))
    content = found.scalar_one_or_none()
    return None if content is None else bytes(content)
