"""Building the replica of file mode from a stream of customers and subscriptions in any order.

The stream is staged in a scratch database. SQLite sorts it there, on disk where needed, and it goes into the replica in
the order of its keys, so that pages are full and written once.
"""

from __future__ import annotations

import hashlib
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Final

from tiergate.errors import ReplicaError
from tiergate.model import MAX_TOTAL_UNITS, AddedAmount, Amount, Customer, Override, Subscription
from tiergate.sidecar.replica.builder import ReplicaBuilder, open_fast
from tiergate.sidecar.replica.disk_room import DiskRoom
from tiergate.sidecar.replica.loaded_state import ReplicaFile
from tiergate.sidecar.replica.record_encoding import NO_CUSTOMER, QUARANTINED, encode_subject, join_record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    from tiergate.model import SubjectRecord

_TABLES: Final = (
    "CREATE TABLE staged_customers (id TEXT NOT NULL, record BLOB NOT NULL, overridden INTEGER NOT NULL)",
    (
        "CREATE TABLE staged_subscriptions (customer TEXT NOT NULL, id TEXT NOT NULL, record BLOB NOT NULL,"
        " quantity INTEGER NOT NULL, overridden INTEGER NOT NULL)"
    ),
    "CREATE TABLE broken_subscriptions (id TEXT NOT NULL, customer TEXT NOT NULL)",
)


def build_replica(
    path: Path,
    subjects: Iterable[Customer | Subscription],
    exchange: Callable[[StagedSubjects], None] = lambda _: None,
    *,
    folder: Path | None = None,
    limit: int | None = None,
) -> ReplicaFile:
    """Write the replica `path`; an existing one is replaced by a rename. `exchange` may replace staged records.

    `limit`: how many bytes `folder`, by default the file's own, may take meanwhile. Ids must be unique, and every
    subscription's customer among the customers. The reader of subjects files checks that with positions in the files;
    here a violation is only rejected. Errors of `subjects` pass through. Raises `ReplicaError` if an id is there twice,
    a customer is missing, the disk refuses, or the replica does not fit.
    """
    scratch = path.with_name(f".{path.name}.staged")
    builder = None
    try:
        with closing(open_fast(scratch)) as connection:
            staged = StagedSubjects(connection)
            staged.add(DiskRoom(folder or path.parent, limit).checked(subjects, connection))
            exchange(staged)
            builder = ReplicaBuilder(path, folder, limit)
            records = _Records(connection)
            builder.add_records(records)
            builder.add_subscriptions(connection.execute("SELECT id, customer FROM staged_subscriptions ORDER BY id"))
            broken = connection.execute("SELECT id, customer FROM broken_subscriptions ORDER BY id")
            builder.add_subscriptions(broken, only_missing=True)
            builder.finish(records.customers, records.subscriptions)
        return ReplicaFile(
            path.name,
            path.stat().st_size,
            content_digest(path),
            records.customers,
            records.subscriptions,
            records.most_held,
            records.most_overridden,
        )
    except (sqlite3.Error, OSError) as error:
        raise ReplicaError(f"replica `{path}` cannot be written: {error}") from error
    finally:
        if builder is not None:
            builder.abandon()
        scratch.unlink(missing_ok=True)


