"""Compiles changesets, and compares the bundle of one with the published bundle."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tiergate.bundle import Bundle, decode_manifest
from tiergate.compiler.role_table import read_roles
from tiergate.errors import AuthorError, PublishError, RulesError
from tiergate.publish.bundle_cache import BundleCache
from tiergate.publish.incremental_compiler import Compilation, IncrementalCompiler
from tiergate.publish.loss_estimate import LossEstimate
from tiergate.store.publications import bundle_manifest

if TYPE_CHECKING:
    from tiergate.model import Instant, Problem
    from tiergate.publish.publication_plan import PublicationPlan
    from tiergate.publish.published_state import PublishedState
    from tiergate.store import Store


class ChangesetCompiler:
    """Compiles the changesets of a store. Safe to use from several threads."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._compiler = IncrementalCompiler()
        self._bundles = BundleCache()

    def compile(self, current: PublishedState, plan: PublicationPlan) -> Compilation:
        """Compile the catalog and the rules, and validate the roles.

        Raises:
            PublishError: they have problems; it has all of them.
        """
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
