"""Subjects of files as records, one customer with all subscriptions at a time, whatever the files' order and size.

The subjects go through parts on disk, by a digest of the customer's id, and come back part by part: in memory is never
more than one of these. The order of the records is the same for the same subjects, but no order of ids.
What must be looked up by id is kept in a table on disk.
"""

from __future__ import annotations

import sqlite3
import tempfile
import zlib
from contextlib import ExitStack
from typing import IO, TYPE_CHECKING, Final, Self

import msgspec

from tiergate.model import Customer, SubjectRecord, SubjectType, Subscription

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from tiergate.model import Subject

__all__ = ["RecordTable", "Spool"]

_PARTS: Final = 64
_FLUSH: Final = 256
_LENGTH: Final = 4


class Spool:
    """Subjects on their way to records. Use it as a context: its files are gone afterwards."""

    def __init__(self, folder: Path | None = None) -> None:
        """Prepare to write to temporary files, in `folder` or where the system keeps such."""
        self._folder = folder
        self._files: list[IO[bytes]] = []
        self._closing = ExitStack()
        self.customers = 0

    def __enter__(self) -> Self:
        for _ in range(_PARTS):
            file = tempfile.TemporaryFile(prefix="tiergate-preview-", dir=self._folder)
            self._files.append(self._closing.enter_context(file))
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.close()

    def take(self, subjects: Iterable[Customer | Subscription], progress: Callable[[int], None] | None = None) -> None:
        """Write all subjects away; what `subjects` raises passes through. `progress` hears of customers, as counted."""
        waiting: list[list[bytes]] = [[] for _ in range(_PARTS)]
        encode = msgspec.msgpack.Encoder().encode
        for subject in subjects:
            if isinstance(subject, Customer):
                owner, content = subject.id, b"c" + encode(subject)
                self.customers += 1
                if progress is not None and not self.customers % 1_000:
                    progress(self.customers)
            else:
                owner, content = subject.customer, b"s" + encode(subject)
            part = zlib.crc32(owner.encode()) % _PARTS
            entries = waiting[part]
            entries.append(len(content).to_bytes(_LENGTH, "big") + content)
            if len(entries) >= _FLUSH:
                self._files[part].write(b"".join(entries))
                entries.clear()
        for file, entries in zip(self._files, waiting, strict=True):
            file.write(b"".join(entries))
            file.flush()

    def records(self) -> Iterator[SubjectRecord]:
        """Read everything back, one customer after the other; their subscriptions sorted by id."""
        customer = msgspec.msgpack.Decoder(Customer).decode
        subscription = msgspec.msgpack.Decoder(Subscription).decode
        for file in self._files:
            file.seek(0)
            content = memoryview(file.read())
            customers: dict[str, Customer] = {}
            held: dict[str, list[Subscription]] = {}
            at = 0
            while at < len(content):
                end = at + _LENGTH + int.from_bytes(content[at : at + _LENGTH], "big")
                kind, body = content[at + _LENGTH], content[at + _LENGTH + 1 : end]
                at = end
                if kind == ord("c"):
                    found = customer(body)
                    customers[found.id] = found
                else:
                    one = subscription(body)
                    held.setdefault(one.customer, []).append(one)
            for id_, found in customers.items():
                its = held.pop(id_, ())
                yield SubjectRecord(found, tuple(sorted(its, key=_id) if len(its) > 1 else its))


def _id(subscription: Subscription) -> str:
    return subscription.id


class RecordTable:
    """Records to be looked up by customer or subscription, in a temporary database. Use it as a context."""

    def __init__(self) -> None:
        """Make an empty one."""
        self._database = sqlite3.connect("")  # on disk, and gone with the connection
        self._database.execute("CREATE TABLE record (customer TEXT PRIMARY KEY, content BLOB) WITHOUT ROWID")
        self._database.execute("CREATE TABLE holder (subscription TEXT PRIMARY KEY, customer TEXT) WITHOUT ROWID")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._database.close()

    def kept(self, records: Iterable[SubjectRecord]) -> Iterator[SubjectRecord]:
        """Keep every record as it passes."""
        encode = msgspec.msgpack.Encoder().encode
        for record in records:
            id_ = record.customer.id
            self._database.execute("INSERT OR REPLACE INTO record VALUES (?, ?)", (id_, encode(record)))
            held = [(one.id, id_) for one in record.subscriptions]
            self._database.executemany("INSERT OR REPLACE INTO holder VALUES (?, ?)", held)
            yield record

    def find(self, subject: Subject) -> SubjectRecord | None:
        """The record of a customer, or of the customer who holds a subscription."""
        query = "SELECT content FROM record WHERE customer = ?"
        if subject.type is SubjectType.SUBSCRIPTION:
            query = "SELECT content FROM record JOIN holder USING (customer) WHERE subscription = ?"
        row = self._database.execute(query, (subject.id,)).fetchone()
        return None if row is None else msgspec.msgpack.decode(row[0], type=SubjectRecord)
