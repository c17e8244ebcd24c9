"""Snapshots: all subjects at one position of the feed, in immutable pages, for sidecars that cannot follow the feed.

A snapshot is read in one transaction, so it equals the tables at its position. The customers' ids alone decide where a
page ends, so that two snapshots share the pages without changes. Only one snapshot is created at a time, among all
control planes on a database. `endpoints` signs and serves it, `object_store` copies it.

If the database cannot be used, it is a `StoreError`.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Final

import cachetools
import msgspec

from tiergate.bundle import (
    PageEntry,
    Publication,
    SnapshotManifest,
    compress_snapshot_page,
    decode_snapshot_manifest,
    encode_snapshot_manifest,
)
from tiergate.bundle.envelope import read_payload
from tiergate.bundle.signed_statements import decode_statement, payload_type
from tiergate.errors import NotFoundError
from tiergate.feed.status_reports import encode_features
from tiergate.model import Instant
from tiergate.store import SYSTEM, ReadUnit, WriteUnit, read_head
from tiergate.store.blobs import delete_blobs, read_blobs
from tiergate.store.feature_status import all_statuses
from tiergate.store.feed_reader import publication_envelope
from tiergate.store.snapshots import (
    SnapshotEntry,
    all_records,
    drop_snapshot,
    put_snapshot,
    snapshot_lock,
    snapshots,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tiergate.store import Store

_KEPT: Final = 2
_LEAST, _MOST = 2_048, 16_384
_MOST_BYTES: Final = 16 * 1024**2
_CUT: Final = 2_048  # one of so many ids ends a page

_subscriptions = msgspec.json.Decoder(tuple[msgspec.Raw, list[msgspec.Raw]]).decode


class StoredSnapshot(msgspec.Struct, frozen=True):
    """A stored snapshot: the bytes of its manifest, their content and hash, and when it was created."""

    content: bytes
    manifest: SnapshotManifest
    sha256: str
    created_at: Instant

    @property
    def publication(self) -> int:
        """The sequence that is active at its position; 0 for none."""
        envelope = self.manifest.envelope
        if envelope is None:
            return 0
        return decode_statement(read_payload(envelope, payload_type(Publication)), Publication).sequence


class Snapshots:
    """Creates, stores and finds the snapshots of one store. Safe to use from several threads."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._cached: cachetools.LRUCache[str, StoredSnapshot] = cachetools.LRUCache(2 * _KEPT)

    def newest(self) -> StoredSnapshot | None:
        """Return the newest snapshot from which the feed can still be followed."""

        def work(unit: ReadUnit) -> StoredSnapshot | None:
            entries = snapshots(unit.session)
            if not entries or entries[0].position < unit.head().floor:
                return None
            return self._load(unit, entries[0])

        return self._store.read(work)

    def page(self, sha256: str) -> bytes:
        """Return the bytes of a page of a stored snapshot; raises `NotFoundError`."""

        def work(unit: ReadUnit) -> bytes:
            for entry in snapshots(unit.session):
                if any(page.sha256 == sha256 for page in self._load(unit, entry).manifest.pages):
                    return unit.blob(sha256)
            raise NotFoundError("page of a snapshot", sha256)

        return self._store.read(work)

    def create(self, position: int) -> StoredSnapshot:
        """Create a snapshot of at least this position, unless there is one already."""
        with snapshot_lock(self._store.database):
            newest = self.newest()
            if newest is not None and newest.manifest.position >= position:
                return newest
            return self._create()

    def remove_outdated(self) -> None:
        """Delete the snapshots that precede the floor of the feed; they may have the data of an erased person."""
        floor = self._store.read(lambda unit: unit.head().floor)
        if any(entry.position < floor for entry in self._store.read(lambda unit: snapshots(unit.session))):
            with snapshot_lock(self._store.database):
                self._store.change(self._drop_old, SYSTEM)

    def _create(self) -> StoredSnapshot:
        pages: list[PageEntry] = []
        customers = subscriptions = 0
        with self._store.database.reading() as session:
            head = read_head(session)
            envelope = publication_envelope(session, head.publication)
            statuses = encode_features(all_statuses(session))
            for records in _pages(all_records(session)):
                content, entry = compress_snapshot_page(b"".join(record + b"\n" for record in records), len(records))
                self._put_page(entry.sha256, content)
                pages.append(entry)
                customers += len(records)
                subscriptions += sum(len(_subscriptions(record)[1]) for record in records)
        manifest = SnapshotManifest(
            store=self._store.id,
            position=head.position,
            chain=head.chain,
            publication=msgspec.Raw(envelope or b"null"),
            pages=tuple(pages),
            customers=customers,
            subscriptions=subscriptions,
            statuses=statuses,
        )
        content, sha256 = encode_snapshot_manifest(manifest)

        def store(unit: WriteUnit) -> Instant:
            unit.put_blob(sha256, content)
            if all(entry.position != head.position for entry in snapshots(unit.session)):
                put_snapshot(unit, head.position, sha256)
            self._drop_old(unit)
            return unit.now

        return StoredSnapshot(content, manifest, sha256, self._store.change(store, SYSTEM))

    def _put_page(self, sha256: str, content: bytes) -> None:
        self._store.change(lambda unit: unit.put_blob(sha256, content), SYSTEM)

    def _drop_old(self, unit: WriteUnit) -> None:
        entries = snapshots(unit.session)
        floor = unit.head().floor
        kept = [entry for entry in entries[:_KEPT] if entry.position >= floor]
        dropped = [entry for entry in entries if entry not in kept]
        if dropped:
            needed = set(_hashes(self._load(unit, entry) for entry in kept))
            for entry in dropped:
                drop_snapshot(unit, entry.position)
            delete_blobs(unit, set(_hashes(self._load(unit, entry) for entry in dropped)) - needed)

    def _load(self, unit: ReadUnit, entry: SnapshotEntry) -> StoredSnapshot:
        snapshot = self._cached.get(entry.manifest)
        if snapshot is None:
            content = read_blobs(unit.session, [entry.manifest])[entry.manifest]
            snapshot = StoredSnapshot(content, decode_snapshot_manifest(content), entry.manifest, entry.created_at)
            self._cached[entry.manifest] = snapshot
        return snapshot


def _hashes(stored: Iterable[StoredSnapshot]) -> Iterator[str]:
    for snapshot in stored:
        yield snapshot.sha256
        for page in snapshot.manifest.pages:
            yield page.sha256


def _pages(records: Iterable[tuple[str, bytes]]) -> Iterator[list[bytes]]:
    """Cut records into pages at places that their customers' ids decide."""
    page: list[bytes] = []
    size = 0
    for customer, record in records:
        page.append(record)
        size += len(record)
        count = len(page)
        if (count >= _LEAST and not zlib.crc32(customer.encode()) % _CUT) or count >= _MOST or size >= _MOST_BYTES:
            yield page
            page, size = [], 0
    if page:
        yield page
