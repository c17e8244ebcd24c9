"""What snapshots are made of and where they are kept: all records in one read, blobs, and one maker at a time."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, NamedTuple

from sqlalchemy import collate, delete, insert, select, text

from tiergate.errors import NotFoundError
from tiergate.store.batches import in_batches
from tiergate.store.tables import BLOBS, RECORDS, SNAPSHOTS, SUBSCRIPTIONS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from sqlmodel import Session

    from tiergate.model import Instant, SubjectType
    from tiergate.store.database import Database
    from tiergate.store.transactions import WriteUnit


_LOCK: Final = 0x7469_6573  # of all who make snapshots of a PostgreSQL store; `schema` has another one
_AT_ONCE: Final = 2_000


class SnapshotEntry(NamedTuple):
    """A snapshot that is offered: its position in the feed, the hash of its manifest, and when it was made."""

    position: int
    manifest: str
    created_at: Instant


def all_records(session: Session) -> Iterator[tuple[str, bytes]]:
    """Read every customer's id and record, by id in the order of its bytes, a few at a time."""
    customer = RECORDS.c.customer
    order = customer if session.get_bind().dialect.name == "sqlite" else collate(customer, "C")
    query = select(customer, RECORDS.c.record).order_by(order).execution_options(yield_per=_AT_ONCE)
    for id_, record in session.connection().execute(query):
        yield id_, bytes(record)


def subject_record(session: Session, kind: SubjectType, id_: str) -> bytes | None:
    """What the feed last said of a customer, or of a subscription's; none where there is no such subject."""
    query = select(RECORDS.c.record)
    if kind.value == "customer":
        query = query.where(RECORDS.c.customer == id_)
    else:
        query = query.join(SUBSCRIPTIONS, SUBSCRIPTIONS.c.customer == RECORDS.c.customer).where(
            SUBSCRIPTIONS.c.id == id_
        )
    found = session.connection().execute(query).scalar_one_or_none()
    return None if found is None else bytes(found)


def snapshots(session: Session) -> list[SnapshotEntry]:
    """List the snapshots that there are, the newest first."""
    query = select(SNAPSHOTS.c.position, SNAPSHOTS.c.manifest, SNAPSHOTS.c.created_at)
    rows = session.connection().execute(query.order_by(SNAPSHOTS.c.position.desc()))
    return [SnapshotEntry(*row) for row in rows]


def put_snapshot(unit: WriteUnit, position: int, manifest: str) -> None:
    """Offer a snapshot whose manifest and pages are blobs already."""
    row = {"position": position, "manifest": manifest, "created_at": unit.now}
    unit.session.connection().execute(insert(SNAPSHOTS), [row])


def drop_snapshot(unit: WriteUnit, position: int) -> None:
    """Offer a snapshot no longer."""
    unit.session.connection().execute(delete(SNAPSHOTS).where(SNAPSHOTS.c.position == position))


def drop_blobs(unit: WriteUnit, hashes: Collection[str]) -> None:
    """Remove blobs, which nobody refers to any more, as the caller knows."""
    for part in in_batches(sorted(hashes)):
        unit.session.connection().execute(delete(BLOBS).where(BLOBS.c.sha256.in_(part)))


def blobs(session: Session, hashes: Collection[str]) -> dict[str, bytes]:
    """Read blobs by their hashes.

    Raises:
        NotFoundError: one of them is missing.
    """
    found: dict[str, bytes] = {}
    for part in in_batches(hashes):
        query = select(BLOBS.c.sha256, BLOBS.c.content).where(BLOBS.c.sha256.in_(part))
        found.update((sha256, bytes(content)) for sha256, content in session.connection().execute(query))
    missing = next((sha256 for sha256 in sorted(hashes) if sha256 not in found), None)
    if missing is not None:
        raise NotFoundError("blob", missing)
    return found


@contextmanager
def snapshot_lock(database: Database) -> Iterator[None]:
    """Be the only one, among all threads and control planes on this database, who makes and removes snapshots."""
    with _here:
        if database.is_sqlite:  # serves one control plane
            yield
            return
        with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("SELECT pg_advisory_lock(:lock)"), {"lock": _LOCK})
            try:
                yield
            finally:
                connection.execute(text("SELECT pg_advisory_unlock(:lock)"), {"lock": _LOCK})


_here = threading.Lock()
