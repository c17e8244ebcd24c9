"""Fetching bundles and snapshots from their origins: an object store, then the control plane.

Content is verified before it counts as fetched, so that a damaged or forged object leads to the next origin.

What no origin has is a `SyncError`; what every origin has wrong is a `TrustError` or `BundleError`.
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

_FIRST_SECONDS: Final = 5.0
_TRIES: Final = 3
_BETWEEN_TRIES: Final = 0.5
_SERVER_ERRORS: Final = 500
_TOO_MANY: Final = 429

T = TypeVar("T")

_log = structlog.get_logger(__name__)


class BundleOrigins:
    """A control plane, and perhaps an object store."""

    def __init__(self, control: BundleOrigin, objects: BundleOrigin | None = None) -> None:
        self._control = control
        self._origins: Sequence[BundleOrigin] = (control,) if objects is None else (objects, control)
        self._objects = objects
        self._is_first = True

    async def snapshot(self) -> tuple[bytes, bytes]:
        """Fetch the newest snapshot from the control plane; from the object store if that cannot be reached.

        From the second time on, it waits as long as necessary for a control plane that is silent: the snapshot in the
        object store may be too old for the feed, and the control plane may be creating a new one.
        """
        if self._objects is None:
            return await self._control.snapshot()
        try:
            async with asyncio.timeout(_FIRST_SECONDS if self._is_first else None):
                return await self._control.snapshot()
        except TimeoutError:
            self._is_first = False
            reason = f"no response in {_FIRST_SECONDS:g} seconds"
        except SyncError as error:
            if not _is_passing(error):
                raise
            reason = str(error)
        _log.warning("cannot reach the control plane; using the snapshot in the object store", error=reason)
        try:
            return await self._objects.snapshot()
        except SyncError as error:
            raise SyncError(error.url, f"{error.detail}; and the control plane: {reason}", error.status) from None

    async def page(self, entry: PageEntry) -> bytes:
        """Fetch a page of a snapshot, and verify its hash."""

        async def get(origin: BundleOrigin) -> bytes:
            content = await origin.page(entry)
            digest = await asyncio.to_thread(lambda: hashlib.sha256(content).hexdigest())
            if digest != entry.sha256:
                raise TrustError(
                    RejectionReason.WRONG_HASH, f"page `{entry.sha256[:16]}` of a snapshot has other bytes"
                )
            return content

        return await self._get(get)

    async def bundle(
        self, revision: str, have: str | None, is_complete: Callable[[ArchiveContent], bool]
    ) -> ArchiveContent:
        """Fetch the archive of a bundle; `is_complete` returns whether it has all files that are needed."""

        async def get(origin: BundleOrigin) -> ArchiveContent:
            for known in (have, None) if have is not None else (None,):
                content = await asyncio.to_thread(read_archive, await origin.bundle(revision, known), revision)
                if is_complete(content):
                    return content
            raise BundleError("manifest.json", f"lists files that are not in the archive of `{revision}`")

        return await self._get(get)

    async def _get(self, get: Callable[[BundleOrigin], Awaitable[T]]) -> T:
        """Try one origin after the other, and again those whose failure may pass."""
        for attempt in range(1, _TRIES + 1):
            for origin in self._origins:
                is_last = origin is self._origins[-1]
                try:
                    return await get(origin)
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
    """Return whether the failure may pass: there was no response, or a server error."""
    return error.status is None or error.status >= _SERVER_ERRORS or error.status == _TOO_MANY
