"""Plan to roll back: publish again what a past publication contained.

A rollback also changes the working state (`draft_rebase`): an unpublished edit stays pending, on top of what is active
then, and so does what the past publication did not have. Versions keep their numbers. Items sold to one customer
since then stay active: they are not what went wrong, and nothing would replace them.

INVARIANT (pending edits can be published): after a rollback all pending edits can be published, unless they could not
be before. An edit that would prevent it is discarded, and the result names it; if that does not help, the rollback is
rejected.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from tiergate.catalog import entitlements_data, feature_data, item_head_data
from tiergate.errors import AuthorError, ConflictError, NotFoundError, PublishError
from tiergate.publish.catalog_change import SourcePositions
from tiergate.publish.changeset import (
    ALL_EDITS,
    Changeset,
    build_changeset,
    etags_of,
    find_file_changes,
    replace_catalog,
)
from tiergate.publish.draft_rebase import RebasedState, rebase_working_state
from tiergate.publish.incremental_compiler import IncrementalCompiler
from tiergate.publish.pending_planner import read_pending_edits
from tiergate.publish.publication_plan import PublicationPlan
from tiergate.publish.published_state import PendingEdits, PublishedState, find_pending_edits
from tiergate.publish.rollouts import read_item_history
from tiergate.publish.validation import validate_catalog
from tiergate.store.policy_files import policy_files, write_file_changes
from tiergate.store.publications import published_policies
from tiergate.store.references import describe_item_references
from tiergate.store.working_catalog import read_working, write_features, write_items

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from collections.abc import Set as AbstractSet

    from tiergate.model import Catalog, Feature, Item, Problem
    from tiergate.publish.publication_plan import Planner
    from tiergate.store import ReadUnit, WriteUnit
    from tiergate.store.working_catalog import WorkingItem, WorkingState

_RULES_FOLDER: Final = "rules"
_RULE_KINDS: Final = {".cedar": "policies", ".cedarschema": "schemas", ".entities.json": "entities"}


def plan_rollback(sequence: int, *, roles: bool = False, note: str = "") -> Planner:
    """Plan to publish the catalog and the rules of a past publication again, and with `roles` its roles.

    Versions that subscriptions are pinned to, and items private to a customer, are kept; validation checks what else
    customers have. Features stay suspended, or not, as they are now: that is operated elsewhere.
    """

    def plan(unit: ReadUnit, current: PublishedState) -> PublicationPlan:
        if not 1 <= sequence <= current.sequence:
            raise NotFoundError("publication", str(sequence))
        if sequence == current.sequence:
            raise ConflictError("in-force", f"publication {sequence} is the active one")
        past = unit.published_at(sequence)
        past_rules, past_roles = published_policies(unit, sequence)
        items = {**past.catalog.items, **_private_items_since(unit, current.catalog, past.catalog)}
        for id_, history in read_item_history(unit, list(items)).items():
            missing = history.pins - {it.version for it in items[id_].versions}
            pinned = [history.versions[version] for version in missing if version in history.versions]
            if pinned:
                versions = sorted((*items[id_].versions, *pinned), key=lambda it: it.version)
                items[id_] = replace(items[id_], versions=tuple(versions))
        features = _with_current_suspensions(past.catalog, current.catalog)
        catalog = replace_catalog(past.catalog, features=features, items=items)
        target = PublishedState(sequence, past.revision, catalog, past_rules, past_roles if roles else current.roles)
        return _plan(unit, current, target, note)

    return plan


def _with_current_suspensions(past: Catalog, now: Catalog) -> dict[str, Feature]:
    return {
        id_: replace(feature, suspensions=now.features[id_].suspensions) if id_ in now.features else feature
        for id_, feature in past.features.items()
    }


def _private_items_since(unit: ReadUnit, now: Catalog, past: Catalog) -> dict[str, Item]:
    """Return the private items that the past does not have: those in use, or that need nothing that goes."""
    private = {id_: item for id_, item in now.items.items() if item.private_to and id_ not in past.items}
    known = past.items.keys() | private.keys()
    return {
        id_: item
        for id_, item in private.items()
        if _needs_only(item, known, past.features.keys()) or describe_item_references(unit, id_)
    }


def _needs_only(item: Item, items: AbstractSet[str], features: AbstractSet[str]) -> bool:
    named = {*item.available_for, *item.depends_on, *item.excludes}
    return named <= items and all(it.entitlements.keys() <= features for it in item.versions)


def _plan(unit: ReadUnit, current: PublishedState, target: PublishedState, note: str) -> PublicationPlan:
    rollback = _WorkingRollback(unit, current, target)
    discarded = rollback.discard_blocking_edits()
    working, after = rollback.working, rollback.after
    features = [it for id_, it in after.features.items() if _edited_feature(working, id_) != it]
    items = [it for id_, it in after.items.items() if working.items.get(id_) != it]
    file_changes = find_file_changes({file.key: file.text for file in rollback.files}, after.files)
    changeset = Changeset(
        target.catalog,
        target.rules,
        target.roles,
        features_read=etags_of(working.features, [it.id for it in features]),
        items_read=etags_of(working.items, [it.item.id for it in items]),
        files_read=etags_of({file.key: file for file in rollback.files}, file_changes),
    )

    def also(unit: WriteUnit, _sequence: int) -> None:
        write_features(unit, features)
        write_items(unit, items)
        write_file_changes(unit, file_changes)
        for place in discarded:
            kind, _, id_ = place.partition("/")
            before, now = rollback.audit_data(place)
            unit.audit("edit.discarded", kind.removesuffix("s"), id_, before=before, after=now)

    return PublicationPlan(
        changeset, "publication.rolled_back", note, target.sequence, also, discarded=tuple(discarded)
    )


class _WorkingRollback:
    """The working state before and after a rollback. Edits have keys such as `features/seats`, `rules/policies/eu`."""

    def __init__(self, unit: ReadUnit, current: PublishedState, target: PublishedState) -> None:
        self._unit, self._current, self._target = unit, current, target
        self.working: WorkingState = read_working(unit.session)
        self.files = policy_files(unit.session)
        missing = [id_ for id_ in target.catalog.items if id_ not in self.working.items]
        self._newest = {
            id_: max((*history.versions, *(it.version for it in target.catalog.items[id_].versions)))
            for id_, history in read_item_history(unit, missing).items()
        }
        self._discarded = {  # an edit cannot change the type of a feature or the kind of an item
            *(
                f"features/{id_}"
                for id_, edited in self.working.features.items()
                if id_ in target.catalog.features and target.catalog.features[id_].type is not edited.feature.type
            ),
            *(
                f"items/{id_}"
                for id_, edited in self.working.items.items()
                if id_ in target.catalog.items and target.catalog.items[id_].kind is not edited.item.kind
            ),
        }
        self.after = self._rebase()

    def discard_blocking_edits(self) -> list[str]:
        """Discard the edits that would prevent publishing all pending edits; return their keys, sorted.

        If something else prevents it, it is a `PublishError`.
        """
        known: set[tuple[str, str]] | None = None
        while True:
            pending = self._pending()
            problems = _find_problems(self._unit, self._target, pending)
            if problems and known is None:
                before = read_pending_edits(self._unit, self._current)
                known = {(it.file, it.code) for it in _find_problems(self._unit, self._current, before)}
            problems = [it for it in problems if (it.file, it.code) not in (known or ())]
            if not problems:
                return sorted(self._discarded)
            groups = (group - self._discarded for group in self._suspects(pending, problems))
            blocking = next((group for group in groups if group), None)
            if blocking is None:
                raise PublishError(problems)
            self._discarded |= blocking
            self.after = self._rebase()

    def audit_data(self, key: str) -> tuple[object, object]:
        """Return a discarded edit for the audit log: before and after."""
        kind, _, id_ = key.partition("/")
        if kind == "features":
            edited = _edited_feature(self.working, id_)
            return None if edited is None else feature_data(edited), feature_data(self.after.features[id_])
        if kind == "items":
            features = {**{id_: it.feature for id_, it in self.working.features.items()}, **self.after.features}
            item = self.working.items.get(id_)
            return None if item is None else _item_data(item, features), _item_data(self.after.items[id_], features)
        texts = {file.key: file.text for file in self.files}
        return texts.get(id_), self.after.files.get(id_)

    def _rebase(self) -> RebasedState:
        return rebase_working_state(
            self.working,
            self.files,
            self._current,
            self._target,
            self._unit.now,
            newest=self._newest,
            reset=self._discarded,
        )

    def _pending(self) -> PendingEdits:
        state = self.after.state(self.working)
        return find_pending_edits(self._target, state, self.after.policy_files(), self._unit.now)

    def _suspects(self, pending: PendingEdits, problems: list[Problem]) -> Iterator[set[str]]:
        """Yield the edits that may cause the problems: those at the problems, then all deletions, then all edits."""
        edits = {f"features/{id_}" for id_ in pending.features.keys() & self._target.catalog.features.keys()}
        edits |= {f"items/{id_}" for id_ in pending.items.keys() & self._target.catalog.items.keys()}
        edits |= {f"rules/{key}" for key in pending.rules}
        yield edits & {key for it in problems if (key := _edit_key(it.file))}
        deleted = {f"features/{id_}" for id_, edit in pending.features.items() if edit.new is None}
        yield edits & (deleted | {f"items/{id_}" for id_, item in pending.items.items() if item is None})
        yield edits


def _find_problems(unit: ReadUnit, state: PublishedState, pending: PendingEdits) -> list[Problem]:
    """Return what prevents publishing all pending edits."""
    if not (pending.features or pending.items or pending.rules):
        return []
    histories = read_item_history(unit, list(pending.items))
    changeset = build_changeset(state, pending, ALL_EDITS, histories, {}, unit.now)
    positions = SourcePositions()
    problems = [*changeset.problems, *validate_catalog(unit, state.catalog, changeset.catalog, positions)]
    if not problems and (pending.rules or changeset.rules.policies):
        try:
            IncrementalCompiler().compile(
                changeset.catalog, changeset.rules, positions=positions, rules_folder=_RULES_FOLDER
            )
        except AuthorError as error:
            problems += error.problems
    return problems


def _edit_key(file: str) -> str | None:
    """Return the key of the edit that a problem is about."""
    kind, _, rest = file.partition("/")
    if kind in {"features", "items"}:
        return f"{kind}/{rest.partition('/')[0]}"
    for ending, rule_kind in _RULE_KINDS.items():
        if rest.endswith(ending):
            return f"rules/{rule_kind}/{rest.removesuffix(ending)}"
    return None


def _item_data(item: WorkingItem, features: Mapping[str, Feature]) -> dict[str, object]:
    data: dict[str, object] = {**item_head_data(item.item)}
    if item.draft is not None:
        known = {id_: value for id_, value in item.draft.items() if id_ in features}
        data["entitlements"] = entitlements_data(known, features)
    return data


def _edited_feature(working: WorkingState, id_: str) -> Feature | None:
    return working.features[id_].feature if id_ in working.features else None
