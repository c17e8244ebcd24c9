"""Compile only what changed since the last compilation of this process, and reuse the rest.

An item version is compiled again if it, or a feature it gives, changed; and validated again if its text or the schema
changed. The result is the same as that of a full compilation. `ChangesetCompiler` compiles what is to be published, and
compares its bundle with the published one.

Problems of a catalog or rules are a `CompileError` or `RulesError`; those of a changeset, all in a `PublishError`.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, NamedTuple

from tiergate.bundle import Bundle, Manifest, decode_manifest, manifest_of
from tiergate.compiler import compile_catalog
from tiergate.compiler.role_table import read_roles
from tiergate.errors import AuthorError, PublishError, RulesError
from tiergate.naming import item_entities_path, item_policies_path, version_ref
from tiergate.publish.bundle_cache import BundleCache
from tiergate.publish.loss_estimate import LossEstimate
from tiergate.store.publications import bundle_manifest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tiergate.compiler import Positions
    from tiergate.model import Catalog, Definition, Instant, Problem, Rules
    from tiergate.publish.publication_plan import PublicationPlan
    from tiergate.publish.published_state import PublishedState
    from tiergate.store import Store


class Compilation(NamedTuple):
    """All files of a bundle but its manifest, path → content; the manifest; and the source they were compiled from."""

    catalog: Catalog
    rules: Rules
    files: dict[str, bytes]
    manifest: Manifest

    def hashes(self) -> dict[str, str]:
        """Return the SHA-256 of every file, in hex, by path."""
        return {path: entry.sha256 for path, entry in self.manifest.files.items()}


class IncrementalCompiler:
    """Compiles catalogs that differ little from the one before. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last: Compilation | None = None

    @property
    def is_warm(self) -> bool:
        """Return whether there is a last compilation."""
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
        """Compile a catalog and rules.

        `validated`: the hashes by path of a bundle that was validated before; used if there is no last compilation.
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
        compilation = Compilation(catalog, rules, files, manifest_of(files))
        with self._lock:
            self._last = compilation
        return compilation


def _unchanged(last: Compilation, catalog: Catalog) -> dict[str, bytes]:
    before = last.catalog
    changed = {id_ for id_, feature in catalog.features.items() if before.features.get(id_) != feature}
    files: dict[str, bytes] = {}
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
                files[path] = last.files[path]
    return files


def _is_same(old: Definition | None, new: Definition, changed: set[str]) -> bool:
    if old is not new and old != new:
        return False
    if len(changed) < len(new.entitlements):
        return not any(id_ in new.entitlements for id_ in changed)
    return changed.isdisjoint(new.entitlements)


class ChangesetCompiler:
    """Compiles the changesets of a store. Safe to use from several threads."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._compiler = IncrementalCompiler()
        self._bundles = BundleCache()

    def compile(self, current: PublishedState, plan: PublicationPlan) -> Compilation:
        """Compile the catalog and the rules, and validate the roles."""
        changeset = plan.changeset
        problems: list[Problem] = []
        if changeset.roles and changeset.roles != current.roles:
            try:
                read_roles(changeset.roles)
            except RulesError as error:
                problems += error.problems
        try:
            compilation = self._compiler.compile(
                changeset.catalog,
                changeset.rules,
                positions=plan.positions,
                rules_folder=plan.rules_folder,
                validated=self._validated_hashes(current),
            )
        except AuthorError as error:
            raise PublishError(sorted({*problems, *error.problems})) from None
        if problems:
            raise PublishError(sorted(problems))
        return compilation

    def estimate_loss(
        self, current: PublishedState, compilation: Compilation, now: Instant, at: Instant | None = None
    ) -> LossEstimate | None:
        """Prepare to find what the compilation changes for customers; `None` before the first publication."""
        if not current.sequence:
            return None
        old = self._bundles.open(self._store, current.revision)
        new = Bundle.from_files(compilation.files)
        return LossEstimate((old, current.catalog), (new, compilation.catalog), now, at)

    def _validated_hashes(self, current: PublishedState) -> dict[str, str]:
        """Return the hashes of the published bundle's files, which were validated when it was published."""
        if self._compiler.is_warm or not current.sequence:
            return {}
        content = self._store.read(lambda unit: bundle_manifest(unit.session, current.revision))
        return {path: entry.sha256 for path, entry in decode_manifest(content).files.items()}
