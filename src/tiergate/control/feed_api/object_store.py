"""Writing bundles and snapshots to an object store: S3, Google Cloud Storage, Azure, or a folder.

    head.json                     the envelope of a head that names a snapshot: the one object that changes
    snapshots/<sha256>.json       a snapshot's manifest
    pages/<sha256>.ndjson.gz      a page of a snapshot
    bundles/<hex>.zip             a whole bundle, by the digits of its revision

Everything except `head.json` is named by its hash and written once. `head.json` is written last, so that it never names
a missing object. Pages and manifests that it no longer needs are deleted after a while. This runs beside publishing:
failures are logged, counted, and tried again.

A URL that is not supported, and a library that is not installed, is a `SettingsError`.
"""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import structlog

from tiergate.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable

    from obstore.store import ObjectStore

    from tiergate.control.feed_api.bundle_archives import BundleArchives
    from tiergate.control.feed_api.snapshots import Snapshots, StoredSnapshot

_SCHEMES: Final = ("s3://", "gs://", "az://", "file:///")
_GRACE: Final = timedelta(hours=6)
_LIST_AGAIN: Final = 3600.0
_JSON: Final = "application/json"

_log = structlog.get_logger(__name__)


def check_address(url: str) -> None:
    """Check the scheme of an object store's URL."""
    if not url.startswith(_SCHEMES):
        words = ", ".join(f"`{scheme}…`" for scheme in _SCHEMES)
        raise SettingsError("object-store", f"`{url}` must be one of {words}")


class ObjectStoreWriter:
    """Writes to one object store. For one thread at a time."""

    def __init__(
        self, url: str, snapshots: Snapshots, archives: BundleArchives, *, clock: Callable[[], float] = time.time
    ) -> None:
        """Prepare; no request is sent yet. Credentials come from the same places as for the cloud's own tools."""
        check_address(url)
        try:
            import obstore  # noqa: PLC0415 - loaded only if there is an object store
            from obstore.store import from_url  # noqa: PLC0415
        except ImportError:
            words = "needs a library that is not installed: `pip install tiergate[object-store]`"
            raise SettingsError("object-store", words) from None
        self._obstore = obstore
        self._snapshots, self._archives, self._clock = snapshots, archives, clock
        try:
            self._store: ObjectStore = (
                from_url(url, mkdir=True)
                if url.startswith("file:")
                else from_url(
                    url,
                    client_options={"timeout": timedelta(seconds=60), "allow_http": True},
                    retry_config={"max_retries": 5, "retry_timeout": timedelta(seconds=60)},
                )
            )
        except Exception as error:  # noqa: BLE001 - the library's errors have no common root
            raise SettingsError("object-store", f"`{url}` cannot be used: {error}") from None
        self._attributes = not url.startswith("file:")  # a file has none
        self._existing: set[str] = set()
        self._listed_at = 0.0
        self.failures = 0
        self.failing = False
        self.put_at = 0.0

    def write(self, revision: str, snapshot: StoredSnapshot, head: bytes) -> bool:
        """Write a bundle (none if `revision` is empty) and a snapshot; return whether that succeeded.

        `head`: the envelope of the head that names the snapshot.
        """
        try:
            self._write(revision, snapshot, head)
        except Exception as error:  # noqa: BLE001 - as above; it is tried again
            self.failures += 1
            if not self.failing:
                _log.error("cannot write the object store", error=str(error)[:500])
            self.failing = True
            return False
        if self.failing:
            _log.info("object store is writable again")
        self.failing = False
        self.put_at = self._clock()
        return True

    def _write(self, revision: str, snapshot: StoredSnapshot, head: bytes) -> None:
        if self._clock() - self._listed_at > _LIST_AGAIN:  # it may have been emptied
            self._listed_at = self._clock()
            self._existing.clear()
        if revision:
            name = f"bundles/{revision.removeprefix('sha256:')}.zip"
            self._put_once(name, lambda: self._archives.get(revision), "application/zip")
        needed = {f"snapshots/{snapshot.sha256}.json"}
        for page in snapshot.manifest.pages:
            name = f"pages/{page.sha256}.ndjson.gz"
            needed.add(name)
            self._put_once(name, lambda sha256=page.sha256: self._snapshots.page(sha256), "application/gzip")  # type: ignore[misc]
        self._put_once(f"snapshots/{snapshot.sha256}.json", lambda: snapshot.content, _JSON)
        self._put("head.json", head, _JSON, "no-cache")
        self._delete_all_but(needed)

    def _put_once(self, name: str, content: Callable[[], bytes], media_type: str) -> None:
        """Write an object that never changes, unless it exists."""
        if name in self._existing:
            return
        try:
            self._obstore.head(self._store, name)
        except FileNotFoundError:
            self._put(name, content(), media_type, "max-age=31536000, immutable")
        self._existing.add(name)

    def _put(self, name: str, content: bytes, media_type: str, cache: str) -> None:
        attributes = {"Content-Type": media_type, "Cache-Control": cache} if self._attributes else None
        self._obstore.put(self._store, name, content, attributes=attributes)

    def _delete_all_but(self, needed: set[str]) -> None:
        """Delete the objects of former snapshots, after a grace period for readers."""
        oldest = self._clock() - _GRACE.total_seconds()
        for prefix in ("pages/", "snapshots/"):
            for part in self._obstore.list(self._store, prefix=prefix):
                paths = [
                    meta["path"]
                    for meta in part
                    if meta["path"] not in needed and meta["last_modified"].timestamp() < oldest
                ]
                if paths:
                    self._obstore.delete(self._store, paths)
                    self._existing.difference_update(paths)
