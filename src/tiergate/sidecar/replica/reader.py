"""Reading a replica: one SQLite file with all subjects, one record at a time, for the engine.

A file of file mode never changes once it is built, and is opened as immutable: without locks and journal. A followed
file has one writer (`writer`); a reader sees what was committed before its last `renew`. Memory is bounded: SQLite
keeps a few megabytes of pages, the operating system caches the rest. The engine caches decoded records.

Everything raises `ReplicaError` if the file is missing, unreadable or of another format.
"""

from __future__ import annotations

import sqlite3
import threading
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

import msgspec

from tiergate.bundle import check_content, decode_manifest
from tiergate.engine.feature_status import FeatureStatuses
from tiergate.errors import BundleError, QuarantinedError, ReplicaError, UnreadableBundleError, UnreadableError
from tiergate.feed.status_reports import read_reports
from tiergate.model import FeatureReports, Subject, SubjectRecord, SubjectType
from tiergate.sidecar.replica.absence_proof import prove_absent
from tiergate.sidecar.replica.record_encoding import decode_row
from tiergate.sidecar.replica.schema import check_format
from tiergate.sidecar.replica.sqlite_errors import replica_error, unreadable_reason

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tiergate.bundle import FileEntry, Manifest

_PAGE_CACHE_KIB: Final = 16 * 1024
_HAS_CHECKSUMS: Final = "SELECT 1 FROM pragma_table_info('customers') WHERE name = 'crc'"
_HAS_STATUSES: Final = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'feature_status'"
_BY_CUSTOMER: Final = "SELECT {columns} FROM customers WHERE id = ?"
_BY_SUBSCRIPTION: Final = "SELECT {columns} FROM customers WHERE id = (SELECT customer FROM subscriptions WHERE id = ?)"

_CUSTOMERS_AFTER: Final = "SELECT id FROM customers WHERE id > ? ORDER BY id LIMIT ?"
_SUBSCRIPTIONS_AFTER: Final = "SELECT id FROM subscriptions WHERE id > ? ORDER BY id LIMIT ?"


