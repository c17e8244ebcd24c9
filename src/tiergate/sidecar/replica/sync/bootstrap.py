"""A new replica from a snapshot: fetched by pages, several at once, and built in a thread, in bounded memory."""

from __future__ import annotations

import asyncio
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

from tiergate.errors import RejectionReason, TrustError
from tiergate.sidecar.replica.schema import ReplicaState
from tiergate.sidecar.replica.sync.snapshot_builder import BulkReplica

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable
    from pathlib import Path

    from tiergate.bundle import ArchiveContent, PageEntry, TrustedFeed, VerifiedSnapshot
    from tiergate.model import Instant
    from tiergate.sidecar.replica.sync.bundle_origins import BundleOrigins

_FETCHED_AHEAD: Final = 4
"""Pages that may be fetched or waiting at once: this many times a page is what stands in memory."""


async def bootstrap(
    path: Path, trust: TrustedFeed, depots: BundleOrigins, now: Instant, *, with_subjects: bool = True
) -> VerifiedSnapshot:
    """Build the file `path`, which appears whole or not at all, and say which snapshot it is of.

    `trust` knows before which position nothing is taken. Without subjects, only the bundle and the cursor are taken.

    Raises:
        SyncError: something is not to be had.
        TrustError, BundleError: something is not what was signed.
        ReplicaError: the disk refuses.
    """
    head, manifest = await depots.snapshot()
    snapshot = await asyncio.to_thread(trust.verify_snapshot, head, manifest, now)
    loop = asyncio.get_running_loop()
    # One thread, so that what is given up waits for what is under way.
    with ThreadPoolExecutor(1, thread_name_prefix="snapshot") as thread:
        building = await loop.run_in_executor(thread, BulkReplica, path)
        try:
            if with_subjects:

                async def add(content: bytes, entry: PageEntry) -> None:
                    await loop.run_in_executor(thread, building.add_page, content, entry)

                await _add_pages(add, snapshot.manifest.pages, depots)
                found = (building.customers, building.subscriptions)
                said = (snapshot.manifest.customers, snapshot.manifest.subscriptions)
                # Of records that cannot be read nobody knows how many subscriptions they hold.
                if found[0] != said[0] or found[1] > said[1] or (found != said and not building.quarantined):
                    raise TrustError(
                        RejectionReason.CONTRADICTION, "the snapshot does not hold as many subjects as it says"
                    )
            pack = await _bundle(snapshot, depots)
            kept = _kept(snapshot, with_subjects=with_subjects)
            await loop.run_in_executor(thread, building.finish, kept, pack, trust.cursor)
        except BaseException:
            thread.submit(building.abandon)
            raise
    return snapshot


async def _bundle(snapshot: VerifiedSnapshot, depots: BundleOrigins) -> ArchiveContent | None:
    if snapshot.publication is None:
        return None
    revision = snapshot.publication.revision
    return await depots.bundle(revision, None, lambda pack: pack.files.keys() == pack.manifest.files.keys())


def _kept(snapshot: VerifiedSnapshot, *, with_subjects: bool) -> ReplicaState:
    return ReplicaState(
        store=snapshot.manifest.store,
        whole=with_subjects,
        cursor=snapshot.cursor,
        publication=snapshot.envelope,
        head=snapshot.head_envelope,
        customers=0,
        subscriptions=0,
    )


async def _add_pages(
    add: Callable[[bytes, PageEntry], Awaitable[None]], entries: Iterable[PageEntry], depots: BundleOrigins
) -> None:
    waiting: deque[tuple[PageEntry, asyncio.Task[bytes]]] = deque()
    left = iter(entries)
    try:
        while True:
            while len(waiting) < _FETCHED_AHEAD and (entry := next(left, None)) is not None:
                waiting.append((entry, asyncio.create_task(depots.page(entry))))
            if not waiting:
                return
            entry, fetching = waiting[0]
            content = await fetching
            waiting.popleft()
            await add(content, entry)
    finally:
        for _, fetching in waiting:
            fetching.cancel()
        await asyncio.gather(*(fetching for _, fetching in waiting), return_exceptions=True)
