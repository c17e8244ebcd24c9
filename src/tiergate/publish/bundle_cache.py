"""Open bundles of any published revision from the store, and keep the last ones open."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

import cachetools

from tiergate.bundle import Bundle, check_content, decode_manifest
from tiergate.errors import BundleError
from tiergate.store.blobs import find_blob
from tiergate.store.publications import bundle_manifest

if TYPE_CHECKING:
    from tiergate.bundle import FileEntry
    from tiergate.store import Store

_KEPT: Final = 8
_KEPT_ENTITLEMENTS: Final = 50_000


class BundleCache:
    """Bundles of stores by revision. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._opened: cachetools.LRUCache[tuple[str, str], Bundle] = cachetools.LRUCache(_KEPT)

    def open(self, store: Store, revision: str) -> Bundle:
        """Open the bundle of a revision; `NotFoundError` if the store does not have it, `BundleError` if it is torn."""
        key = (store.id, revision)
        with self._lock:
            opened = self._opened.get(key)
        if opened is None:
            opened = _open(store, revision)
            with self._lock:
                self._opened[key] = opened
        return opened


def _open(store: Store, revision: str) -> Bundle:
    manifest = decode_manifest(store.read(lambda unit: bundle_manifest(unit.session, revision)))

    def read(path: str, entry: FileEntry) -> bytes:
        content = store.read(lambda unit: find_blob(unit.session, entry.sha256))
        if content is None:
            raise BundleError(path, "is missing in the store")
        check_content(path, content, entry)
        return content

    return Bundle(manifest, read, kept_entitlements=_KEPT_ENTITLEMENTS)