class Replica:
    """All subjects of one file, and in sync the files of bundles. For one thread at a time, except `read_file`.

    `statuses`: the reports on the status of features, as of the last `read_statuses`.

    `damaged` becomes true when a read fails because the file is damaged; it must then be built again. `on_damage` is
    called at that moment.
    """

    def __init__(self, path: Path, *, followed: bool = False, on_damage: Callable[[], None] = lambda: None) -> None:
        """Open a file. `followed`: a `ReplicaWriter` has it open; else nobody may change it."""
        self.path = path
        self.damaged = False
        self.statuses = FeatureStatuses()
        self._followed = followed
        self._on_damage = on_damage
        self._lock = threading.Lock()
        self._connections: list[sqlite3.Connection] = []
        try:
            self._connection = self._open()
            self._connection.execute(f"PRAGMA cache_size = -{_PAGE_CACHE_KIB}")
            self._files = self._open() if followed else self._connection
            self._find = self._connection.cursor().execute
            check_format(self._connection, path)
            columns = "record, crc" if self._find(_HAS_CHECKSUMS).fetchone() else "record, NULL"
            self._columns = columns
            self._by_customer = _BY_CUSTOMER.format(columns=columns)
            self._by_subscription = _BY_SUBSCRIPTION.format(columns=columns)
            self._find(self._by_customer, ("",)).fetchone()
            self.renew()
            self.read_statuses()
        except sqlite3.Error as error:
            self.close()
            raise ReplicaError(f"replica `{path}` cannot be read: {error}") from None
        except ReplicaError:
            self.close()
            raise

    def _open(self) -> sqlite3.Connection:
        mode = "mode=rw" if self._followed else "mode=ro&immutable=1"
        uri = f"file:{quote(str(self.path.absolute()))}?{mode}"
        connection = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)
        self._connections.append(connection)
        connection.execute("PRAGMA query_only = ON")
        connection.execute("PRAGMA mmap_size = 0")
        return connection

    def find(self, subject: Subject) -> SubjectRecord | None:
        """Return the record of the customer, or of the subscription's customer; `None` if there is none.

        Raises:
            QuarantinedError: if the subject has no usable record.
            ReplicaError: if the file is damaged.
            UnreadableReplicaError: if the system cannot read it now.
        """
        by_customer = subject.type is SubjectType.CUSTOMER
        try:
            row = self._find(self._by_customer if by_customer else self._by_subscription, (subject.id,)).fetchone()
            if row is None:
                prove_absent(self._find, subject, self._columns, decode_row)
                return None
            record = decode_row(*row)
            if record is None:
                raise QuarantinedError(f"the record of {subject.type} `{subject.id}` is in quarantine")
            if not (
                record.customer.id == subject.id
                if by_customer
                else any(subscription.id == subject.id for subscription in record.subscriptions)
            ):
                raise ReplicaError("a record belongs to another subject")
        except QuarantinedError:
            raise
        except (sqlite3.Error, msgspec.MsgspecError, UnicodeDecodeError, ReplicaError) as error:
            raise self._note_damage(error) from None
        return record

    def list_ids(self, kind: SubjectType, after: str, most: int) -> list[str]:
        """Return the ids of customers or subscriptions that follow `after`, in their order, at most so many.

        Raises:
            ReplicaError: if the file is damaged.
            UnreadableReplicaError: if the system cannot read it now.
        """
        query = _CUSTOMERS_AFTER if kind is SubjectType.CUSTOMER else _SUBSCRIPTIONS_AFTER
        try:
            return [row[0] for row in self._connection.execute(query, (after, most))]
        except sqlite3.Error as error:
            raise self._note_damage(error) from None

    def renew(self) -> None:
        """See everything that is committed by now, and nothing later until the next call."""
        if not self._followed:
            return
        try:
            self.release()
            self._connection.execute("BEGIN")
            self._find("SELECT value FROM meta WHERE key = 'format'").fetchone()
        except sqlite3.Error as error:
            raise self._note_damage(error) from None

    def read_statuses(self) -> None:
        """Read the reports on the status of features, as of the last `renew`, for all engines on this file."""
        try:
            if self._find(_HAS_STATUSES).fetchone() is None:
                return  # a file of an earlier version, or of file mode
            rows = self._find("SELECT feature, reports FROM feature_status").fetchall()
        except sqlite3.Error as error:
            raise self._note_damage(error) from None
        self.statuses.replace(FeatureReports(feature, read_reports(reports)) for feature, reports in rows)

    def release(self) -> None:
        """End the read transaction, so that the log can be folded into the file."""
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    def read_file(self, path: str, entry: FileEntry) -> bytes:
        """Read and verify a file of a bundle. From any thread.

        Raises:
            BundleError: if it is missing or damaged.
            UnreadableBundleError: if the system cannot read it now.
        """
        try:
            with self._lock:
                row = self._files.execute("SELECT content FROM blobs WHERE sha256 = ?", (entry.sha256,)).fetchone()
            if row is None:
                raise BundleError(path, "is missing from the replica")
            check_content(path, row[0], entry)
        except sqlite3.Error as error:
            reason = unreadable_reason(error)
            if reason is None or not reason[1]:
                self.note_damage()
            if reason is None:
                raise BundleError(path, f"cannot be read: {error}") from None
            raise UnreadableBundleError(path, reason[0], transient=reason[1]) from None
        except BundleError:
            self.note_damage()
            raise
        return bytes(row[0])

    def manifest(self, revision: str) -> Manifest | None:
        """Return the manifest of a bundle that is stored, whether or not all of its files are. From any thread.

        Raises:
            BundleError: if it is damaged.
            ReplicaError: if it cannot be read.
        """
        try:
            with self._lock:
                row = self._files.execute("SELECT content FROM manifests WHERE revision = ?", (revision,)).fetchone()
        except sqlite3.Error as error:
            raise self._note_damage(error) from None
        return None if row is None else decode_manifest(row[0])

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            for connection in self._connections:
                connection.close()

    def _note_damage(self, error: Exception) -> ReplicaError:
        """Return the error to raise; the file is damaged unless the cause passes by itself."""
        fault = replica_error(self.path, error)
        if not (isinstance(fault, UnreadableError) and fault.transient):
            self.note_damage()
        return fault

    def note_damage(self) -> None:
        """Note that the file is damaged."""
        self.damaged = True
        self._on_damage()

    def __del__(self) -> None:
        for connection in getattr(self, "_connections", ()):
            connection.close()
