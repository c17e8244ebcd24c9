"""Building a replica's file whole, from the pages of a snapshot, in bounded memory.

Until the file is finished nothing of it is synced, and it has a name that nobody opens; then it is synced and renamed.
Every call blocks, for up to some seconds, and is made from a thread. It gives way to other threads after each record,
so that checks are answered meanwhile.
"""

from __future__ import annotations

import os
import sqlite3
from typing import TYPE_CHECKING, Final
from zlib import crc32

import msgspec

from tiergate.bundle import encode_manifest, read_snapshot_page
from tiergate.errors import RejectionReason, ReplicaError, TrustError
from tiergate.feed.unreadable_records import UnreadableRecord
from tiergate.process.atomic_files import sync_directory, sync_file
from tiergate.sidecar.replica.reader import QUARANTINED
from tiergate.sidecar.replica.schema import FLOOR_KEY, create_tables, write_state

if TYPE_CHECKING:
    from pathlib import Path

    from tiergate.bundle import ArchiveContent, Cursor, PageEntry
    from tiergate.sidecar.replica.schema import ReplicaState

_CACHE_KIB: Final = 64 * 1024
_UNSAFE_AND_FAST: Final = (
    "PRAGMA journal_mode = OFF",
    "PRAGMA synchronous = OFF",
    "PRAGMA locking_mode = EXCLUSIVE",
    f"PRAGMA cache_size = -{_CACHE_KIB}",
)

_encode = msgspec.msgpack.Encoder().encode


class BulkReplica:
    """A file under construction. `finish` or `abandon` it."""

    def __init__(self, path: Path) -> None:
        """Begin a file that shall be called `path`.

        Raises:
            ReplicaError: the disk refuses.
        """
        self.path = path
        self.customers = self.subscriptions = 0
        self.quarantined: list[UnreadableRecord] = []
        self._unread: list[tuple[str, str]] = []
        self._unfinished = path.with_name(f".{path.name}.part")
        self._last = ""
        try:
            for left in (f"{path.name}-wal", f"{path.name}-shm", self._unfinished.name):  # by another file of this name
                path.with_name(left).unlink(missing_ok=True)
            os.close(os.open(self._unfinished, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
            self._connection = sqlite3.connect(self._unfinished, isolation_level=None, check_same_thread=False)
            for pragma in _UNSAFE_AND_FAST:
                self._connection.execute(pragma)
            create_tables(self._connection)
            self._connection.execute("BEGIN")
        except (sqlite3.Error, OSError) as error:
            raise ReplicaError(f"replica `{path}` cannot be written: {error}") from error

    def add_page(self, content: bytes, entry: PageEntry) -> None:
        """Add the next page.

        Raises:
            TrustError: it is not the one that the manifest lists, or does not follow the one before.
            ReplicaError: the disk refuses.
        """
        customers: list[tuple[str, bytes, int]] = []
        subscriptions: list[tuple[str, str]] = []
        set_aside: list[UnreadableRecord] = []
        last = self._last
        for record in read_snapshot_page(content, entry):
            customer = record.customer if isinstance(record, UnreadableRecord) else record.customer.id
            if customer <= last:
                raise TrustError(RejectionReason.MALFORMED, "the customers of a snapshot are not in order")
            last = customer
            if isinstance(record, UnreadableRecord):
                set_aside.append(record)
                customers.append((customer, QUARANTINED, crc32(QUARANTINED)))
                continue
            packed = _encode(record)
            customers.append((customer, packed, crc32(packed)))
            subscriptions += [(subscription.id, customer) for subscription in record.subscriptions]
        try:
            self._connection.executemany("INSERT INTO customers VALUES (?, ?, ?)", customers)
            self._connection.executemany("INSERT INTO subscriptions VALUES (?, ?)", subscriptions)
            for unread in set_aside:
                self._connection.execute("INSERT INTO quarantined VALUES (?, ?)", (unread.customer, unread.detail))
                self._unread += [(subscription, unread.customer) for subscription in unread.subscriptions]
        except sqlite3.IntegrityError:
            raise TrustError(RejectionReason.MALFORMED, "a subscription stands twice in a snapshot") from None
        except sqlite3.Error as error:
            raise ReplicaError(f"replica `{self.path}` cannot be written: {error}") from error
        self._last = last
        self.quarantined += set_aside
        self.customers += len(customers)
        self.subscriptions += len(subscriptions)

    def finish(self, kept: ReplicaState, pack: ArchiveContent | None, floor: Cursor | None = None) -> None:
        """Add the bundle and what is known of the feed, and give the file its name once it is on disk.

        `floor`: the cursor before which nothing is put in force, where there is one.

        Raises:
            ReplicaError: the disk refuses.
        """
        try:
            if pack is not None:
                blobs = {pack.manifest.files[path].sha256: content for path, content in pack.files.items()}
                self._connection.executemany("INSERT INTO blobs VALUES (?, ?)", blobs.items())
                row = (pack.manifest.revision, encode_manifest(pack.manifest))
                self._connection.execute("INSERT INTO manifests VALUES (?, ?)", row)
            self._connection.executemany("INSERT OR IGNORE INTO subscriptions VALUES (?, ?)", self._unread)
            counted = msgspec.structs.replace(kept, customers=self.customers, subscriptions=self.subscriptions)
            write_state(self._connection, counted)
            if floor is not None:
                row = (FLOOR_KEY, msgspec.msgpack.encode(floor))
                self._connection.execute("INSERT INTO meta VALUES (?, ?)", row)
            self._connection.execute("COMMIT")
            self._connection.close()
            sync_file(self._unfinished)
            self._unfinished.replace(self.path)
            sync_directory(self.path.parent)
        except (sqlite3.Error, OSError) as error:
            raise ReplicaError(f"replica `{self.path}` cannot be written: {error}") from error

    def abandon(self) -> None:
        """Remove what is not finished."""
        self._connection.close()
        self._unfinished.unlink(missing_ok=True)
