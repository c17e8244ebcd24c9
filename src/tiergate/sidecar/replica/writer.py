"""The replica that follows a feed: one SQLite file with subjects, the bundle's files, and how far the feed is known.

INVARIANT (one step, one transaction): whatever belongs to one step of the feed is committed together with the cursor
after it, so that a crash leaves the state before it or the state after it. What is committed is on disk (WAL,
`synchronous = FULL`). `ReplicaWriter` writes, in a thread of its own; `SyncReplica` reads, for the engine, in the event
loop's thread, and sees what was committed from `renew` on; `bulk` builds a new file.

    customers      id -> MessagePack of its `SubjectRecord`, and the CRC-32 of that
    subscriptions  id -> the customer that holds it
    blobs          SHA-256 -> a file of a bundle
    manifests      revision -> a bundle's manifest
    quarantined    customers whose newest record cannot be read -> why; an earlier one stands, or none
    meta           the layout, the store, the cursor, the publication in force, the head that vouches for it, counts
"""

from __future__ import annotations

import os
import sqlite3
import threading
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import quote
from zlib import crc32

import msgspec

from tiergate.bundle import Bundle, Cursor, FileEntry, Manifest, check_content, decode_manifest, encode_manifest
from tiergate.errors import BundleError, QuarantinedError, ReplicaError, UnreadableBundleError, UnreadableError
from tiergate.feed.lines import UnreadableChange
from tiergate.feed.unreadable_records import UnreadableRecord
from tiergate.model import Subject, SubjectRecord, SubjectType
from tiergate.sidecar.replica.absence_proof import prove_absent
from tiergate.sidecar.replica.reader import QUARANTINED
from tiergate.sidecar.replica.schema import QUARANTINED_TABLE, read_floor, read_state, write_state
from tiergate.sidecar.replica.sqlite_errors import replica_error, unreadable_reason

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping
    from pathlib import Path

    from tiergate.feed.lines import RecordChange
    from tiergate.sidecar.replica.schema import ReplicaState

_PAGE_CACHE_KIB: Final = 16 * 1024
_WAL_BYTES: Final = 8 * 1024**2
_BUSY_SECONDS: Final = 10.0

_BY_CUSTOMER: Final = "SELECT record, crc FROM customers WHERE id = ?"
_BY_SUBSCRIPTION: Final = (
    "SELECT record, crc FROM customers WHERE id = (SELECT customer FROM subscriptions WHERE id = ?)"
)

_NOBODY: Final = ""
"""The customer of subscriptions that only a record names that cannot be read; no customer has this id."""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(SubjectRecord).decode


class ChangedSubjects(NamedTuple):
    """A customer that changed, and the subscriptions that it has or had before."""

    customer: str
    subscriptions: frozenset[str]


