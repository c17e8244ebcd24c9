"""Archives of bundles from the store, complete or without the files that the receiver has, cached for all receivers."""

from __future__ import annotations

import re
import threading
from typing import TYPE_CHECKING, Final

import cachetools

from tiergate.bundle import Manifest, decode_manifest, write_archive
from tiergate.errors import NotFoundError
from tiergate.store.blobs import read_blobs
from tiergate.store.publications import bundle_manifest

if TYPE_CHECKING:
    from tiergate.store import ReadUnit, Store

_KEPT_BYTES: Final = 64 * 1024**2
_STRIPES: Final = 8
_REVISION: Final = re.compile(r"sha256:[0-9a-f]{64}")


class BundleArchives:
    """Archives of the bundles of one store. Safe to use from several threads."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._archives: cachetools.LRUCache[tuple[str, str], bytes] = cachetools.LRUCache(_KEPT_BYTES, getsizeof=len)
        self._lock = threading.Lock()
        self._writing = [threading.Lock() for _ in range(_STRIPES)]

    def get(self, revision: str, have: str = "") -> bytes:
        """Return the archive of a bundle, without the files of the bundle `have`; with all files if `have` is unknown.

        Raises:
            NotFoundError: if there is no bundle of this revision.
        """
        key = (revision, have)
        with self._writing[hash(key) % _STRIPES]:  # callers that request the same archive wait for it
            with self._lock:
                archive = self._archives.get(key)
            if archive is None:
                archive = self._store.read(lambda unit: self._write(unit, revision, have))
                if len(archive) <= _KEPT_BYTES:
                    with self._lock:
                        self._archives[key] = archive
        return archive

    def _write(self, unit: ReadUnit, revision: str, have: str) -> bytes:
        manifest = _manifest(unit, revision)
        known: Manifest | None = None
        if have:
            try:
                known = _manifest(unit, have)
            except NotFoundError:
                known = None
        known_hashes = set() if known is None else {entry.sha256 for entry in known.files.values()}
        needed = {path: entry.sha256 for path, entry in manifest.files.items() if entry.sha256 not in known_hashes}
        contents = read_blobs(unit.session, set(needed.values()))
        return write_archive(manifest, {path: contents[sha256] for path, sha256 in needed.items()}, known)


def _manifest(unit: ReadUnit, revision: str) -> Manifest:
    if not _REVISION.fullmatch(revision):
        raise NotFoundError("bundle", revision)
    return decode_manifest(bundle_manifest(unit.session, revision))
