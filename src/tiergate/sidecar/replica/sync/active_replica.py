"""A replica that follows a feed, opened: its file, its writer in a thread of its own, its reader, and its trust state.

All commits go through here, from the event loop's thread, one at a time. The caller renews the reader, in the same turn
of the event loop in which it invalidates cached answers.

Opening raises `ReplicaError` or `BundleError` if the file or the bundle is not usable.
"""

from __future__ import annotations

import asyncio
import contextlib
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Self, TypeVar

from tiergate.bundle import Bundle, Cursor, FileEntry, TrustedFeed, check_content
from tiergate.errors import BundleError, RejectionReason, ReplicaError, TrustError
from tiergate.sidecar.replica.reader import Replica
from tiergate.sidecar.replica.sync.rollback_floor import RollbackFloor
from tiergate.sidecar.replica.writer import ReplicaWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Mapping
    from pathlib import Path

    from tiergate.bundle import Manifest, VerifyKey
    from tiergate.engine import CheckDecider, EngineOptions

T = TypeVar("T")


class ActiveBundle:
    """A bundle and its engine. `files` are those that the replica does not have until `forget_files` is called."""

    def __init__(
        self,
        active: ActiveReplica,
        manifest: Manifest,
        files: Mapping[str, bytes],
        publication: int,
        options: EngineOptions,
    ) -> None:
        self._files = dict(files)
        self._replica = active.replica
        self.publication = publication
        self.bundle = Bundle(manifest, self._read)
        self.engine: CheckDecider = options.build(self.bundle, active.replica, publication, active.replica.statuses)

    def forget_files(self) -> None:
        """Read all files from the replica from now on."""
        self._files.clear()

    def _read(self, path: str, entry: FileEntry) -> bytes:
        content = self._files.get(path)
        if content is None:
            return self._replica.read_file(path, entry)
        check_content(path, content, entry)
        return content


class ActiveReplica:
    """An open replica of sync. Belongs to the event loop's thread."""

    def __init__(self, path: Path, trust: TrustedFeed, loop: asyncio.AbstractEventLoop) -> None:
        """Open the file; it blocks for a moment, so call it from another thread than that of `loop`."""
        self.path = path
        self.trust = trust
        self.writer = ReplicaWriter(path)
        self._loop = loop
        self._damage = asyncio.Event()
        try:
            self.replica = Replica(path, followed=True, on_damage=self._on_damage)
        except BaseException:
            self.writer.close()
            raise
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="replica")

    @classmethod
    def resume(cls, path: Path, keys: Iterable[VerifyKey], store: str | None, loop: asyncio.AbstractEventLoop) -> Self:
        """Open the file of an earlier process, and verify that a key that is trusted now has signed its head.

        Raises:
            ReplicaError: if it is not usable.
            TrustError: if it is of another store than `store`, or not signed by a trusted key.
        """
        active = cls(path, TrustedFeed(keys), loop)
        state = active.writer.state
        try:
            if store is not None and state.store != store:
                detail = f"the data on disk is of store `{state.store}`, not `{store}`"
                raise TrustError(RejectionReason.OTHER_STORE, detail)
            active.trust = TrustedFeed(keys, store=state.store, cursor=state.cursor)
            active.trust.verify_stored_head(state.head)
        except BaseException:
            active.abandon()
            raise
        return active

    @property
    def cursor(self) -> Cursor:
        """The cursor that is committed."""
        return self.writer.state.cursor

    @property
    def has_statuses(self) -> bool:
        """Whether it has all reports on the status of features; else an earlier version followed the feed with it."""
        return self.writer.state.has_statuses

    @property
    def floor(self) -> RollbackFloor:
        """The floor that this replica provides while it is active."""
        return RollbackFloor(self.writer.state.store, self.cursor)

    def recover(self) -> None:
        """After a failure: return to the committed cursor."""
        self.trust = self.trust.with_cursor(self.cursor)

    def open_bundle(self, options: EngineOptions) -> ActiveBundle:
        """Open the bundle of the committed publication; blocks for milliseconds."""
        manifest = self.writer.manifest(self.cursor.revision)
        if manifest is None:
            raise BundleError("manifest.json", f"of `{self.cursor.revision}` is not in the replica")
        return ActiveBundle(self, manifest, {}, self.cursor.publication, options)

    async def run(self, work: Callable[[], T]) -> T:
        """Run `work` in the writer's thread, after earlier work. Cancelling waits until it is done."""
        task = asyncio.get_running_loop().run_in_executor(self._thread, work)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            with contextlib.suppress(Exception):
                await task
            raise

    async def unless_damaged(self, coroutine: Coroutine[object, object, T]) -> T:
        """Await a coroutine, but not beyond the moment when the replica turns out to be damaged."""
        task, damage = asyncio.ensure_future(coroutine), asyncio.ensure_future(self._damage.wait())
        try:
            await asyncio.wait([task, damage], return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                return task.result()
            raise ReplicaError(f"replica `{self.path}` is damaged")
        finally:
            damage.cancel()
            if not task.done():
                task.cancel()
                await asyncio.wait([task])

    async def fold(self) -> None:
        """Fold the log into the file."""
        self.replica.release()
        try:
            await self.run(self.writer.fold)
        finally:
            self.replica.renew()

    def retire(self) -> None:
        """End writing. Readers continue until nobody uses them."""
        self._thread.shutdown(wait=True)
        self.writer.close()

    def abandon(self) -> None:
        """Close everything."""
        self.retire()
        self.replica.close()

    def _on_damage(self) -> None:
        """From any thread."""
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._damage.set)
