"""Bundles and snapshots from wherever they can be had.

The object store comes first, which is there for that, then the control plane. What comes is proved before it counts as
had, so that a torn or forged object is a reason to ask elsewhere.
"""

from __future__ import annotations

import asyncio
import hashlib
from typing import TYPE_CHECKING, Final, TypeVar

import structlog

from tiergate.bundle import read_archive
from tiergate.errors import BundleError, RejectionReason, SyncError, TrustError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from tiergate.bundle import ArchiveContent, PageEntry
    from tiergate.sidecar.replica.sync.control_plane_client import BundleOrigin

_PATIENCE: Final = 5.0
_TRIES: Final = 3
_BETWEEN_TRIES: Final = 0.5
_SERVER_ERRORS: Final = 500
_NOT_FOUND: Final = 404
_TOO_MANY: Final = 429

T = TypeVar("T")

_log = structlog.get_logger(__name__)


class BundleOrigins:
    """A control plane, and an object store where there is one."""

    def __init__(self, control: BundleOrigin, objects: BundleOrigin | None = None) -> None:
        self._control = control
        self._files: Sequence[BundleOrigin] = (control,) if objects is None else (objects, control)
        self._objects = objects
        self._hurries = True

    async def snapshot(self) -> tuple[bytes, bytes]:
        """The newest snapshot: the control plane's; the object store's where that cannot be reached.

        A control plane that is merely silent is waited for in full from the second time on: perhaps it makes a
        snapshot from which the feed goes on, and the object store's is too old for that.

        Raises:
            SyncError: there is none to be had.
        """
        if self._objects is None:
            return await self._control.snapshot()
        try:
            async with asyncio.timeout(_PATIENCE if self._hurries else None):
                return await self._control.snapshot()
        except TimeoutError:
            self._hurries = False
            why = f"no answer in {_PATIENCE:g} seconds"
        except SyncError as error:
            if not _is_passing(error):
                raise
            why = str(error)
        _log.warning("cannot reach the control plane; using the snapshot in the object store", error=why)
        try:
            return await self._objects.snapshot()
        except SyncError as error:
            raise SyncError(error.url, f"{error.detail}; and of the control plane: {why}", error.status) from None

    async def page(self, entry: PageEntry) -> bytes:
        """A page of a snapshot, its hash compared.

        Raises:
            SyncError, TrustError: it is not to be had.
        """

        async def get(depot: BundleOrigin) -> bytes:
            content = await depot.page(entry)
            digest = await asyncio.to_thread(lambda: hashlib.sha256(content).hexdigest())
            if digest != entry.sha256:
                raise TrustError(
                    RejectionReason.WRONG_HASH, f"page `{entry.sha256[:16]}` of a snapshot has other bytes"
                )
            return content

        return await self._get(get)

    async def bundle(
        self, revision: str, have: str | None, is_whole: Callable[[ArchiveContent], bool]
    ) -> ArchiveContent:
        """The pack of a bundle, with all files that are not had; `is_whole` says whether it is that.

        Raises:
            SyncError, BundleError: it is not to be had.
        """

        async def get(depot: BundleOrigin) -> ArchiveContent:
            for known in (have, None) if have is not None else (None,):
                pack = await asyncio.to_thread(read_archive, await depot.bundle(revision, known), revision)
                if is_whole(pack):
                    return pack
            raise BundleError("manifest.json", f"lists files that did not come with the pack of `{revision}`")

        return await self._get(get)

    async def _get(self, get: Callable[[BundleOrigin], Awaitable[T]]) -> T:
        """Ask one depot after the other, and those that fail in passing once more."""
        for attempt in range(1, _TRIES + 1):
            for depot in self._files:
                is_last = depot is self._files[-1]
                try:
                    return await get(depot)
                except SyncError as error:
                    if is_last and (attempt == _TRIES or not _is_passing(error)):
                        raise
                    _log.debug("trying the next origin, or again", error=str(error))
                except (TrustError, BundleError) as error:
                    if is_last:
                        raise
                    _log.warning("object store content does not match its signed hash", error=str(error))
            await asyncio.sleep(_BETWEEN_TRIES * attempt)
        raise AssertionError  # the last attempt has returned or raised


def _is_passing(error: SyncError) -> bool:
    """Whether asking again may help: there was no answer, or the server had trouble of its own."""
    return error.status is None or error.status >= _SERVER_ERRORS or error.status == _TOO_MANY
