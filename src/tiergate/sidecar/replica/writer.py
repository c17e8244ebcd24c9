"""Writing a replica that follows a feed: steps of the feed, publications, and records fetched on demand.

INVARIANT (one step, one transaction): everything of one step of the feed is committed together with the cursor after
it, so that a crash leaves the state before the step or after it. What is committed is on disk (WAL, `synchronous =
FULL`). `ReplicaWriter` runs in a thread of its own; the engine's `Replica` reads in the event loop's thread.

A file or a disk that fails raises `ReplicaError`; nothing has changed then.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import suppress
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import quote
from zlib import crc32

import msgspec

from tiergate.bundle import Cursor, Manifest, decode_manifest, encode_manifest
from tiergate.errors import BundleError, ReplicaError
from tiergate.feed.lines import UnreadableChange
from tiergate.feed.unreadable_records import UnreadableRecord
from tiergate.sidecar.replica.record_encoding import NO_CUSTOMER, QUARANTINED, encode_record, read_subscription_ids
from tiergate.sidecar.replica.schema import (
    QUARANTINED_TABLE,
    STATUS_TABLE,
    read_floor,
    read_state,
    write_reports,
    write_state,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from pathlib import Path

    from tiergate.feed.lines import RecordChange, StatusChange
    from tiergate.model import SubjectRecord
    from tiergate.sidecar.replica.schema import ReplicaState

_PAGE_CACHE_KIB: Final = 16 * 1024
_WAL_BYTES: Final = 8 * 1024**2
_BUSY_SECONDS: Final = 10.0


class ChangedSubjects(NamedTuple):
    """A customer that changed, and the subscriptions that it has or had before."""

    customer: str
    subscriptions: frozenset[str]


class ReplicaWriter:
    """The one writer of a file. All methods block, and must not run at the same time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        uri = f"file:{quote(str(path.absolute()))}?mode=rw"
        try:
            self._connection = sqlite3.connect(
                uri, uri=True, isolation_level=None, check_same_thread=False, timeout=_BUSY_SECONDS
            )
        except sqlite3.Error as error:
            raise ReplicaError(f"replica `{path}` cannot be read: {error}") from None
        try:
            for pragma in ("journal_mode = WAL", "synchronous = FULL", "wal_autocheckpoint = 0"):
                self._connection.execute(f"PRAGMA {pragma}")
            self._connection.execute(f"PRAGMA cache_size = -{_PAGE_CACHE_KIB}")
            self.state = read_state(self._connection, path)
            for table in (QUARANTINED_TABLE, STATUS_TABLE):  # files of earlier versions have none
                self._connection.execute(table)
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

    def manifest(self, revision: str) -> Manifest | None:
        """Return the manifest of a bundle if all of its files are stored."""
        manifest = self._manifests.get(revision)
        return manifest if manifest is not None and self.has_all(manifest, {}) else None

    def has_all(self, manifest: Manifest, files: Mapping[str, bytes]) -> bool:
        """Return whether every file of a bundle is stored or among `files`."""
        return all(path in files or entry.sha256 in self._blobs for path, entry in manifest.files.items())

    def apply(
        self, changes: Iterable[RecordChange], cursor: Cursor, head: bytes, statuses: Iterable[StatusChange] = ()
    ) -> list[ChangedSubjects]:
        """Commit changes of subjects and statuses, and the cursor after them, which the envelope `head` covers."""
        return self._commit(changes, msgspec.structs.replace(self.state, cursor=cursor, head=head), statuses)

    def publish(
        self,
        changes: Iterable[RecordChange],
        state: ReplicaState,
        manifest: Manifest,
        files: Mapping[str, bytes],
        in_use: Collection[str] = (),
        statuses: Iterable[StatusChange] = (),
    ) -> list[ChangedSubjects]:
        """Commit a publication with the files of its bundle that are not stored, and the changes before it.

        The counts in `state` are ignored. All bundles except this one, the previous one and those `in_use` are deleted.
        """
        return self._commit(changes, state, statuses, manifest, files, in_use)

    def store_record(self, record: SubjectRecord | UnreadableRecord, dropped: Iterable[str]) -> list[ChangedSubjects]:
        """Commit the record of a customer fetched on demand, and delete the `dropped` customers."""
        change = (
            UnreadableChange(0, 0, record)
            if isinstance(record, UnreadableRecord)
            else _RecordUpdate(record.customer.id, record)
        )
        return self._commit([change, *(_RecordUpdate(customer, None) for customer in dropped)], self.state)

    def fold(self) -> None:
        """Fold the log into the file, as far as no reader needs it: call `Replica.release` first."""
        try:
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.Error as error:
            raise ReplicaError(f"replica `{self.path}` cannot be written: {error}") from error

    @property
    def has_long_log(self) -> bool:
        """Whether the log has grown so large that it should be folded."""
        try:
            return os.stat(f"{self.path}-wal").st_size > _WAL_BYTES  # noqa: PTH116 - not a path of its own
        except OSError:
            return False

    def customers(self) -> list[tuple[str, list[str]]]:
        """Return every stored customer with the ids of its subscriptions."""
        rows = self._connection.execute("SELECT id FROM customers WHERE id != ?", (NO_CUSTOMER,))
        customers: dict[str, list[str]] = {row[0]: [] for row in rows}
        for subscription, customer in self._connection.execute("SELECT id, customer FROM subscriptions"):
            if customer != NO_CUSTOMER:
                customers[customer].append(subscription)
        return list(customers.items())

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def _commit(
        self,
        changes: Iterable[RecordChange | _RecordUpdate],
        state: ReplicaState,
        statuses: Iterable[StatusChange] = (),
        manifest: Manifest | None = None,
        files: Mapping[str, bytes] | None = None,
        in_use: Collection[str] = (),
    ) -> list[ChangedSubjects]:
        execute = self._connection.execute
        changes = list(changes)
        self._quarantines = self.quarantined > 0 or any(isinstance(change, UnreadableChange) for change in changes)
        counts = [self.state.customers, self.state.subscriptions]
        blobs, manifests = self._blobs, self._manifests
        try:
            execute("BEGIN IMMEDIATE")
            changed = [self._change(change, counts) for change in changes]
            write_reports(self._connection, statuses)
            if manifest is not None:
                blobs, manifests = self._add_bundle(manifest, files or {}, in_use)
            state = msgspec.structs.replace(state, customers=counts[0], subscriptions=counts[1])
            write_state(self._connection, state, self.state)
            execute("COMMIT")
        except sqlite3.Error as error:
            self._roll_back()
            raise ReplicaError(f"replica `{self.path}` cannot be written: {error}") from error
        except BaseException:
            self._roll_back()
            raise
        self.state, self._blobs, self._manifests = state, blobs, manifests
        if self._quarantines:
            self.quarantined = self._count_quarantined()
        return changed

    def _roll_back(self) -> None:
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    def _change(self, change: RecordChange | _RecordUpdate, counts: list[int]) -> ChangedSubjects:
        execute = self._connection.execute
        row = execute("SELECT record FROM customers WHERE id = ?", (change.customer,)).fetchone()
        before = frozenset[str]() if row is None else self._subscriptions_of(change.customer, row[0])
        if isinstance(change, UnreadableChange):
            return self._quarantine(change.record, before, counts, is_new=row is None)
        if self._quarantines:
            execute("DELETE FROM quarantined WHERE customer = ?", (change.customer,))
        record = change.record
        after: frozenset[str] = frozenset()
        if record is None:
            execute("DELETE FROM customers WHERE id = ?", (change.customer,))
        else:
            after = frozenset([subscription.id for subscription in record.subscriptions])
            content = encode_record(record)
            execute("INSERT OR REPLACE INTO customers VALUES (?, ?, ?)", (change.customer, content, crc32(content)))
        for gone in before - after:  # unless another customer has it by now
            deleted = execute("DELETE FROM subscriptions WHERE id = ? AND customer = ?", (gone, change.customer))
            counts[1] -= deleted.rowcount
        for new in after - before:
            known = execute("SELECT 1 FROM subscriptions WHERE id = ?", (new,)).fetchone()
            execute("INSERT OR REPLACE INTO subscriptions VALUES (?, ?)", (new, change.customer))
            counts[1] += known is None
        counts[0] += (record is not None) - (row is not None)
        return ChangedSubjects(change.customer, before | after)

    def _subscriptions_of(self, customer: str, content: bytes) -> frozenset[str]:
        with suppress(msgspec.MsgspecError, UnicodeDecodeError):
            ids = read_subscription_ids(content)
            if ids is not None:
                return ids
        rows = self._connection.execute("SELECT id FROM subscriptions WHERE customer = ?", (customer,))
        return frozenset(row[0] for row in rows)

    def _quarantine(
        self, record: UnreadableRecord, before: frozenset[str], counts: list[int], *, is_new: bool
    ) -> ChangedSubjects:
        """Leave the earlier record of a customer whose newest is unreadable; without one, store a placeholder."""
        execute = self._connection.execute
        execute("INSERT OR REPLACE INTO quarantined VALUES (?, ?)", (record.customer, record.detail))
        placeholder = (QUARANTINED, crc32(QUARANTINED))
        if is_new:
            execute("INSERT INTO customers VALUES (?, ?, ?)", (record.customer, *placeholder))
            counts[0] += 1
        customer = record.customer if is_new else NO_CUSTOMER
        for new in frozenset(record.subscriptions) - before:
            execute("INSERT OR IGNORE INTO customers VALUES (?, ?, ?)", (customer, *placeholder))
            execute("INSERT OR IGNORE INTO subscriptions VALUES (?, ?)", (new, customer))
        return ChangedSubjects(record.customer, before | frozenset(record.subscriptions))

    def _count_quarantined(self) -> int:
        return int(self._connection.execute("SELECT count(*) FROM quarantined").fetchone()[0])

    def _add_bundle(
        self, manifest: Manifest, files: Mapping[str, bytes], in_use: Collection[str]
    ) -> tuple[set[str], dict[str, Manifest]]:
        connection = self._connection
        new = {manifest.files[path].sha256: content for path, content in files.items()}
        rows = [(digest, content) for digest, content in new.items() if digest not in self._blobs]
        connection.executemany("INSERT INTO blobs VALUES (?, ?)", rows)
        if manifest.revision not in self._manifests:
            row = (manifest.revision, encode_manifest(manifest))
            connection.execute("INSERT INTO manifests VALUES (?, ?)", row)
        needed = {manifest.revision, self.state.cursor.revision, *in_use}
        manifests = {revision: stored for revision, stored in self._manifests.items() if revision in needed}
        manifests[manifest.revision] = manifest
        blobs = self._blobs | new.keys()
        if manifests.keys() >= self._manifests.keys():
            return blobs, manifests
        for revision in self._manifests.keys() - manifests.keys():
            connection.execute("DELETE FROM manifests WHERE revision = ?", (revision,))
        used = {entry.sha256 for stored in manifests.values() for entry in stored.files.values()}
        connection.executemany("DELETE FROM blobs WHERE sha256 = ?", [(digest,) for digest in blobs - used])
        return blobs & used, manifests


class _RecordUpdate(NamedTuple):
    """A change that is not from the feed; `None` deletes the customer."""

    customer: str
    record: SubjectRecord | None
