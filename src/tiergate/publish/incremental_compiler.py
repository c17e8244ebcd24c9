"""Compile only what changed since the last compilation of this process, and reuse the rest.

An item version is checked and compiled again if it, or a feature it gives, changed. The result is the same as that of
a full compilation. `ChangesetCompiler` compiles what is to be published, and compares its bundle with the published
one.

Problems of a catalog or rules are a `CompileError` or `RulesError`; those of a changeset, all in a `PublishError`.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, NamedTuple

from tiergate.bundle import Bundle, Manifest, manifest_of
from tiergate.compiler import FEATURE_ENTITIES, compile_catalog
from tiergate.compiler.role_table import read_roles
from tiergate.errors import AuthorError, PublishError, RulesError
from tiergate.naming import item_entities_path, item_policies_path, version_ref
from tiergate.publish.bundle_cache import BundleCache
from tiergate.publish.catalog_change import differing_ids
from tiergate.publish.loss_estimate import LossEstimate

if TYPE_CHECKING:
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


class IncrementalCompiler:
    """Compiles catalogs that differ little from the one before. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last: Compilation | None = None

    def compile(
        self, catalog: Catalog, rules: Rules, *, positions: Positions | None = None, rules_folder: str = ""
    ) -> Compilation:
        """Compile a catalog and rules."""
        with self._lock:
            last = self._last
        if last is not None and (last.catalog, last.rules) == (catalog, rules):
            return last
        known = {} if last is None else _unchanged_files(last, catalog)
        files = compile_catalog(catalog, rules, positions=positions, rules_folder=rules_folder, known=known)
        entries = {} if last is None else {path: last.manifest.files[path] for path in known}
        compilation = Compilation(catalog, rules, files, manifest_of(files, entries))
        with self._lock:
            self._last = compilation
        return compilation


def _unchanged_files(last: Compilation, catalog: Catalog) -> dict[str, bytes]:
    """Return the last files that are made only of features and item versions that have not changed."""
    before = last.catalog
    changed = differing_ids(before.features, catalog.features)
    files = {} if changed else {FEATURE_ENTITIES: last.files[FEATURE_ENTITIES]}
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


def _is_same(old: Definition | None, new: Definition, changed: frozenset[str]) -> bool:
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
        self._compared: Bundle | None = None

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
        old = self._compared  # what was compared last has usually been published since
        if old is None or old.revision != current.revision:
            old = self._bundles.open(self._store, current.revision)
        self._compared = new = Bundle.from_compiled(compilation.files, compilation.manifest)
        return LossEstimate((old, current.catalog), (new, compilation.catalog), now, at)