class SyncReplica:
    """All subjects as of the last `renew`, and files of bundles. For one thread at a time, but for `read_file`.

    `damaged` turns true when something cannot be read: the file must then be built anew. `on_damage` is told.
    """

    def __init__(self, path: Path, on_damage: Callable[[], None] = lambda: None) -> None:
        """Open a file that `ReplicaWriter` has open.

        Raises:
            ReplicaError: it cannot be read.
        """
        self.path = path
        self.damaged = False
        self._on_damage = on_damage
        self._lock = threading.Lock()
        uri = f"file:{quote(str(path.absolute()))}?mode=rw"
        try:
            self._connection = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)
            self._files = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)
        except sqlite3.Error as error:
            raise ReplicaError(f"replica `{path}` cannot be opened: {error}") from None
        try:
            for connection in (self._connection, self._files):
                connection.execute("PRAGMA query_only = ON")
                connection.execute("PRAGMA mmap_size = 0")
            self._connection.execute(f"PRAGMA cache_size = -{_PAGE_CACHE_KIB}")
            self._find = self._connection.cursor().execute
            self.renew()
        except (sqlite3.Error, ReplicaError) as error:
            self.close()
            raise ReplicaError(f"replica `{path}` cannot be read: {error}") from None

    def find(self, subject: Subject) -> SubjectRecord | None:
        """The record of the customer, or of the customer who holds the subscription; `None` where there is none.

        Raises:
            QuarantinedError: the subject has no record that could be read.
            ReplicaError: the file is torn.
            UnreadableReplicaError: the system cannot read it now.
        """
        by_customer = subject.type is SubjectType.CUSTOMER
        try:
            row = self._find(_BY_CUSTOMER if by_customer else _BY_SUBSCRIPTION, (subject.id,)).fetchone()
            if row is None:
                prove_absent(self._find, subject, "record, crc", _proved)
                return None
            record = _proved(*row)
            if record is None:
                raise QuarantinedError(
                    f"the record of {subject.type} `{subject.id}` cannot be read: it is in quarantine"
                )
            held = record.customer.id if by_customer else any(it.id == subject.id for it in record.subscriptions)
            if held not in (subject.id, True):
                raise ReplicaError("a record is of another subject")
        except QuarantinedError:
            raise
        except (sqlite3.Error, msgspec.MsgspecError, UnicodeDecodeError, ReplicaError) as error:
            raise self._fault(error) from None
        return record

    def renew(self) -> None:
        """See what was committed until now, and nothing later until this is called again.

        Raises:
            ReplicaError: the file can no longer be read.
        """
        try:
            self.release()
            self._connection.execute("BEGIN")
            self._find("SELECT value FROM meta WHERE key = 'format'").fetchone()
        except sqlite3.Error as error:
            raise self._fault(error) from None

    def release(self) -> None:
        """See from now on whatever is committed, so that the log can be folded into the file."""
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    def bundle(self, manifest: Manifest) -> Bundle:
        """Open the bundle of a manifest that is kept here.

        Raises:
            BundleError: it is missing or torn.
        """
        return Bundle(manifest, self.read_file)

    def read_file(self, path: str, entry: FileEntry) -> bytes:
        """Read and prove a file of a bundle. From any thread.

        Raises:
            BundleError: it is missing or torn.
            UnreadableBundleError: the system cannot read it now.
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
                self._damage()
            if reason is None:
                raise BundleError(path, f"cannot be read: {error}") from None
            raise UnreadableBundleError(path, reason[0], transient=reason[1]) from None
        except BundleError:
            self._damage()
            raise
        return bytes(row[0])

    def close(self) -> None:
        """Close the file. Nothing can be found any more."""
        self._connection.close()
        with self._lock:
            self._files.close()

    def _fault(self, error: Exception) -> ReplicaError:
        """The error to raise; the file is damaged unless the fault passes by itself."""
        fault = replica_error(self.path, error)
        if not (isinstance(fault, UnreadableError) and fault.transient):
            self._damage()
        return fault

    def _damage(self) -> None:
        self.damaged = True
        self._on_damage()

    def __del__(self) -> None:
        for name in ("_connection", "_files"):
            if hasattr(self, name):
                getattr(self, name).close()


class ReplicaWriter:
    """The one writer of a file. Every method blocks and must not run while another one does."""

    def __init__(self, path: Path) -> None:
        """Open a file that was built whole.

        Raises:
            ReplicaError: it is missing, torn, not finished, or of another layout.
        """
        self.path = path
        uri = f"file:{quote(str(path.absolute()))}?mode=rw"
        try:
            self._connection = sqlite3.connect(
                uri, uri=True, isolation_level=None, check_same_thread=False, timeout=_BUSY_SECONDS
            )
        except sqlite3.Error as error:
            raise ReplicaError(f"replica `{path}` cannot be opened: {error}") from None
        try:
            for pragma in ("journal_mode = WAL", "synchronous = FULL", "wal_autocheckpoint = 0"):
                self._connection.execute(f"PRAGMA {pragma}")
            self._connection.execute(f"PRAGMA cache_size = -{_PAGE_CACHE_KIB}")
            self.kept = read_state(self._connection, path)
            self._connection.execute(QUARANTINED_TABLE.replace("TABLE", "TABLE IF NOT EXISTS"))  # older files have none
            self.quarantined = self._count_quarantined()
            self.floor = read_floor(self._connection)
            self._blobs = {row[0] for row in self._connection.execute("SELECT sha256 FROM blobs")}
            self._manifests: dict[str, Manifest] = {}
            for revision, content in self._connection.execute("SELECT revision, content FROM manifests"):
                self._manifests[revision] = decode_manifest(content)
        except (sqlite3.Error, BundleError) as error:
            self._connection.close()
            raise ReplicaError(f"replica `{path}` cannot be read: {error}") from None
        except ReplicaError:
            self._connection.close()
            raise

    @property
    def revisions(self) -> Collection[str]:
        """The revisions whose manifests are kept."""
        return self._manifests.keys()

    def manifest(self, revision: str) -> Manifest | None:
        """The manifest of a bundle of which every file is kept here."""
        manifest = self._manifests.get(revision)
        if manifest is None or any(entry.sha256 not in self._blobs for entry in manifest.files.values()):
            return None
        return manifest

    def has_all(self, manifest: Manifest, files: Mapping[str, bytes]) -> bool:
        """Say whether every file of a bundle is kept or among `files`."""
        return all(path in files or entry.sha256 in self._blobs for path, entry in manifest.files.items())

    def apply(self, changes: Iterable[RecordChange], cursor: Cursor, head: bytes) -> list[ChangedSubjects]:
        """Commit changes of subjects, and the cursor after them, for which `head` vouches.

        Raises:
            ReplicaError: the disk is full or otherwise refuses; nothing has changed.
        """
        return self._commit(changes, msgspec.structs.replace(self.kept, cursor=cursor, head=head), None, {}, ())

    def publish(
        self,
        changes: Iterable[RecordChange],
        kept: ReplicaState,
        manifest: Manifest,
        files: Mapping[str, bytes],
        in_use: Collection[str] = (),
    ) -> list[ChangedSubjects]:
        """Commit a publication with what its bundle has that was not kept, and what goes before it.

        Of `kept`, the counts do not matter. Bundles go that are neither this one, the one before, nor `in_use`.

        Raises:
            ReplicaError: as `apply`.
        """
        return self._commit(changes, kept, manifest, files, in_use)

    def fold(self) -> None:
        """Fold the log into the file, as far as no reader holds on to it: `SyncReplica.release` comes first.

        Raises:
            ReplicaError: the disk refuses. Nothing is lost.
        """
        try:
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.Error as error:
            raise ReplicaError(f"replica `{self.path}` cannot be written: {error}") from error

    @property
    def is_long(self) -> bool:
        """Whether the log has grown large."""
        try:
            return os.stat(f"{self.path}-wal").st_size > _WAL_BYTES  # noqa: PTH116 - not a path of its own
        except OSError:
            return False

    def holders(self) -> list[tuple[str, list[str]]]:
        """Every customer that is kept, with the ids of its subscriptions."""
        customers = self._connection.execute("SELECT id FROM customers WHERE id != ?", (_NOBODY,))
        found: dict[str, list[str]] = {row[0]: [] for row in customers}
        for subscription, customer in self._connection.execute("SELECT id, customer FROM subscriptions"):
            if customer != _NOBODY:
                found[customer].append(subscription)
        return list(found.items())

    def exchange(self, record: SubjectRecord | UnreadableRecord, dropped: Iterable[str]) -> list[ChangedSubjects]:
        """Keep a customer from now on, and others no longer; of one whose record cannot be read, that it has none.

        Raises:
            ReplicaError: as `apply`.
        """
        kept = (
            UnreadableChange(0, 0, record)
            if isinstance(record, UnreadableRecord)
            else _Change(record.customer.id, record)
        )
        changes = [kept, *(_Change(customer, None) for customer in dropped)]
        return self._commit(changes, self.kept, None, {}, ())

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    # ── inside ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def _commit(
        self,
        changes: Iterable[RecordChange | _Change],
        kept: ReplicaState,
        manifest: Manifest | None,
        files: Mapping[str, bytes],
        in_use: Collection[str],
    ) -> list[ChangedSubjects]:
        execute = self._connection.execute
        changes = list(changes)
        unread = any(isinstance(change, UnreadableChange) for change in changes)
        self._set_aside = unread or self.quarantined > 0
        counts = [self.kept.customers, self.kept.subscriptions]
        blobs, manifests = self._blobs, self._manifests
        try:
            execute("BEGIN IMMEDIATE")
            changed = [self._change(change, counts) for change in changes]
            if manifest is not None:
                blobs, manifests = self._add_bundle(manifest, files, in_use)
            kept = msgspec.structs.replace(kept, customers=counts[0], subscriptions=counts[1])
            write_state(self._connection, kept, self.kept)
            execute("COMMIT")
        except sqlite3.Error as error:
            self._roll_back()
            raise ReplicaError(f"replica `{self.path}` cannot be written: {error}") from error
        except BaseException:
            self._roll_back()
            raise
        self.kept, self._blobs, self._manifests = kept, blobs, manifests
        if self._set_aside:
            self.quarantined = self._count_quarantined()
        return changed

    def _roll_back(self) -> None:
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    def _change(self, change: RecordChange | _Change, counts: list[int]) -> ChangedSubjects:
        execute = self._connection.execute
        row = execute("SELECT record FROM customers WHERE id = ?", (change.customer,)).fetchone()
        try:
            before = frozenset() if row is None else frozenset(it.id for it in _decode(row[0]).subscriptions)
        except (msgspec.MsgspecError, UnicodeDecodeError):  # torn: what it held is found the slow way
            held = execute("SELECT id FROM subscriptions WHERE customer = ?", (change.customer,))
            before = frozenset(row[0] for row in held)
        if isinstance(change, UnreadableChange):
            return self._set_record_aside(change.record, before, counts, is_new=row is None)
        if self._set_aside:
            execute("DELETE FROM quarantined WHERE customer = ?", (change.customer,))
        record = change.record
        after: frozenset[str] = frozenset()
        if record is None:
            execute("DELETE FROM customers WHERE id = ?", (change.customer,))
        else:
            after = frozenset(it.id for it in record.subscriptions)
            content = _encode(record)
            execute("INSERT OR REPLACE INTO customers VALUES (?, ?, ?)", (change.customer, content, crc32(content)))
        for gone in before - after:  # unless somebody else holds it by now
            found = execute("DELETE FROM subscriptions WHERE id = ? AND customer = ?", (gone, change.customer))
            counts[1] -= found.rowcount
        for new in after - before:
            known = execute("SELECT 1 FROM subscriptions WHERE id = ?", (new,)).fetchone()
            execute("INSERT OR REPLACE INTO subscriptions VALUES (?, ?)", (new, change.customer))
            counts[1] += known is None
        counts[0] += (record is not None) - (row is not None)
        return ChangedSubjects(change.customer, before | after)

    def _set_record_aside(
        self, record: UnreadableRecord, before: frozenset[str], counts: list[int], *, is_new: bool
    ) -> ChangedSubjects:
        """Keep the earlier record of a customer whose newest cannot be read, or that it has none."""
        execute = self._connection.execute
        execute("INSERT OR REPLACE INTO quarantined VALUES (?, ?)", (record.customer, record.detail))
        row = (QUARANTINED, crc32(QUARANTINED))
        if is_new:
            execute("INSERT INTO customers VALUES (?, ?, ?)", (record.customer, *row))
            counts[0] += 1
        holder = record.customer if is_new else _NOBODY
        for new in frozenset(record.subscriptions) - before:
            execute("INSERT OR IGNORE INTO customers VALUES (?, ?, ?)", (holder, *row))
            execute("INSERT OR IGNORE INTO subscriptions VALUES (?, ?)", (new, holder))
        return ChangedSubjects(record.customer, before | frozenset(record.subscriptions))

    def _count_quarantined(self) -> int:
        return int(self._connection.execute("SELECT count(*) FROM quarantined").fetchone()[0])

    def _add_bundle(
        self, manifest: Manifest, files: Mapping[str, bytes], in_use: Collection[str]
    ) -> tuple[set[str], dict[str, Manifest]]:
        connection = self._connection
        new = {manifest.files[path].sha256: content for path, content in files.items()}
        rows = [(hash_, content) for hash_, content in new.items() if hash_ not in self._blobs]
        connection.executemany("INSERT INTO blobs VALUES (?, ?)", rows)
        if manifest.revision not in self._manifests:
            row = (manifest.revision, encode_manifest(manifest))
            connection.execute("INSERT INTO manifests VALUES (?, ?)", row)
        wanted = {manifest.revision, self.kept.cursor.revision, *in_use}
        manifests = {revision: it for revision, it in self._manifests.items() if revision in wanted}
        manifests[manifest.revision] = manifest
        blobs = self._blobs | new.keys()
        if manifests.keys() >= self._manifests.keys():
            return blobs, manifests
        for revision in self._manifests.keys() - manifests.keys():
            connection.execute("DELETE FROM manifests WHERE revision = ?", (revision,))
        used = {entry.sha256 for it in manifests.values() for entry in it.files.values()}
        connection.executemany("DELETE FROM blobs WHERE sha256 = ?", [(hash_,) for hash_ in blobs - used])
        return blobs & used, manifests


def _proved(content: bytes, checksum: int) -> SubjectRecord | None:
    """The record that a row holds; none where it says that there never was one that could be read.

    Raises:
        ReplicaError, msgspec.MsgspecError: the row is torn.
    """
    if crc32(content) != checksum:
        raise ReplicaError("a record has another checksum")
    return None if content == QUARANTINED else _decode(content)


class _Change(NamedTuple):
    """A change that is none of the feed."""

    customer: str
    record: SubjectRecord | None
