"""Bundles and snapshots on an object store, for sidecars to fetch: S3, Google Cloud Storage, Azure, or a folder.

    head.json                     the envelope of a head that names a snapshot: the one object that changes
    snapshots/<sha256>.json       a snapshot's manifest
    pages/<sha256>.ndjson.gz      a page of a snapshot
    bundles/<hex>.zip             a whole bundle, by the digits of its revision

Everything but `head.json` is named by its hash and put once. `head.json` comes last, so that it never names what is not
there. Pages and manifests that it no longer needs are removed after a while. All of this happens beside publishing:
what fails is logged, shown, and tried again.
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
_LOOK_AGAIN: Final = 3600.0
_JSON: Final = "application/json"

_log = structlog.get_logger(__name__)


def check_address(url: str) -> None:
    """See that a URL can be one of an object store.

    Raises:
        SettingsError: it cannot.
    """
    if not url.startswith(_SCHEMES):
        words = ", ".join(f"`{scheme}…`" for scheme in _SCHEMES)
        raise SettingsError("object-store", f"`{url}` must be one of {words}")


class ObjectStoreWriter:
    """What is on an object store. To be used from one thread at a time."""

    def __init__(
        self, url: str, snapshots: Snapshots, archives: BundleArchives, *, clock: Callable[[], float] = time.time
    ) -> None:
        """Prepare; nothing is asked yet. Credentials come from where the cloud's own tools take them.

        Raises:
            SettingsError: the address is none, or the library that writes it is not installed.
        """
        check_address(url)
        try:
            import obstore  # noqa: PLC0415 - whoever has no object store need not load it
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
        self._there: set[str] = set()
        self._looked_at = 0.0
        self.failures = 0
        self.failing = False
        self.put_at = 0.0

    def bring(self, revision: str, offer: StoredSnapshot, head: bytes) -> bool:
        """Bring the store up to a bundle (none where `revision` is empty) and a snapshot; say whether that was done.

        `head`: the envelope of the head that names the snapshot.
        """
        try:
            self._bring(revision, offer, head)
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

    def _bring(self, revision: str, offer: StoredSnapshot, head: bytes) -> None:
        if self._clock() - self._looked_at > _LOOK_AGAIN:  # somebody may have emptied it
            self._looked_at = self._clock()
            self._there.clear()
        if revision:
            name = f"bundles/{revision.removeprefix('sha256:')}.zip"
            self._put_once(name, lambda: self._archives.get(revision), "application/zip")
        needed = {f"snapshots/{offer.sha256}.json"}
        for page in offer.manifest.pages:
            name = f"pages/{page.sha256}.ndjson.gz"
            needed.add(name)
            self._put_once(name, lambda sha256=page.sha256: self._snapshots.page(sha256), "application/gzip")  # type: ignore[misc]
        self._put_once(f"snapshots/{offer.sha256}.json", lambda: offer.content, _JSON)
        self._put("head.json", head, _JSON, "no-cache")
        self._remove_all_but(needed)

    def _put_once(self, name: str, content: Callable[[], bytes], media_type: str) -> None:
        """Put an object that never changes, unless it is there."""
        if name in self._there:
            return
        try:
            self._obstore.head(self._store, name)
        except FileNotFoundError:
            self._put(name, content(), media_type, "max-age=31536000, immutable")
        self._there.add(name)

    def _put(self, name: str, content: bytes, media_type: str, cache: str) -> None:
        attributes = {"Content-Type": media_type, "Cache-Control": cache} if self._attributes else None
        self._obstore.put(self._store, name, content, attributes=attributes)

    def _remove_all_but(self, needed: set[str]) -> None:
        """Remove what belongs to snapshots of before, once nobody should be fetching it any more."""
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
                    self._there.difference_update(paths)
