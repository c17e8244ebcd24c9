"""Publishing from the store: plan on one state of it, compile, and put in force in one short transaction.

What is to be published a `Planner` says (`plans`, `applying`). It is planned and compiled on a state that was read
before, so that compiling holds no lock. The transaction then proves that nothing it rests on has changed: the
publication in force, the entity tags of the edits, and, where subjects were changed meanwhile, that none holds what
would vanish. Else all of it is planned again. So a publication is made whole or not at all.

Where it is to be weighed, those who would lose by it are found before the transaction, and again, among those of whom
the feed has told since, within it: nobody loses anything unless that is accepted.

INVARIANT (lock order): the catalog's lock, then the feed's; and the feed's is held from before the checks until the
commit, so that no subject is changed in between.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

import msgspec

from tiergate.bundle import Bundle, Publication, decode_manifest, encode_manifest
from tiergate.compiler.role_table import read_roles
from tiergate.errors import AuthorError, LossError, PublishError, RulesError, StoreError
from tiergate.impact.preview.loss_token import customer_count
from tiergate.publish.bundle_cache import BundleCache
from tiergate.publish.change_list import Change, list_changes
from tiergate.publish.incremental_compiler import Compilation, IncrementalCompiler
from tiergate.publish.item_conflicts import ItemConflict, find_item_conflicts
from tiergate.publish.loss_gate import ImpactLine, LossEstimate, count_losing_customers, describe_loss
from tiergate.publish.published_state import PublishedState
from tiergate.publish.review_tag import ReviewTags, review_tag
from tiergate.publish.source_positions import SourcePositions
from tiergate.publish.validation import validate_catalog
from tiergate.store import Publishing, ReadUnit, WriteUnit, read_head
from tiergate.store.features import lock_catalog
from tiergate.store.policy_files import policy_files
from tiergate.store.publications import (
    bundle_manifest,
    has_bundle,
    published_policies,
    put_blobs,
    put_bundle,
    update_published_items,
    write_versions,
)
from tiergate.store.published_types import keep_published_types
from tiergate.store.working_catalog import working_etags

if TYPE_CHECKING:
    from tiergate.model import Instant, Problem
    from tiergate.publish.changeset import Changeset
    from tiergate.publish.signer import Signer
    from tiergate.store import Store

T = TypeVar("T")

_ATTEMPTS: Final = 20


def _nothing_more(unit: WriteUnit, sequence: int) -> None:
    """Write nothing else."""


@dataclass(frozen=True, slots=True)
class PublicationPlan:
    """What is to be published, and as what.

    `action`: its name in the audit log. `also`: what else is written in the same transaction, given the new sequence.
    `places` and `rules_folder`: where the author knows things to stand. `discarded`: whose edits are given
    up for it, as `items/gold`.
    """

    changeset: Changeset
    action: str = "publication.created"
    note: str = ""
    rolled_back_to: int | None = None
    also: Callable[[WriteUnit, int], None] = _nothing_more
    places: SourcePositions = field(default_factory=SourcePositions)
    rules_folder: str = "rules"
    discarded: tuple[str, ...] = ()


Planner = Callable[[ReadUnit, PublishedState], PublicationPlan]
"""Says what is to be published, given one state of the store and what is in force. Called again after a lost race."""


class PublishResult(NamedTuple):
    """What came of it: the publication in force, and what changed with it; nothing, where it was in force before.

    `impact`: what it does to customers, where they were asked about. `discarded`: whose edits were given up for it.
    `conflicts`: what is held and cannot be held together any more.
    """

    sequence: int
    revision: str
    changes: tuple[Change, ...]
    impact: ImpactLine | None = None
    discarded: tuple[str, ...] = ()
    conflicts: tuple[ItemConflict, ...] = ()

    @property
    def is_new(self) -> bool:
        """Say whether something was published."""
        return bool(self.changes)


Run = Callable[[Callable[[WriteUnit], PublishResult]], T]
"""Has a function run in one writing transaction, as `Store.change` does, and returns what it likes."""


class PublishPreview(NamedTuple):
    """What would come of it: the publication that is in force, what would change, and what stands against it.

    `revision` is the one that it would get, empty where there are problems; `tag` is the entity tag of what would be
    published, which a request can demand. `weighing`: finds what it would do to customers; none where there are
    problems, nothing changes, or nothing is in force. `discarded`: whose edits would be given up for it.
    `conflicts`: what is held and could not be held together any more.
    """

    sequence: int
    revision: str
    changes: tuple[Change, ...]
    problems: tuple[Problem, ...]
    tag: str
    weighing: LossEstimate | None = None
    discarded: tuple[str, ...] = ()
    conflicts: tuple[ItemConflict, ...] = ()


class _Weighed(NamedTuple):
    """What a change does to customers: how it is found, what was found, and the token of the loss that is accepted."""

    weighing: LossEstimate
    impact: ImpactLine
    accepted: str


class _Ready(NamedTuple):
    """A plan that may be carried out: on which publication and position it rests, and the bundle."""

    current: PublishedState
    position: int
    plan: PublicationPlan
    changes: tuple[Change, ...]
    compilation: Compilation | None
    weighed: _Weighed | None = None


class _StaleError(Exception):
    """What was planned on has changed."""


class Publisher:
    """Publishes what planners plan. Safe to use from several threads, and beside other processes on the same store."""

    def __init__(self, store: Store, signer: Signer) -> None:
        self.store = store
        self.signer = signer
        self._compiler = IncrementalCompiler()
        self._revisions = BundleCache()
        self._lock = threading.Lock()
        self._current: PublishedState | None = None

    def published_state(self, unit: ReadUnit) -> PublishedState:
        """What is in force, whole."""
        sequence = unit.head().publication
        with self._lock:
            known = self._current
        if known is not None and known.sequence == sequence:
            return known
        state = unit.published_at(sequence)
        found = PublishedState(sequence, state.revision, state.catalog, *published_policies(unit, sequence))
        with self._lock:
            self._current = found
        return found

    def carry_out(
        self,
        planner: Planner,
        run: Run[T],
        *,
        weigh: bool = False,
        accept_loss: str = "",
        reviewed: ReviewTags | None = None,
    ) -> T:
        """Plan, compile and publish; return what `run` returns.

        `run` gets a function that works on one writing transaction, and has it run in one, as `Store.change` does.
        Where nothing would change, nothing is published. With `weigh`, customers are asked about where something could
        be taken from them, and it is refused if something is, unless `accept_loss` is the token of exactly this loss.
        With `reviewed`, it is refused where it is not what was reviewed.

        Raises:
            PublishError: it contradicts itself, what is published, or what subjects hold.
            LossError: it takes something from customers.
            OutdatedReviewError: it is not what was reviewed.
            AuthorError: it cannot be compiled, with all problems.
            StoreError: the store cannot be used. What the planner and `run` raise passes through.
        """
        for _ in range(_ATTEMPTS):
            ready = self._ready(planner, weigh=weigh, accept_loss=accept_loss, reviewed=reviewed)
            made: list[PublishedState] = []

            def work(unit: WriteUnit, ready: _Ready = ready, made: list[PublishedState] = made) -> PublishResult:
                made.clear()
                return self._commit(unit, ready, made)

            try:
                result = run(work)
            except _StaleError:
                continue
            if made:
                with self._lock:
                    self._current = made[0]
            return result
        raise StoreError("the store is too busy: what was planned on changed every time")

    def preview(self, planner: Planner, *, weigh: bool = False, at: Instant | None = None) -> PublishPreview:
        """Say what would come of it, without any effect; with `weigh`, ready to find what it does to customers.

        `at`: the only instant that counts then, else all from now on.

        Raises:
            StoreError: the store cannot be used. What the planner raises passes through.
        """

        def work(
            unit: ReadUnit,
        ) -> tuple[PublishedState, PublicationPlan, list[Problem], tuple[ItemConflict, ...], Instant]:
            current = self.published_state(unit)
            plan = planner(unit, current)
            conflicts = find_item_conflicts(unit, current.catalog, plan.changeset.catalog)
            return current, plan, self._problems(unit, current, plan), conflicts, unit.now

        current, plan, problems, conflicts, now = self.store.read(work)
        changes = tuple(list_changes(current, plan.changeset))
        revision, tag = current.revision, review_tag(current, plan.changeset, now)
        weighing = None
        if not problems and not plan.changeset.matches(current):
            try:
                compilation = self._compile(current, plan)
            except PublishError as error:
                problems = list(error.problems)
            else:
                revision = compilation.manifest.revision
                weighing = self._weighing(current, compilation, now, at) if weigh else None
        shown = "" if problems else revision
        return PublishPreview(
            current.sequence, shown, changes, tuple(problems), tag, weighing, plan.discarded, conflicts
        )

    # ── before the transaction ───────────────────────────────────────────────────────────────────────────────────────

    def _ready(self, planner: Planner, *, weigh: bool, accept_loss: str, reviewed: ReviewTags | None) -> _Ready:
        def work(unit: ReadUnit) -> tuple[PublishedState, int, PublicationPlan, list[Problem], Instant]:
            current, position = self.published_state(unit), unit.head().position
            plan = planner(unit, current)
            return current, position, plan, self._problems(unit, current, plan), unit.now

        current, position, plan, problems, now = self.store.read(work)
        if problems:
            raise PublishError(problems)
        tag = "" if reviewed is None else review_tag(current, plan.changeset, now)
        if plan.changeset.matches(current):
            if reviewed is not None:
                reviewed.check(current, tag, current.revision)
            return _Ready(current, position, plan, (), None)
        changes = tuple(list_changes(current, plan.changeset))
        compilation = self._compile(current, plan)
        if reviewed is not None:
            reviewed.check(current, tag, compilation.manifest.revision)
        weighed = None
        weighing = self._weighing(current, compilation, now) if weigh else None
        if weighing is not None and weighing.can_take:
            weighed = _Weighed(weighing, weighing.tally(self.store), accept_loss)
        return _Ready(current, position, plan, changes, compilation, weighed)

    def _weighing(
        self, current: PublishedState, compilation: Compilation, now: Instant, at: Instant | None = None
    ) -> LossEstimate | None:
        """The way to find what putting a compilation in force does to customers; none where nothing is in force."""
        if not current.sequence:
            return None
        old = self._revisions.open(self.store, current.revision)
        new = Bundle.from_files(compilation.files)
        return LossEstimate((old, current.catalog), (new, compilation.catalog), now, at)

    @staticmethod
    def _problems(unit: ReadUnit, current: PublishedState, plan: PublicationPlan) -> list[Problem]:
        told = plan.changeset.problems
        known = {(it.file, it.line, it.column, it.code) for it in told}
        found = validate_catalog(unit, current.catalog, plan.changeset.catalog, plan.places)
        return sorted({*told, *(it for it in found if (it.file, it.line, it.column, it.code) not in known)})

    def _compile(self, current: PublishedState, plan: PublicationPlan) -> Compilation:
        """Compile, and read the roles, telling all problems of both.

        Raises:
            PublishError: there are any.
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
                positions=plan.places,
                rules_folder=plan.rules_folder,
                validated=self._validated(current),
            )
        except AuthorError as error:
            raise PublishError(sorted({*problems, *error.problems})) from None
        if problems:
            raise PublishError(sorted(problems))
        return compilation

    def _validated(self, current: PublishedState) -> dict[str, str]:
        """The hashes of the files of the bundle in force, which were validated when it was published."""
        if self._compiler.is_warm or not current.sequence:
            return {}
        content = self.store.read(lambda unit: bundle_manifest(unit.session, current.revision))
        return {path: entry.sha256 for path, entry in decode_manifest(content).files.items()}

    # ── the transaction ──────────────────────────────────────────────────────────────────────────────────────────────

    def _commit(self, unit: WriteUnit, ready: _Ready, made: list[PublishedState]) -> PublishResult:
        current, plan, compilation = ready.current, ready.plan, ready.compilation
        if compilation is None:
            return PublishResult(current.sequence, current.revision, ())
        lock_catalog(unit)
        head = read_head(unit.session, lock=True)
        if head.publication != current.sequence or not _is_current(unit, plan.changeset):
            raise _StaleError
        if head.position != ready.position and self._problems(unit, current, plan):
            raise _StaleError
        conflicts = find_item_conflicts(unit, current.catalog, plan.changeset.catalog)
        impact = None if ready.weighed is None else _let_through(unit, ready.weighed, ready.position)
        sequence, revision = current.sequence + 1, compilation.manifest.revision
        blobs = _Blobs(plan.changeset)
        if not has_bundle(unit.session, revision):
            blobs.add_files(compilation)
            put_bundle(unit, revision, encode_manifest(compilation.manifest))
        put_blobs(unit, blobs.contents)
        write_versions(unit, sequence, plan.changeset.versions)
        known = current.catalog.features
        keep_published_types(unit, (it for id_, it in plan.changeset.catalog.features.items() if id_ not in known))
        update_published_items(unit, plan.changeset.items)
        plan.also(unit, sequence)
        after: dict[str, object] = {
            "publication": sequence,
            "revision": revision,
            "changes": ready.changes,
            "note": plan.note,
        }
        if impact is not None:
            after["customers"] = impact["customers"]
        unit.audit(plan.action, "publication", str(sequence), after=after)

        def make(sequence: int, position: int, at: Instant) -> Publishing:
            statement = Publication(
                store=self.store.id,
                issued_at=at,
                sequence=sequence,
                revision=revision,
                position=position,
                rolled_back_to=plan.rolled_back_to,
            )
            envelope = self.signer.sign(statement)
            row = {
                "sequence": sequence,
                "revision": revision,
                "position": position,
                "issued_at": at,
                "envelope": envelope,
                "catalog": blobs.catalog,
                "rules": blobs.rules,
                "roles": blobs.roles,
                "rolled_back_to": plan.rolled_back_to,
                "author": unit.actor.id,
                "note": plan.note,
            }
            return Publishing(row, envelope)

        unit.append_publication(current.sequence, make)
        changeset = plan.changeset
        made.append(PublishedState(sequence, revision, changeset.catalog, changeset.rules, changeset.roles))
        return PublishResult(sequence, revision, ready.changes, impact, plan.discarded, conflicts)