def content_digest(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class StagedSubjects:
    """The staged subjects, some of which may be exchanged."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        for statement in _TABLES:
            connection.execute(statement)

    def add(self, subjects: Iterable[Customer | Subscription]) -> None:
        """Stage subjects."""
        insert = self._connection.execute
        insert("BEGIN")
        for subject in subjects:
            overridden = min(sum([_units(override) for override in subject.overrides]), MAX_TOTAL_UNITS)
            record = encode_subject(subject)
            if isinstance(subject, Customer):
                insert("INSERT INTO staged_customers VALUES (?, ?, ?)", (subject.id, record, overridden))
            else:
                quantity = min(sum([item.quantity for item in subject.items]), MAX_TOTAL_UNITS)
                row = (subject.customer, subject.id, record, quantity, overridden)
                insert("INSERT INTO staged_subscriptions VALUES (?, ?, ?, ?, ?)", row)
        insert("COMMIT")

    def existing_customers(self, ids: Iterable[str]) -> set[str]:
        """Return which of these customers are staged."""
        self._write_ids("requested", ids)
        return {row[0] for row in self._connection.execute("SELECT id FROM staged_customers WHERE id IN requested")}

    def exchange(
        self,
        customers: Mapping[str, SubjectRecord | None],
        subscriptions: Mapping[str, Iterable[str]],
        without_customer: Iterable[str],
    ) -> None:
        """Replace the records of some customers; `None` quarantines a customer who has no usable record.

        `subscriptions`: by customer, further subscriptions that are known. They, and those `without_customer`, become
        quarantined, unless another customer has them. A record leaves out subscriptions that another customer has now.
        """
        execute = self._connection.execute
        self._write_ids("exchanged", customers)
        known: dict[str, set[str]] = {id_: set(subscriptions.get(id_, ())) for id_ in customers}
        for id_, customer in execute("SELECT id, customer FROM staged_subscriptions WHERE customer IN exchanged"):
            known[customer].add(id_)
        execute("DELETE FROM staged_customers WHERE id IN exchanged")
        execute("DELETE FROM staged_subscriptions WHERE customer IN exchanged")
        records = [record for record in customers.values() if record is not None]
        self._write_ids("earlier", (subscription.id for record in records for subscription in record.subscriptions))
        moved = {row[0] for row in execute("SELECT id FROM staged_subscriptions WHERE id IN earlier")}
        staged: list[Customer | Subscription] = []
        broken: list[tuple[str, str]] = [(id_, NO_CUSTOMER) for id_ in without_customer]
        for customer, record in customers.items():
            if record is None:
                execute("INSERT INTO staged_customers VALUES (?, ?, 0)", (customer, QUARANTINED))
                broken += [(id_, customer) for id_ in known[customer]]
                continue
            remaining = [subscription for subscription in record.subscriptions if subscription.id not in moved]
            staged += [record.customer, *remaining]
            broken += [(id_, NO_CUSTOMER) for id_ in known[customer] - {subscription.id for subscription in remaining}]
        self.add(staged)
        if any(customer == NO_CUSTOMER for _, customer in broken):
            execute("INSERT INTO staged_customers VALUES (?, ?, 0)", (NO_CUSTOMER, QUARANTINED))
        self._connection.executemany("INSERT INTO broken_subscriptions VALUES (?, ?)", sorted(broken))

    def _write_ids(self, table: str, ids: Iterable[str]) -> None:
        self._connection.execute(f"DROP TABLE IF EXISTS {table}")
        self._connection.execute(f"CREATE TABLE {table} (id TEXT PRIMARY KEY) WITHOUT ROWID")
        rows = ((id_,) for id_ in ids)
        self._connection.executemany(f"INSERT OR IGNORE INTO {table} VALUES (?)", rows)  # noqa: S608 - our own names


class _Records:
    """Iterates over the staged records, joined and in the order of the customers' ids, and counts."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.customers = self.subscriptions = self.most_held = self.most_overridden = 0

    def __iter__(self) -> Iterator[tuple[str, bytes]]:
        parts = self._connection.execute(
            "SELECT customer, record, quantity, overridden FROM staged_subscriptions ORDER BY customer, id"
        )
        row = parts.fetchone()
        customers = self._connection.execute("SELECT id, record, overridden FROM staged_customers ORDER BY id")
        for customer, record, own in customers:
            subscriptions: list[bytes] = []
            quantity, overridden = 0, own
            while row is not None and row[0] == customer:
                subscriptions.append(row[1])
                quantity += row[2]
                overridden += row[3]
                row = parts.fetchone()
            if row is not None and row[0] < customer:
                break
            if record == QUARANTINED:
                yield customer, record
                continue
            self.customers += 1
            self.subscriptions += len(subscriptions)
            self.most_held = max(self.most_held, quantity)
            self.most_overridden = max(self.most_overridden, overridden)
            yield customer, join_record(record, subscriptions)
        if row is not None:
            raise ReplicaError(f"a subscription names customer `{row[0]}`, who does not exist")


def _units(override: Override) -> int:
    return override.value.units if isinstance(override.value, Amount | AddedAmount) else 0
