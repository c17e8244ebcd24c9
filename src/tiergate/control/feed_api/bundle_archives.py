"""Bundles as packs: made of what the store holds, whole or without what the receiver has, and made once for many."""

from __future__ import annotations

import re
import threading
from typing import TYPE_CHECKING, Final

import cachetools

from tiergate.bundle import Manifest, decode_manifest, write_archive
from tiergate.errors import NotFoundError
from tiergate.store.publications import bundle_manifest
from tiergate.store.snapshots import blobs

if TYPE_CHECKING:
    from tiergate.store import ReadUnit, Store

_KEPT_BYTES: Final = 64 * 1024**2
_STRIPES: Final = 8
_REVISION: Final = re.compile(r"sha256:[0-9a-f]{64}")


class BundleArchives:
    """Packs the bundles of one store. Safe to use from several threads."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._packs: cachetools.LRUCache[tuple[str, str], bytes] = cachetools.LRUCache(_KEPT_BYTES, getsizeof=len)
        self._lock = threading.Lock()
        self._making = [threading.Lock() for _ in range(_STRIPES)]

    def get(self, revision: str, have: str = "") -> bytes:
        """The pack of a bundle, without the files that the bundle `have` has; all of them where `have` is unknown.

        Raises:
            NotFoundError: there is no bundle of this revision.
        """
        key = (revision, have)
        with self._making[hash(key) % _STRIPES]:  # whoever asks for the same waits for it
            with self._lock:
                found = self._packs.get(key)
            if found is None:
                found = self._store.read(lambda unit: self._pack(unit, revision, have))
                if len(found) <= _KEPT_BYTES:
                    with self._lock:
                        self._packs[key] = found
        return found

    def _pack(self, unit: ReadUnit, revision: str, have: str) -> bytes:
        wanted = _manifest(unit, revision)
        known: Manifest | None = None
        if have:
            try:
                known = _manifest(unit, have)
            except NotFoundError:
                known = None
        held = set() if known is None else {entry.sha256 for entry in known.files.values()}
        needed = {path: entry.sha256 for path, entry in wanted.files.items() if entry.sha256 not in held}
        contents = blobs(unit.session, set(needed.values()))
        return write_archive(wanted, {path: contents[sha256] for path, sha256 in needed.items()}, known)


def _manifest(unit: ReadUnit, revision: str) -> Manifest:
    if not _REVISION.fullmatch(revision):
        raise NotFoundError("bundle", revision)
    return decode_manifest(bundle_manifest(unit.session, revision))
