"""Stores with something in force, for tests of what rests on a publication and not on how one is made."""

from __future__ import annotations

import hashlib
import tempfile
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from tiergate import publish
from tiergate.bundle import encode_manifest, manifest_of
from tiergate.model.canonical_json import canonical_json
from tiergate.store import SYSTEM, Publishing
from tiergate.store.blobs import put_blobs
from tiergate.store.publications import put_bundle

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tiergate.model import Catalog, Instant
    from tiergate.store import Store, WriteUnit


@lru_cache(64)
def _compiled(text: str, rules: tuple[tuple[str, str], ...]) -> publish.BundleFiles:
    with tempfile.TemporaryDirectory() as folder:
        path, written = Path(folder) / "catalog.yaml", Path(folder) / "rules"
        path.write_text(text, encoding="utf-8")
        written.mkdir()
        for name, content in rules:
            (written / f"{name}.cedar").write_text(content, encoding="utf-8")
        return publish.compile_files([path], written)


def put_in_force(store: Store, text: str, rules: Mapping[str, str] | None = None) -> Catalog:
    """Put a catalog file, and rules by the names of theirs, in force in a store; nobody signed the envelope."""
    files, catalog = _compiled(text, tuple((rules or {}).items()))
    manifest = manifest_of(files)

    def work(unit: WriteUnit) -> None:
        sequence = unit.head().publication
        hashes = {entry.sha256: files[path] for path, entry in manifest.files.items()}
        fixed = canonical_json(catalog)
        catalog_hash = hashlib.sha256(fixed).hexdigest()
        put_blobs(unit, hashes | {catalog_hash: fixed})
        put_bundle(unit, manifest.revision, encode_manifest(manifest))

        def make(number: int, position: int, at: Instant) -> Publishing:
            row = {
                "sequence": number,
                "revision": manifest.revision,
                "position": position,
                "issued_at": at,
                "envelope": b"{}",
                "catalog": catalog_hash,
                "rules": "",
                "roles": "",
                "rolled_back_to": None,
                "author": "test",
                "note": "",
            }
            return Publishing(row, b"{}")

        unit.append_publication(sequence, make)

    store.change(work, SYSTEM)
    return catalog
