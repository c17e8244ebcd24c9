"""Snapshots: all records in one read, the list of snapshots, and a lock for those who make them."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, NamedTuple

from sqlalchemy import collate, delete, insert, select, text

from tiergate.store.tables import RECORDS, SNAPSHOTS, SUBSCRIPTIONS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlmodel import Session

    from tiergate.model import Instant, SubjectType
    from tiergate.store.database import Database
    from tiergate.store.units import WriteUnit


_LOCK: Final = 0x7469_6573  # for snapshots of a PostgreSQL store; `schema` has another number
_AT_ONCE: Final = 2_000


class SnapshotEntry(NamedTuple):
    """A snapshot: its position in the feed, the hash of its manifest, and the instant of its creation."""

    position: int
    manifest: str
    created_at: Instant


def all_records(session: Session) -> Iterator[tuple[str, bytes]]:
    """Read the ids and records of all customers in batches, in the byte order of the ids."""
    customer = RECORDS.c.customer
    order = customer if session.get_bind().dialect.name == "sqlite" else collate(customer, "C")
    query = select(customer, RECORDS.c.record).order_by(order).execution_options(yield_per=_AT_ONCE)
    for id_, record in session.connection().execute(query):
        yield id_, bytes(record)


def subject_record(session: Session, kind: SubjectType, id_: str) -> bytes | None:
    """Return the last record in the feed of a customer or of a subscription's customer; none if there is none."""
    query = select(RECORDS.c.record)
    if kind.value == "customer":
        query = query.where(RECORDS.c.customer == id_)
    else:
        query = query.join(SUBSCRIPTIONS, SUBSCRIPTIONS.c.customer == RECORDS.c.customer).where(
            SUBSCRIPTIONS.c.id == id_
        )
    record = session.connection().execute(query).scalar_one_or_none()
    return None if record is None else bytes(record)


def snapshots(session: Session) -> list[SnapshotEntry]:
    """List the snapshots, the newest first."""
    query = select(SNAPSHOTS.c.position, SNAPSHOTS.c.manifest, SNAPSHOTS.c.created_at)
    rows = session.connection().execute(query.order_by(SNAPSHOTS.c.position.desc()))
    return [SnapshotEntry(*row) for row in rows]


def put_snapshot(unit: WriteUnit, position: int, manifest: str) -> None:
    """Add a snapshot whose manifest and pages are blobs already."""
    row = {"position": position, "manifest": manifest, "created_at": unit.now}
    unit.session.connection().execute(insert(SNAPSHOTS), [row])


def drop_snapshot(unit: WriteUnit, position: int) -> None:
    """Delete a snapshot, but not its blobs."""
    unit.session.connection().execute(delete(SNAPSHOTS).where(SNAPSHOTS.c.position == position))


@contextmanager
def snapshot_lock(database: Database) -> Iterator[None]:
    """Prevent all other threads and control planes on this database from making or removing snapshots."""
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
