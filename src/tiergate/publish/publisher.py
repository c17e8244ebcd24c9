"""Publish from a store: prepare a plan without a lock, and commit it in one short transaction.

`prepare` plans and compiles from one state of the store. `commit` then checks, in a transaction, that nothing the plan
is based on has changed: the active publication, the entity tags of the edits, and, if subjects changed meanwhile, that
none of them has what would be removed. Otherwise `publish` prepares again. So a publication is written whole or not at
all.

If the loss is checked, `prepare` finds the customers who would lose something, and `commit` checks those who changed
since: nobody loses anything that was not accepted.

If the store cannot be used, it is a `StoreError`. Errors of planners, and of the transaction, pass through.

INVARIANT (lock order): the catalog's lock, then the feed's. `commit` holds the feed's lock from its checks until the
transaction ends, so that no subject changes in between.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

from tiergate.errors import PublishError, StoreError
from tiergate.publish.change_list import list_changes
from tiergate.publish.incremental_compiler import ChangesetCompiler
from tiergate.publish.introduced_conflicts import find_item_conflicts
from tiergate.publish.loss_check import LossCheck
from tiergate.publish.publication_plan import StalePlanError
from tiergate.publish.publication_stages import PreparedPublication, PublishConditions, PublishPreview, PublishResult
from tiergate.publish.publication_writer import write_publication
from tiergate.publish.published_state import PublishedState
from tiergate.publish.review_tag import review_tag
from tiergate.store import WriteUnit, read_head
from tiergate.store.features import lock_catalog
from tiergate.store.policy_files import policy_files
from tiergate.store.publications import published_policies
from tiergate.store.working_catalog import working_etags

if TYPE_CHECKING:
    from tiergate.model import Instant, Problem
    from tiergate.publish.changeset import Changeset
    from tiergate.publish.introduced_conflicts import ItemConflict
    from tiergate.publish.publication_plan import Planner, PublicationPlan
    from tiergate.publish.signer import Signer
    from tiergate.store import ReadUnit, Store

T = TypeVar("T")

RunTransaction = Callable[[Callable[[WriteUnit], PublishResult]], T]
"""Runs a function in one writing transaction, as `Store.change` does, and returns what it likes."""

NO_CONDITIONS: Final = PublishConditions()

_ATTEMPTS: Final = 20


class _PlannedState(NamedTuple):
    """A plan, and the state of the store it was made from."""

    current: PublishedState
    position: int
    plan: PublicationPlan
    problems: list[Problem]
    now: Instant


class Publisher:
    """Publishes what planners plan. Safe to use from several threads, and beside other processes on the same store."""

    def __init__(self, store: Store, signer: Signer) -> None:
        self.store = store
        self.signer = signer
        self._compiler = ChangesetCompiler(store)
        self._lock = threading.Lock()
        self._published: PublishedState | None = None

    def published_state(self, unit: ReadUnit) -> PublishedState:
        """Return what is published: the catalog, the rules and the roles."""
        sequence = unit.head().publication
        with self._lock:
            known = self._published
        if known is not None and known.sequence == sequence:
            return known
        state = unit.published_at(sequence)
        return self._keep(PublishedState(sequence, state.revision, state.catalog, *published_policies(unit, sequence)))

    def publish(self, planner: Planner, run: RunTransaction[T], conditions: PublishConditions = NO_CONDITIONS) -> T:
        """Prepare a publication and commit it in the transaction of `run`; prepare again after a lost race.

        Returns what `run` returns. After too many lost races it is a `StoreError`.
        """
        for _ in range(_ATTEMPTS):
            prepared = self.prepare(planner, conditions)
            try:
                result = run(partial(self.commit, prepared=prepared))
            except StalePlanError:
                continue
            if prepared.committed is not None:
                self._keep(prepared.committed)
            return result
        raise StoreError("the store is too busy: it changed before every attempt to publish")

    def prepare(self, planner: Planner, conditions: PublishConditions = NO_CONDITIONS) -> PreparedPublication:
        """Plan, compile, and find what customers lose, if that is checked. Takes no lock.

        Raises:
            PublishError: the plan has problems, or does not compile; it has all of them.
            OutdatedReviewError: the plan is not what was reviewed.
            StoreError: the store cannot be used. The planner's errors pass through.
        """
        current, position, plan, problems, now = self.store.read(lambda unit: self._plan(unit, planner))
        if problems:
            raise PublishError(problems)
        reviewed = conditions.reviewed
        tag = "" if reviewed is None else review_tag(current, plan.changeset, now)
        if plan.changeset.matches(current):
            if reviewed is not None:
                reviewed.check(current, tag, current.revision)
            return PreparedPublication(current, position, plan)
        compilation = self._compiler.compile(current, plan)
        if reviewed is not None:
            reviewed.check(current, tag, compilation.manifest.revision)
        loss = None
        if conditions.checks_loss or conditions.accepted_loss:
            estimate = self._compiler.estimate_loss(current, compilation, now)
            if estimate is not None and estimate.can_reduce:
                loss = LossCheck(estimate, estimate.tally(self.store), conditions.accepted_loss)
        changes = tuple(list_changes(current, plan.changeset))
        return PreparedPublication(current, position, plan, changes, compilation, loss)

    def commit(self, unit: WriteUnit, prepared: PreparedPublication) -> PublishResult:
        """Write a prepared publication in a transaction; write nothing if it changes nothing.

        Raises:
            StalePlanError: the store changed since `prepare`.
            LossError: customers would lose something that was not accepted.
        """
        prepared.committed = None
        current, plan, compilation = prepared.current, prepared.plan, prepared.compilation
        if compilation is None:
            return PublishResult(current.sequence, current.revision, ())
        lock_catalog(unit)
        head = read_head(unit.session, lock=True)
        if head.publication != current.sequence or not _is_unchanged(unit, plan.changeset):
            raise StalePlanError
        if head.position != prepared.position and plan.find_problems(unit, current):
            raise StalePlanError
        conflicts = find_item_conflicts(unit, current.catalog, plan.changeset.catalog)
        impact = None
        if prepared.loss is not None:
            prepared.loss.require_accepted(unit, prepared.position)
            impact = prepared.loss.impact
        state = write_publication(unit, prepared, compilation, self.signer, impact)
        prepared.committed = state
        return PublishResult(state.sequence, state.revision, prepared.changes, impact, plan.discarded, conflicts)

    def preview(self, planner: Planner, *, estimates: bool = False, at: Instant | None = None) -> PublishPreview:
        """Return what a plan would change, without any effect; `estimates`: ready to find what customers lose.

        `at`: the only instant that counts; default: all from now on.
        """

        def read(unit: ReadUnit) -> tuple[_PlannedState, tuple[ItemConflict, ...]]:
            planned = self._plan(unit, planner)
            old, new = planned.current.catalog, planned.plan.changeset.catalog
            return planned, find_item_conflicts(unit, old, new)

        (current, _, plan, problems, now), conflicts = self.store.read(read)
        changes = tuple(list_changes(current, plan.changeset))
        revision, estimate = current.revision, None
        if not problems and not plan.changeset.matches(current):
            try:
                compilation = self._compiler.compile(current, plan)
            except PublishError as error:
                problems = list(error.problems)
            else:
                revision = compilation.manifest.revision
                estimate = self._compiler.estimate_loss(current, compilation, now, at) if estimates else None
        return PublishPreview(
            current.sequence,
            "" if problems else revision,
            changes,
            tuple(problems),
            review_tag(current, plan.changeset, now),
            estimate,
            plan.discarded,
            conflicts,
        )

    def _plan(self, unit: ReadUnit, planner: Planner) -> _PlannedState:
        current, position = self.published_state(unit), unit.head().position
        plan = planner(unit, current)
        return _PlannedState(current, position, plan, plan.find_problems(unit, current), unit.now)

    def _keep(self, state: PublishedState) -> PublishedState:
        with self._lock:
            self._published = state
        return state


def _is_unchanged(unit: WriteUnit, changeset: Changeset) -> bool:
    features, items = working_etags(unit.session, changeset.features_read.keys(), changeset.items_read.keys())
    if any(features.get(id_) != etag for id_, etag in changeset.features_read.items()):
        return False
    if any(items.get(id_) != etag for id_, etag in changeset.items_read.items()):
        return False
    if not changeset.files_read:
        return True
    files = {file.key: file.etag for file in policy_files(unit.session)}
    return all(files.get(key) == etag for key, etag in changeset.files_read.items())
