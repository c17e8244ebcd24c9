"""One replica in use: its file, its one writer in a thread of its own, its reader, and what is believed of its store.

Everything that is committed goes through here, from the event loop's thread, one thing at a time. What can be read is
renewed by the caller, in the turn in which it has remembered answers forgotten.
"""

from __future__ import annotations

import asyncio
import contextlib
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Self, TypeVar

from tiergate.bundle import Bundle, Cursor, FileEntry, TrustedFeed, check_content
from tiergate.engine import CachedEvaluator, Evaluator
from tiergate.errors import BundleError, RejectionReason, ReplicaError, TrustError
from tiergate.sidecar.replica.writer import ReplicaWriter, SyncReplica

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Mapping
    from pathlib import Path

    from tiergate.bundle import Manifest, VerifyKey
    from tiergate.engine import CacheLimits

T = TypeVar("T")


class ActiveBundle:
    """A bundle and the engine that decides by it. `files` are those that are not in the replica yet: until `settle`."""

    def __init__(
        self,
        holding: ActiveReplica,
        manifest: Manifest,
        files: Mapping[str, bytes],
        publication: int,
        limits: CacheLimits | None,
    ) -> None:
        """Open it.

        Raises:
            BundleError: it cannot be decided by.
        """
        self._files = dict(files)
        self._replica = holding.replica
        self.publication = publication
        self.bundle = Bundle(manifest, self._read)
        evaluator = Evaluator(self.bundle, holding.replica, publication=publication, limits=limits)
        self.engine = CachedEvaluator(evaluator, limits)

    def settle(self) -> None:
        """Read every file from the replica from now on."""
        self._files.clear()

    def _read(self, path: str, entry: FileEntry) -> bytes:
        content = self._files.get(path)
        if content is None:
            return self._replica.read_file(path, entry)
        check_content(path, content, entry)
        return content


class ActiveReplica:
    """A replica that is followed. Belongs to the event loop's thread."""

    def __init__(self, path: Path, trust: TrustedFeed, loop: asyncio.AbstractEventLoop) -> None:
        """Open the file; blocks for a moment, so it is done from another thread than that of `loop`.

        Raises:
            ReplicaError: it cannot be used.
        """
        self.path = path
        self.trust = trust
        self.writer = ReplicaWriter(path)
        self._loop = loop
        self._damage = asyncio.Event()
        try:
            self.replica = SyncReplica(path, self._on_damage)
        except BaseException:
            self.writer.close()
            raise
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="replica")

    @classmethod
    def resume(cls, path: Path, keys: Iterable[VerifyKey], store: str | None, loop: asyncio.AbstractEventLoop) -> Self:
        """Open what an earlier process left, and prove that a key that is trusted now vouches for it.

        Raises:
            ReplicaError: it cannot be used.
            TrustError: it is of another store than `store`, or signed by nobody who is trusted.
        """
        holding = cls(path, TrustedFeed(keys), loop)
        kept = holding.writer.kept
        try:
            if store is not None and kept.store != store:
                raise TrustError(
                    RejectionReason.OTHER_STORE, f"what is on disk is of store `{kept.store}`, not of `{store}`"
                )
            holding.trust = TrustedFeed(keys, store=kept.store, cursor=kept.cursor)
            holding.trust.verify_stored_head(kept.head)
        except BaseException:
            holding.abandon()
            raise
        return holding

    @property
    def cursor(self) -> Cursor:
        """How far everything that is committed goes."""
        return self.writer.kept.cursor

    def recover(self) -> None:
        """After a failure: believe again only what is committed."""
        self.trust = self.trust.with_cursor(self.cursor)

    def open(
        self, limits: CacheLimits | None, manifest: Manifest | None = None, files: Mapping[str, bytes] | None = None
    ) -> ActiveBundle:
        """Open the bundle in force, or another one of which some files are not kept yet; blocks for some milliseconds.

        Raises:
            BundleError: it cannot be decided by.
        """
        if manifest is None:
            manifest = self.writer.manifest(self.cursor.revision)
            if manifest is None:
                raise BundleError("manifest.json", f"of `{self.cursor.revision}` is not in the replica")
        return ActiveBundle(self, manifest, files or {}, self.cursor.publication, limits)

    async def work(self, do: Callable[[], T]) -> T:
        """Do something in the writer's thread, after whatever was begun there before. It is never left half-way."""
        doing = asyncio.get_running_loop().run_in_executor(self._thread, do)
        try:
            return await asyncio.shield(doing)
        except asyncio.CancelledError:
            with contextlib.suppress(Exception):
                await doing
            raise

    async def unless_damaged(self, asking: Coroutine[object, object, T]) -> T:
        """Wait for something, but no longer than until a part of the replica cannot be read.

        Raises:
            ReplicaError: it cannot.
        """
        asked, harmed = asyncio.ensure_future(asking), asyncio.ensure_future(self._damage.wait())
        try:
            await asyncio.wait([asked, harmed], return_when=asyncio.FIRST_COMPLETED)
            if asked.done():
                return asked.result()
            raise ReplicaError(f"a part of replica `{self.path}` cannot be read")
        finally:
            harmed.cancel()
            if not asked.done():
                asked.cancel()
                await asyncio.wait([asked])

    async def fold(self) -> None:
        """Fold the log into the file where it has grown long."""
        if self.writer.is_long:
            self.replica.release()
            try:
                await self.work(self.writer.fold)
            finally:
                self.replica.renew()

    def retire(self) -> None:
        """Write no more. What reads goes on until nobody holds on to it."""
        self._thread.shutdown(wait=True)
        self.writer.close()

    def abandon(self) -> None:
        """Close everything."""
        self.retire()
        self.replica.close()

    def _on_damage(self) -> None:
        """From any thread."""
        with contextlib.suppress(RuntimeError):  # the loop has ended, and with it whoever would mend this
            self._loop.call_soon_threadsafe(self._damage.set)
