"""Building the file of a `Replica` from a stream of customers and subscriptions, in bounded memory.

The stream may come in any order. It is staged in a scratch database, sorted there by SQLite, which spills to disk, and
merged into the final tables in the order of their keys, so that their pages are full and were each written once. The
file appears under its name whole and synced, or not at all. What is for people alone (`model.redaction`) is left out.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Final

import msgspec

from tiergate.errors import ReplicaError
from tiergate.model import MAX_TOTAL_UNITS, AddedAmount, Amount, Customer, Override, Problem, Subscription
from tiergate.model.redaction import redact_customer, redact_subscription
from tiergate.process.atomic_files import sync_directory, sync_file
from tiergate.sidecar.replica.reader import FORMAT, QUARANTINED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    from tiergate.model import SubjectRecord

_CACHE_KIB: Final = 32 * 1024
_UNSAFE_AND_FAST: Final = (
    "PRAGMA journal_mode = OFF",
    "PRAGMA synchronous = OFF",
    "PRAGMA locking_mode = EXCLUSIVE",
    "PRAGMA temp_store = FILE",
    f"PRAGMA cache_size = -{_CACHE_KIB}",
)
_NOBODY: Final = ""
"""The customer of subscriptions of which nobody can say it; no customer has this id."""

_HASH_CHUNK: Final = 1024 * 1024


class ReplicaFile(msgspec.Struct, frozen=True):
    """A replica as it was built: its file name, its size in bytes, the SHA-256 of its bytes in hex, what it holds.

    `most_held` is the largest sum of item quantities of one customer, `most_overridden` that of override numbers, in
    units: no total of anybody is above `most_held` × (the largest number of the catalog) + `most_overridden`.
    `quarantined`: of how many subjects it holds an earlier record, or none, because their own had `problems`, of which
    the first are named.
    """

    name: str
    size: int
    sha256: str
    customers: int
    subscriptions: int
    most_held: int
    most_overridden: int
    quarantined: int = 0
    problems: tuple[Problem, ...] = ()


def build_replica(
    path: Path,
    subjects: Iterable[Customer | Subscription],
    mend: Callable[[Staged], None] = lambda _: None,
) -> ReplicaFile:
    """Write `path` from customers and subscriptions in any order. It is replaced, if it exists, by one rename.

    `mend` may exchange what was staged, once `subjects` has ended.

    Ids must be unique and every subscription's customer must be among the customers; whoever reads subjects files
    proves that with places in the file, here it is only refused. What `subjects` raises passes through.

    Raises:
        ReplicaError: an id stands twice, a customer is missing, or the disk is full or otherwise refuses.
    """
    staged, unfinished = path.with_name(f".{path.name}.staged"), path.with_name(f".{path.name}.part")
    try:
        for scratch in (staged, unfinished):
            scratch.unlink(missing_ok=True)
            os.close(os.open(scratch, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
        with closing(_open(staged)) as source:
            _stage(source, subjects)
            mend(Staged(source))
            with closing(_open(unfinished)) as target:
                merged = _Merge(source)
                merged.write(target)
        sync_file(unfinished)
        size, sha256 = unfinished.stat().st_size, content_digest(unfinished)
        unfinished.replace(path)
        sync_directory(path.parent)
    except (sqlite3.Error, OSError) as error:
        raise ReplicaError(f"replica `{path}` cannot be written: {error}") from error
    finally:
        staged.unlink(missing_ok=True)
        unfinished.unlink(missing_ok=True)
    return ReplicaFile(
        path.name,
        size,
        sha256,
        merged.customers,
        merged.subscriptions,
        merged.most_held,
        merged.most_overridden,
    )


def content_digest(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hex.

    Raises:
        OSError: it cannot be read.
    """
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_HASH_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _open(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    for pragma in _UNSAFE_AND_FAST:
        connection.execute(pragma)
    return connection


def _stage(source: sqlite3.Connection, subjects: Iterable[Customer | Subscription]) -> None:
    source.execute(
        "CREATE TABLE staged_customers (id TEXT NOT NULL, record BLOB NOT NULL, overridden INTEGER NOT NULL)"
    )
    source.execute(
        "CREATE TABLE staged_subscriptions (customer TEXT NOT NULL, id TEXT NOT NULL, record BLOB NOT NULL,"
        " held INTEGER NOT NULL, overridden INTEGER NOT NULL)"
    )
    source.execute("CREATE TABLE broken_subscriptions (id TEXT NOT NULL, customer TEXT NOT NULL)")
    _insert(source, subjects)


def _insert(source: sqlite3.Connection, subjects: Iterable[Customer | Subscription]) -> None:
    encode = msgspec.msgpack.Encoder().encode
    insert = source.execute
    insert("BEGIN")
    for subject in subjects:
        if isinstance(subject, Customer):
            overridden = sum([_units(override) for override in subject.overrides])
            customer_row = (subject.id, encode(redact_customer(subject)), min(overridden, MAX_TOTAL_UNITS))
            insert("INSERT INTO staged_customers VALUES (?, ?, ?)", customer_row)
        else:
            held = sum([item.quantity for item in subject.items])
            overridden = sum([_units(override) for override in subject.overrides])
            record = encode(redact_subscription(subject))
            row = (subject.customer, subject.id, record, min(held, MAX_TOTAL_UNITS), min(overridden, MAX_TOTAL_UNITS))
            insert("INSERT INTO staged_subscriptions VALUES (?, ?, ?, ?, ?)", row)
    insert("COMMIT")


class Staged:
    """What was staged, for whoever exchanges some of it."""

    def __init__(self, source: sqlite3.Connection) -> None:
        self._source = source

    def customers(self, ids: Iterable[str]) -> set[str]:
        """Which of these customers are there."""
        self._name("asked", ids)
        return {row[0] for row in self._source.execute("SELECT id FROM staged_customers WHERE id IN asked")}

    def exchange(
        self,
        customers: Mapping[str, SubjectRecord | None],
        subscriptions: Mapping[str, Iterable[str]],
        nobodys: Iterable[str],
    ) -> None:
        """Put other records in place of those of some customers: none for one that has none that could be used.

        `subscriptions`: by customer, those that are known of beside; they, and `nobodys`, are answered as having no
        record that could be used, unless somebody else holds them. What somebody else holds by now is left out.
        """
        execute = self._source.execute
        self._name("exchanged", customers)
        found: dict[str, set[str]] = {id_: set(subscriptions.get(id_, ())) for id_ in customers}
        for id_, customer in execute("SELECT id, customer FROM staged_subscriptions WHERE customer IN exchanged"):
            found[customer].add(id_)
        execute("DELETE FROM staged_customers WHERE id IN exchanged")
        execute("DELETE FROM staged_subscriptions WHERE customer IN exchanged")
        self._name(
            "kept", (it.id for record in customers.values() if record is not None for it in record.subscriptions)
        )
        others = {row[0] for row in execute("SELECT id FROM staged_subscriptions WHERE id IN kept")}
        kept: list[Customer | Subscription] = []
        broken: list[tuple[str, str]] = [(id_, _NOBODY) for id_ in nobodys]
        for customer, record in customers.items():
            if record is None:
                execute("INSERT INTO staged_customers VALUES (?, ?, 0)", (customer, QUARANTINED))
                broken += [(id_, customer) for id_ in found[customer]]
                continue
            held = [it for it in record.subscriptions if it.id not in others]
            kept += [record.customer, *held]
            broken += [(id_, _NOBODY) for id_ in found[customer] - {it.id for it in held}]
        _insert(self._source, kept)
        if any(customer == _NOBODY for _, customer in broken):
            execute("INSERT INTO staged_customers VALUES (?, ?, 0)", (_NOBODY, QUARANTINED))
        self._source.executemany("INSERT INTO broken_subscriptions VALUES (?, ?)", sorted(broken))

    def _name(self, table: str, ids: Iterable[str]) -> None:
        self._source.execute(f"DROP TABLE IF EXISTS {table}")
        self._source.execute(f"CREATE TABLE {table} (id TEXT PRIMARY KEY) WITHOUT ROWID")
        self._source.executemany(f"INSERT OR IGNORE INTO {table} VALUES (?)", ((id_,) for id_ in ids))  # noqa: S608


class _Merge:
    """Joins what is staged into records, in the order of the customers' ids, and counts along."""

    def __init__(self, source: sqlite3.Connection) -> None:
        self._source = source
        self.customers = self.subscriptions = self.most_held = self.most_overridden = 0

    def write(self, target: sqlite3.Connection) -> None:
        """Write all tables of the replica."""
        target.execute("CREATE TABLE customers (id TEXT PRIMARY KEY, record BLOB NOT NULL) WITHOUT ROWID")
        target.execute("CREATE TABLE subscriptions (id TEXT PRIMARY KEY, customer TEXT NOT NULL) WITHOUT ROWID")
        target.execute("CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID")
        target.execute("BEGIN")
        target.executemany("INSERT INTO customers VALUES (?, ?)", self._records())
        target.executemany(
            "INSERT INTO subscriptions VALUES (?, ?)",
            self._source.execute("SELECT id, customer FROM staged_subscriptions ORDER BY id"),
        )
        target.executemany(
            "INSERT OR IGNORE INTO subscriptions VALUES (?, ?)",
            self._source.execute("SELECT id, customer FROM broken_subscriptions ORDER BY id"),
        )
        meta = (("format", FORMAT), ("customers", self.customers), ("subscriptions", self.subscriptions))
        target.executemany("INSERT INTO meta VALUES (?, ?)", meta)
        target.execute("COMMIT")

    def _records(self) -> Iterator[tuple[str, bytes]]:
        held = self._source.execute(
            "SELECT customer, record, held, overridden FROM staged_subscriptions ORDER BY customer, id"
        )
        row = held.fetchone()
        customers = self._source.execute("SELECT id, record, overridden FROM staged_customers ORDER BY id")
        for customer, record, own in customers:
            subscriptions: list[bytes] = []
            quantity, overridden = 0, own
            while row is not None and row[0] == customer:
                subscriptions.append(row[1])
                quantity += row[2]
                overridden += row[3]
                row = held.fetchone()
            if row is not None and row[0] < customer:
                break
            if record == QUARANTINED:
                yield customer, record
                continue
            self.customers += 1
            self.subscriptions += len(subscriptions)
            self.most_held = max(self.most_held, quantity)
            self.most_overridden = max(self.most_overridden, overridden)
            # The bytes of a `SubjectRecord`: an array of the customer and an array of the subscriptions.
            yield customer, b"".join((b"\x92", record, _array_header(len(subscriptions)), *subscriptions))
        if row is not None:
            raise ReplicaError(f"a subscription names customer `{row[0]}`, which there is not")


def _array_header(length: int) -> bytes:
    """How MessagePack begins an array."""
    if length < 16:
        return bytes((0x90 | length,))
    return b"\xdc" + length.to_bytes(2) if length < 65536 else b"\xdd" + length.to_bytes(4)


def _units(override: Override) -> int:
    return override.value.units if isinstance(override.value, Amount | AddedAmount) else 0
