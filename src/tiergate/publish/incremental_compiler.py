"""Compiling again only what changed: the last compilation of this process is kept, and what did not change is reused.

An item version is written again where it, or a feature that it gives, is another one than last time; and validated
again where its text or the schema is. What comes out is the same as without any of this.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, NamedTuple

from tiergate.bundle import Manifest, manifest_of
from tiergate.compiler import compile_catalog
from tiergate.naming import item_entities_path, item_policies_path, version_ref

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tiergate.compiler import Positions
    from tiergate.model import Catalog, Definition, Rules


class Compilation(NamedTuple):
    """All files of a bundle but its manifest, path → content; the manifest; and what they were made from."""

    catalog: Catalog
    rules: Rules
    files: dict[str, bytes]
    manifest: Manifest

    def hashes(self) -> dict[str, str]:
        """The SHA-256 of every file, in hex, by path."""
        return {path: entry.sha256 for path, entry in self.manifest.files.items()}


class IncrementalCompiler:
    """Compiles catalogs that are mostly like the one before. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last: Compilation | None = None

    @property
    def is_warm(self) -> bool:
        """Say whether something was compiled here already."""
        return self._last is not None

    def compile(
        self,
        catalog: Catalog,
        rules: Rules,
        *,
        positions: Positions | None = None,
        rules_folder: str = "",
        validated: Mapping[str, str] | None = None,
    ) -> Compilation:
        """Compile.

        `validated`: the hashes by path of a bundle that was validated before, for when nothing was compiled here yet.

        Raises:
            CompileError: the catalog cannot be compiled.
            RulesError: the rules cannot.
        """
        with self._lock:
            last = self._last
        if last is not None and (last.catalog, last.rules) == (catalog, rules):
            return last
        files = compile_catalog(
            catalog,
            rules,
            positions=positions,
            rules_folder=rules_folder,
            previous=validated if last is None else last.hashes(),
            known=None if last is None else _unchanged(last, catalog),
        )
        made = Compilation(catalog, rules, files, manifest_of(files))
        with self._lock:
            self._last = made
        return made


def _unchanged(last: Compilation, catalog: Catalog) -> dict[str, bytes]:
    """The files of the last compilation that come out the same."""
    before = last.catalog
    changed = {id_ for id_, feature in catalog.features.items() if before.features.get(id_) != feature}
    found: dict[str, bytes] = {}
    for item in catalog.items.values():
        old = before.items.get(item.id)
        if old is None or old.kind is not item.kind:
            continue
        versions = {definition.version: definition for definition in old.versions}
        for definition in item.versions:
            if not _is_same(versions.get(definition.version), definition, changed):
                continue
            ref = version_ref(item.kind, item.id, definition.version)
            for path in (item_policies_path(ref), item_entities_path(ref)):
                found[path] = last.files[path]
    return found


def _is_same(old: Definition | None, new: Definition, changed: set[str]) -> bool:
    if old is not new and old != new:
        return False
    if len(changed) < len(new.entitlements):
        return not any(id_ in new.entitlements for id_ in changed)
    return changed.isdisjoint(new.entitlements)
