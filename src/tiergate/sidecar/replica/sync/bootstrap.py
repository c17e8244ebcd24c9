"""Building a replica from a snapshot: pages are fetched several at a time, and added in a thread, in bounded memory.

`SnapshotBuilder` raises `TrustError` if a page or a count is not what the manifest lists, and `ReplicaError`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from typing import TYPE_CHECKING, Final

from tiergate.bundle import read_snapshot_page
from tiergate.errors import RejectionReason, TrustError
from tiergate.feed.unreadable_records import UnreadableRecord
from tiergate.sidecar.replica.builder import DuplicateIdError, ReplicaBuilder
from tiergate.sidecar.replica.record_encoding import QUARANTINED, encode_record
from tiergate.sidecar.replica.schema import ReplicaState

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable
    from pathlib import Path

    from tiergate.bundle import ArchiveContent, Cursor, PageEntry, TrustedFeed, VerifiedSnapshot
    from tiergate.model import Instant
    from tiergate.sidecar.replica.sync.bundle_origins import BundleOrigins

_FETCHED_AHEAD: Final = 4
"""Pages that are fetched or wait at the same time, which bounds memory."""


async def bootstrap(
    path: Path,
    trust: TrustedFeed,
    origins: BundleOrigins,
    now: Instant,
    *,
    with_subjects: bool = True,
    folder: Path | None = None,
    limit: int | None = None,
) -> VerifiedSnapshot:
    """Build the file `path` as a whole, and return its snapshot.

    `trust` has the cursor before which no snapshot is accepted. Without subjects, only the bundle is fetched.
    `limit`: how many bytes `folder` may take with the new file.

    Raises:
        SyncError: if something cannot be fetched.
        TrustError, BundleError: if something is not what the store signed.
        ReplicaError: if the disk refuses, or the file does not fit.
    """
    head, manifest = await origins.snapshot()
    snapshot = await asyncio.to_thread(trust.verify_snapshot, head, manifest, now)
    loop = asyncio.get_running_loop()
    # One thread, so that `abandon` waits for the work in progress.
    with ThreadPoolExecutor(1, thread_name_prefix="snapshot") as thread:
        building = await loop.run_in_executor(thread, SnapshotBuilder, path, folder, limit)
        try:
            if with_subjects:
                async with aclosing(_fetch_pages(snapshot.manifest.pages, origins)) as pages:
                    async for content, entry in pages:
                        await loop.run_in_executor(thread, building.add_page, content, entry)
                building.check_counts(snapshot.manifest.customers, snapshot.manifest.subscriptions)
            reports = snapshot.manifest.feature_reports
            await loop.run_in_executor(thread, building.add_reports, reports)
            bundle = await _fetch_bundle(snapshot, origins)
            state = ReplicaState(
                store=snapshot.manifest.store,
                whole=with_subjects,
                cursor=snapshot.cursor,
                publication=snapshot.envelope,
                head=snapshot.head_envelope,
                customers=0,
                subscriptions=0,
            )
            await loop.run_in_executor(thread, building.finish, state, bundle, trust.cursor)
        except BaseException:
            thread.submit(building.abandon)
            raise
    return snapshot


class SnapshotBuilder:
    """Feeds a `ReplicaBuilder` with the pages of a snapshot. It lets other threads run between records."""

    def __init__(self, path: Path, folder: Path | None = None, limit: int | None = None) -> None:
        """Begin the file that will be named `path`; see `ReplicaBuilder`."""
        self._builder = ReplicaBuilder(path, folder, limit)
        self.abandon = self._builder.abandon
        self.add_reports = self._builder.add_reports
        self._customers = self._subscriptions = 0
        self._unreadable: list[UnreadableRecord] = []
        self._last = ""

    def add_page(self, content: bytes, entry: PageEntry) -> None:
        """Add the next page."""
        records: list[tuple[str, bytes]] = []
        subscriptions: list[tuple[str, str]] = []
        unreadable: list[UnreadableRecord] = []
        last = self._last
        for record in read_snapshot_page(content, entry):
            customer = record.customer if isinstance(record, UnreadableRecord) else record.customer.id
            if customer <= last:
                raise TrustError(RejectionReason.MALFORMED, "the customers of a snapshot are not in order")
            last = customer
            if isinstance(record, UnreadableRecord):
                unreadable.append(record)
                records.append((customer, QUARANTINED))
            else:
                records.append((customer, encode_record(record)))
                subscriptions += [(subscription.id, customer) for subscription in record.subscriptions]
        try:
            self._builder.add_records(records)
            self._builder.add_subscriptions(subscriptions)
            self._builder.add_quarantined([(record.customer, record.detail) for record in unreadable])
        except DuplicateIdError:
            raise TrustError(RejectionReason.MALFORMED, "a subscription is in a snapshot twice") from None
        self._last = last
        self._unreadable += unreadable
        self._customers += len(records)
        self._subscriptions += len(subscriptions)

    def check_counts(self, customers: int, subscriptions: int) -> None:
        """Compare the counts with those of the manifest."""
        # The number of subscriptions in unreadable records is not known.
        if self._customers != customers or (
            self._subscriptions > subscriptions if self._unreadable else self._subscriptions != subscriptions
        ):
            raise TrustError(RejectionReason.CONTRADICTION, "the snapshot has other counts than its manifest")

    def finish(self, state: ReplicaState, bundle: ArchiveContent | None, floor: Cursor | None = None) -> None:
        """Add the bundle and the state, whose counts are ignored, and finish the file."""
        if bundle is not None:
            self._builder.add_bundle(bundle)
        unreadable = ((id_, record.customer) for record in self._unreadable for id_ in record.subscriptions)
        self._builder.add_subscriptions(unreadable, only_missing=True)
        self._builder.finish(self._customers, self._subscriptions, state, floor)


async def _fetch_bundle(snapshot: VerifiedSnapshot, origins: BundleOrigins) -> ArchiveContent | None:
    if snapshot.publication is None:
        return None
    revision = snapshot.publication.revision
    return await origins.bundle(revision, None, lambda content: content.files.keys() == content.manifest.files.keys())


async def _fetch_pages(entries: Iterable[PageEntry], origins: BundleOrigins) -> AsyncGenerator[tuple[bytes, PageEntry]]:
    fetching: deque[tuple[PageEntry, asyncio.Task[bytes]]] = deque()
    remaining = iter(entries)
    try:
        while True:
            while len(fetching) < _FETCHED_AHEAD and (entry := next(remaining, None)) is not None:
                fetching.append((entry, asyncio.create_task(origins.page(entry))))
            if not fetching:
                return
            entry, task = fetching[0]
            content = await task
            fetching.popleft()
            yield content, entry
    finally:
        for _, task in fetching:
            task.cancel()
        await asyncio.gather(*(task for _, task in fetching), return_exceptions=True)