def _let_through(unit: ReadUnit, weighed: _Weighed, position: int) -> ImpactLine:
    """See that nothing is taken but what is accepted, from those either of whom the feed told after a position.

    Raises:
        LossError: something is.
        _StaleError: somebody came to hold something meanwhile, and would lose it.
    """
    impact, loss = weighed.impact, weighed.impact["loss"]
    if count_losing_customers(impact) and loss != weighed.accepted:
        detail = f"{describe_loss(impact)}: to accept exactly this, give `accept_loss` as `{loss}`"
        if weighed.accepted:
            count = customer_count(weighed.accepted)
            whose = "1 customer" if count == 1 else f"{count:,} customers"
            detail += f"; the loss that was accepted is another one, of {whose}"
        raise LossError(detail, impact, loss)
    if unit.head().position != position and weighed.weighing.takes_from_changed(unit, position):
        raise _StaleError
    return impact


class _Blobs:
    """The bytes that a publication fixes, by their hashes."""

    def __init__(self, changeset: Changeset) -> None:
        self.contents: dict[str, bytes] = {}
        self.catalog = self._put(msgspec.json.encode(changeset.catalog))
        self.rules = self._put(msgspec.json.encode(changeset.rules))
        self.roles = self._put(changeset.roles.encode())

    def add_files(self, compilation: Compilation) -> None:
        """Add the files of a bundle."""
        for path, entry in compilation.manifest.files.items():
            self.contents[entry.sha256] = compilation.files[path]

    def _put(self, content: bytes) -> str:
        sha256 = hashlib.sha256(content).hexdigest()
        self.contents[sha256] = content
        return sha256


def _is_current(unit: WriteUnit, changeset: Changeset) -> bool:
    """Say whether all of the working state that was read is still what it was."""
    features, items = working_etags(unit.session, changeset.features_read.keys(), changeset.items_read.keys())
    if any(features.get(id_) != etag for id_, etag in changeset.features_read.items()):
        return False
    if any(items.get(id_) != etag for id_, etag in changeset.items_read.items()):
        return False
    if not changeset.files_read:
        return True
    files = {file.key: file.etag for file in policy_files(unit.session)}
    return all(files.get(key) == etag for key, etag in changeset.files_read.items())
