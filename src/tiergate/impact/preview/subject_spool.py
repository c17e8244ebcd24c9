"""Groups the customers and subscriptions of files into records, whatever the files' order and size.

Subjects are written to parts on disk, by a hash of the customer's id, and read back part by part: memory holds one part
at most. The order of the records depends only on the subjects, but is not sorted. A table on disk finds records by id.
"""

from __future__ import annotations

import sqlite3
import tempfile
import zlib
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

import msgspec

from tiergate.model import Customer, SubjectRecord, SubjectType, Subscription

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from tiergate.model import Subject

PARTS: Final = 64
"""The number of parts of a spool."""

_CUSTOMER: Final = ord("c")
_FLUSH: Final = 256
_LENGTH: Final = 4


class Spool:
    """Temporary files of subjects. Use it as a context manager, which deletes them."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="tiergate-preview-", dir=folder)
        self.folder = Path(self._folder.name)
        self.customers = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._folder.cleanup()

    def write(self, subjects: Iterable[Customer | Subscription], progress: Callable[[int], None] | None = None) -> None:
        """Write all subjects; errors of `subjects` pass through. `progress` receives the number of customers."""
        waiting: list[list[bytes]] = [[] for _ in range(PARTS)]
        encode = msgspec.msgpack.Encoder().encode
        with ExitStack() as opened:
            files = [opened.enter_context(_part(self.folder, part).open("ab")) for part in range(PARTS)]
            for subject in subjects:
                if isinstance(subject, Customer):
                    owner, content = subject.id, b"c" + encode(subject)
                    self.customers += 1
                    if progress is not None and not self.customers % 1_000:
                        progress(self.customers)
                else:
                    owner, content = subject.customer, b"s" + encode(subject)
                part = zlib.crc32(owner.encode()) % PARTS
                entries = waiting[part]
                entries.append(len(content).to_bytes(_LENGTH, "big") + content)
                if len(entries) >= _FLUSH:
                    files[part].write(b"".join(entries))
                    entries.clear()
            for file, entries in zip(files, waiting, strict=True):
                file.write(b"".join(entries))

    def records(self) -> Iterator[SubjectRecord]:
        """Read the records back, one customer after the other; their subscriptions sorted by id."""
        for part in range(PARTS):
            yield from part_records(self.folder, part)


def part_records(folder: Path, part: int) -> Iterator[SubjectRecord]:
    """Read one part of a spool's folder."""
    customer = msgspec.msgpack.Decoder(Customer).decode
    subscription = msgspec.msgpack.Decoder(Subscription).decode
    content = memoryview(_part(folder, part).read_bytes())
    customers: dict[str, Customer] = {}
    subscriptions: dict[str, list[Subscription]] = {}
    at = 0
    while at < len(content):
        end = at + _LENGTH + int.from_bytes(content[at : at + _LENGTH], "big")
        kind, body = content[at + _LENGTH], content[at + _LENGTH + 1 : end]
        at = end
        if kind == _CUSTOMER:
            result = customer(body)
            customers[result.id] = result
        else:
            record = subscription(body)
            subscriptions.setdefault(record.customer, []).append(record)
    for id_, result in customers.items():
        own = subscriptions.pop(id_, ())
        yield SubjectRecord(result, tuple(sorted(own, key=_id) if len(own) > 1 else own))


def _part(folder: Path, part: int) -> Path:
    return folder / f"part-{part}"


def _id(subscription: Subscription) -> str:
    return subscription.id


class RecordTable:
    """Records by customer or subscription, in a temporary database. Use it as a context manager."""

    def __init__(self) -> None:
        self._database = sqlite3.connect("")  # on disk, and gone with the connection
        self._database.execute("CREATE TABLE record (customer TEXT PRIMARY KEY, content BLOB) WITHOUT ROWID")
        self._database.execute("CREATE TABLE holder (subscription TEXT PRIMARY KEY, customer TEXT) WITHOUT ROWID")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._database.close()

    def store_passing(self, records: Iterable[SubjectRecord]) -> Iterator[SubjectRecord]:
        """Store every record as it passes."""
        encode = msgspec.msgpack.Encoder().encode
        for record in records:
            id_ = record.customer.id
            self._database.execute("INSERT OR REPLACE INTO record VALUES (?, ?)", (id_, encode(record)))
            holders = [(subscription.id, id_) for subscription in record.subscriptions]
            self._database.executemany("INSERT OR REPLACE INTO holder VALUES (?, ?)", holders)
            yield record

    def find(self, subject: Subject) -> SubjectRecord | None:
        """Return the record of a customer, or of the customer of a subscription."""
        query = "SELECT content FROM record WHERE customer = ?"
        if subject.type is SubjectType.SUBSCRIPTION:
            query = "SELECT content FROM record JOIN holder USING (customer) WHERE subscription = ?"
        row = self._database.execute(query, (subject.id,)).fetchone()
        return None if row is None else msgspec.msgpack.decode(row[0], type=SubjectRecord)
