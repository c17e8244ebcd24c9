"""Building a replica's file as a whole, in bounded memory.

The file is written under a name that nobody opens, then synced and renamed. So it appears complete, or not at all. The
sources feed it: file mode from its staging database, sync from the pages of a snapshot.

Everything raises `ReplicaError` if the disk refuses, and `DuplicateIdError` if an id is added twice.
"""

from __future__ import annotations

import os
import sqlite3
from typing import TYPE_CHECKING, Final
from zlib import crc32

import msgspec

from tiergate.bundle import encode_manifest
from tiergate.errors import ReplicaError
from tiergate.process.atomic_files import sync_directory, sync_file
from tiergate.sidecar.replica.disk_room import DiskRoom
from tiergate.sidecar.replica.schema import create_tables, write_counts, write_floor, write_reports, write_state

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from tiergate.bundle import ArchiveContent, Cursor
    from tiergate.model import FeatureReports
    from tiergate.sidecar.replica.schema import ReplicaState

_CACHE_KIB: Final = 64 * 1024
_FAST_PRAGMAS: Final = (
    "PRAGMA journal_mode = OFF",
    "PRAGMA synchronous = OFF",
    "PRAGMA locking_mode = EXCLUSIVE",
    "PRAGMA temp_store = FILE",
    f"PRAGMA cache_size = -{_CACHE_KIB}",
)


class DuplicateIdError(ReplicaError):
    """An id was added twice."""


class ReplicaBuilder:
    """A file under construction; end with `finish` or `abandon`. All calls block, for up to seconds."""

    def __init__(self, path: Path, folder: Path | None = None, limit: int | None = None) -> None:
        """Begin the file that will be named `path`.

        `limit`: how many bytes `folder`, by default the file's own, may take with it. Beyond it, adding raises
        `NoRoomError`.
        """
        self.path = path
        self._unfinished = path.with_name(f".{path.name}.part")
        try:
            # An earlier file of this name may have left its log, which would be taken for the log of this file.
            for name in (f"{path.name}-wal", f"{path.name}-shm"):
                path.with_name(name).unlink(missing_ok=True)
            self._connection = open_fast(self._unfinished)
            self._room = DiskRoom(folder or path.parent, limit)
            create_tables(self._connection)
            self._connection.execute("BEGIN")
        except (sqlite3.Error, OSError) as error:
            raise ReplicaError(f"replica `{path}` cannot be written: {error}") from error

    def add_records(self, records: Iterable[tuple[str, bytes]]) -> None:
        """Add customers with their encoded records, best in the order of their ids."""
        rows = ((customer, record, crc32(record)) for customer, record in records)
        self._insert("INSERT INTO customers VALUES (?, ?, ?)", rows)

    def add_subscriptions(self, subscriptions: Iterable[tuple[str, str]], *, only_missing: bool = False) -> None:
        """Add the ids of subscriptions with the ids of their customers.

        `only_missing`: ignore subscriptions that are there already.
        """
        verb = "INSERT OR IGNORE" if only_missing else "INSERT"
        self._insert(f"{verb} INTO subscriptions VALUES (?, ?)", subscriptions)

    def add_quarantined(self, customers: Iterable[tuple[str, str]]) -> None:
        """Record customers whose newest record is not usable, with the reason."""
        self._insert("INSERT INTO quarantined VALUES (?, ?)", customers)

    def add_reports(self, features: Iterable[FeatureReports]) -> None:
        """Add the reports on the status of features."""
        try:
            write_reports(self._connection, features)
        except sqlite3.Error as error:
            raise ReplicaError(f"replica `{self.path}` cannot be written: {error}") from error

    def add_bundle(self, content: ArchiveContent) -> None:
        """Add a bundle with all of its files."""
        manifest = content.manifest
        blobs = {manifest.files[path].sha256: data for path, data in content.files.items()}
        self._insert("INSERT INTO blobs VALUES (?, ?)", blobs.items())
        self._insert("INSERT INTO manifests VALUES (?, ?)", [(manifest.revision, encode_manifest(manifest))])

    def finish(
        self, customers: int, subscriptions: int, state: ReplicaState | None = None, floor: Cursor | None = None
    ) -> None:
        """Write the counts, sync the file and give it its name. In sync: `state`, whose counts are ignored.

        `floor`: the cursor that the file must reach before it becomes active, if there is one.
        """
        try:
            if state is None:
                write_counts(self._connection, customers, subscriptions)
            else:
                counted = msgspec.structs.replace(state, customers=customers, subscriptions=subscriptions)
                write_state(self._connection, counted)
            if floor is not None:
                write_floor(self._connection, floor)
            self._connection.execute("COMMIT")
            self._connection.close()
            sync_file(self._unfinished)
            self._unfinished.replace(self.path)
            sync_directory(self.path.parent)
        except (sqlite3.Error, OSError) as error:
            raise ReplicaError(f"replica `{self.path}` cannot be written: {error}") from error

    def abandon(self) -> None:
        """Remove an unfinished file; nothing after `finish`."""
        self._connection.close()
        self._unfinished.unlink(missing_ok=True)

    def _insert(self, statement: str, rows: Iterable[tuple[object, ...]]) -> None:
        try:
            self._connection.executemany(statement, self._room.checked(rows, self._connection))
            self._room.check(self._connection)
        except sqlite3.IntegrityError as error:
            raise DuplicateIdError(f"replica `{self.path}` cannot be written: {error}") from error
        except sqlite3.Error as error:
            raise ReplicaError(f"replica `{self.path}` cannot be written: {error}") from error


def open_fast(path: Path) -> sqlite3.Connection:
    """Create an empty database in place of `path`, readable by its owner alone, without journal and syncs."""
    path.unlink(missing_ok=True)
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    for pragma in _FAST_PRAGMAS:
        connection.execute(pragma)
    return connection
