"""Rolling back: what a past publication fixed becomes a new one.

It undoes what was published since, in the working state too (`working_moves`): an edit that is not published stays
pending, on what is in force then, and so does what the past publication did not have. Versions keep their numbers. What
was sold to one customer alone since then stays in force: it is no part of what went wrong, and nothing would stand in
for it.

INVARIANT (a way on): after a rollback all that is pending can be published, unless it could not be before. An edit that
would stand in the way is dropped, and the answer names it; where even that does not help, the rollback is refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from tiergate.catalog import entitlements_data, feature_data, item_head_data
from tiergate.errors import AuthorError, ConflictError, NotFoundError, PublishError
from tiergate.publish.changeset import ALL_EDITS, Changeset, build_changeset
from tiergate.publish.draft_rebase import RebasedState, rebase_working_state
from tiergate.publish.incremental_compiler import IncrementalCompiler
from tiergate.publish.publication_plan import PublicationPlan
from tiergate.publish.publish_plans import read_item_history, read_pending_edits, replace_catalog
from tiergate.publish.published_state import PendingEdits, PublishedState, find_pending_edits
from tiergate.publish.source_positions import SourcePositions
from tiergate.publish.validation import validate_catalog
from tiergate.store.policy_files import policy_files, put_policy_file, remove_files
from tiergate.store.publications import published_policies
from tiergate.store.references import item_uses
from tiergate.store.working_catalog import read_working, write_features, write_items

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from collections.abc import Set as AbstractSet

    from tiergate.model import Catalog, Feature, Item, Problem
    from tiergate.publish.publication_plan import Planner
    from tiergate.store import ReadUnit, WriteUnit
    from tiergate.store.policy_files import PolicyFile
    from tiergate.store.working_catalog import WorkingItem, WorkingState

_RULES_FOLDER: Final = "rules"
_RULES: Final = {".cedar": "policies", ".cedarschema": "schemas", ".entities.json": "entities"}


def plan_rollback(sequence: int, *, roles: bool = False, note: str = "") -> Planner:
    """Publish the catalog and the rules of a past publication again, and with `roles` its roles.

    Versions to which subscriptions are pinned since then come along, and so do items private to a customer; what else
    they hold must be there. Features stay suspended, or not, as they are now: that is operated elsewhere.
    """

    def plan(unit: ReadUnit, current: PublishedState) -> PublicationPlan:
        if not 1 <= sequence <= current.sequence:
            raise NotFoundError("publication", str(sequence))
        if sequence == current.sequence:
            raise ConflictError("in-force", f"publication {sequence} is in force")
        past = unit.published_at(sequence)
        its_rules, its_roles = published_policies(unit, sequence)
        items = {**past.catalog.items, **_private_since(unit, current.catalog, past.catalog)}
        for id_, parts in read_item_history(unit, list(items)).items():
            missing = parts.pins - {it.version for it in items[id_].versions}
            more = [parts.versions[version] for version in missing if version in parts.versions]
            if more:
                all_versions = sorted((*items[id_].versions, *more), key=lambda it: it.version)
                items[id_] = replace(items[id_], versions=tuple(all_versions))
        target = PublishedState(
            sequence,
            past.revision,
            replace_catalog(past.catalog, features=_suspended_as_now(past.catalog, current.catalog), items=items),
            its_rules,
            its_roles if roles else current.roles,
        )
        return _plan(unit, current, target, sequence, note)

    return plan


def _suspended_as_now(past: Catalog, now: Catalog) -> dict[str, Feature]:
    return {
        id_: replace(feature, suspensions=now.features[id_].suspensions) if id_ in now.features else feature
        for id_, feature in past.features.items()
    }


def _private_since(unit: ReadUnit, now: Catalog, past: Catalog) -> dict[str, Item]:
    """The items private to a customer that the past did not have: those that are held, or need nothing that goes."""
    found = {id_: item for id_, item in now.items.items() if item.private_to and id_ not in past.items}
    known = past.items.keys() | found.keys()
    return {
        id_: item
        for id_, item in found.items()
        if _needs_only(item, known, past.features.keys()) or item_uses(unit, id_)
    }


def _needs_only(item: Item, items: AbstractSet[str], features: AbstractSet[str]) -> bool:
    named = {*item.available_for, *item.depends_on, *item.excludes}
    return named <= items and all(it.entitlements.keys() <= features for it in item.versions)


def _plan(unit: ReadUnit, current: PublishedState, target: PublishedState, sequence: int, note: str) -> PublicationPlan:
    move = _Move(unit, current, target)
    dropped = move.repaired()
    working, after = move.working, move.after
    features = [it for id_, it in after.features.items() if _edited(working, id_) != it]
    items = [it for id_, it in after.items.items() if working.items.get(id_) != it]
    before_files = {file.key: file for file in move.files}
    texts = {key: None if key not in before_files else before_files[key].text for key in {*before_files, *after.files}}
    changed = sorted(key for key, text in texts.items() if text != after.files.get(key))
    changeset = Changeset(
        target.catalog,
        target.rules,
        target.roles,
        features_read={it.id: _etag(working.features.get(it.id)) for it in features},
        items_read={it.item.id: _etag(working.items.get(it.item.id)) for it in items},
        files_read={key: _etag(before_files.get(key)) for key in changed},
    )

    def also(unit: WriteUnit, _sequence: int) -> None:
        write_features(unit, features)
        write_items(unit, items)
        for key in changed:
            kind, _, name = key.partition("/")
            if key in after.files:
                put_policy_file(unit, kind, name, after.files[key])
            else:
                remove_files(unit.session, [(kind, name)])
        for place in dropped:
            kind, _, id_ = place.partition("/")
            old, new = move.said(place)
            unit.audit("edit.discarded", kind.removesuffix("s"), id_, before=old, after=new)

    return PublicationPlan(changeset, "publication.rolled_back", note, sequence, also, discarded=tuple(dropped))


class _Move:
    """The working state before and after a rollback."""

    def __init__(self, unit: ReadUnit, current: PublishedState, target: PublishedState) -> None:
        self._unit, self._current, self._target = unit, current, target
        self.working: WorkingState = read_working(unit.session)
        self.files: list[PolicyFile] = policy_files(unit.session)
        missing = [id_ for id_ in target.catalog.items if id_ not in self.working.items]
        self._newest = {
            id_: max((*parts.versions, *(it.version for it in target.catalog.items[id_].versions)))
            for id_, parts in read_item_history(unit, missing).items()
        }
        self._dropped = {  # no edit makes one of another type, or of another kind
            *(f"features/{id_}" for id_, it in target.catalog.features.items() if not self._has_type(id_, it)),
            *(f"items/{id_}" for id_, it in target.catalog.items.items() if not self._has_kind(id_, it)),
        }
        self.after = self._moved()

    def repaired(self) -> list[str]:
        """Drop the edits that would keep what is pending from being published; returns what they are edits of.

        Raises:
            PublishError: something would keep it all the same.
        """
        known: set[tuple[str, str]] | None = None
        while True:
            pending = self._pending()
            problems = self._problems(pending)
            if problems and known is None:
                known = {(it.file, it.code) for it in self._problems_before()}
            problems = [it for it in problems if (it.file, it.code) not in (known or ())]
            if not problems:
                return sorted(self._dropped)
            groups = (group - self._dropped for group in self._suspects(pending, problems))
            more = next((group for group in groups if group), None)
            if more is None:
                raise PublishError(problems)
            self._dropped |= more
            self.after = self._moved()

    def said(self, place: str) -> tuple[object, object]:
        """An edit that was dropped, as the audit log keeps it: before and after."""
        kind, _, id_ = place.partition("/")
        if kind == "features":
            edited = self.working.features.get(id_)
            before = None if edited is None else feature_data(edited.feature)
            return before, feature_data(self.after.features[id_])
        if kind == "items":
            features = {**{key: it.feature for key, it in self.working.features.items()}, **self.after.features}
            item = self.working.items.get(id_)
            was = None if item is None else self._item_said(item, features)
            return was, self._item_said(self.after.items[id_], features)
        texts = {file.key: file.text for file in self.files}
        return texts.get(id_), self.after.files.get(id_)

    @staticmethod
    def _item_said(item: WorkingItem, features: Mapping[str, Feature]) -> dict[str, object]:
        said: dict[str, object] = {**item_head_data(item.item)}
        if item.draft is not None:
            known = {id_: value for id_, value in item.draft.items() if id_ in features}
            said["entitlements"] = entitlements_data(known, features)
        return said

    def _has_type(self, id_: str, feature: Feature) -> bool:
        edited = _edited(self.working, id_)
        return edited is None or edited.type is feature.type

    def _has_kind(self, id_: str, item: Item) -> bool:
        edited = self.working.items.get(id_)
        return edited is None or edited.item.kind is item.kind

    def _moved(self) -> RebasedState:
        return rebase_working_state(
            self.working,
            self.files,
            self._current,
            self._target,
            self._unit.now,
            newest=self._newest,
            reset=self._dropped,
        )

    def _pending(self) -> PendingEdits:
        state = self.after.state(self.working)
        return find_pending_edits(self._target, state, self.after.policy_files(), self._unit.now)

    def _problems(self, pending: PendingEdits) -> list[Problem]:
        return _problems_of(self._unit, self._target, pending)

    def _problems_before(self) -> list[Problem]:
        return _problems_of(self._unit, self._current, read_pending_edits(self._unit, self._current))

    def _suspects(self, pending: PendingEdits, problems: list[Problem]) -> Iterator[set[str]]:
        """Edits that may be what stands in the way: those at the problems, then all deletions, then all there are."""
        edits = {f"features/{id_}" for id_ in pending.features.keys() & self._target.catalog.features.keys()}
        edits |= {f"items/{id_}" for id_ in pending.items.keys() & self._target.catalog.items.keys()}
        edits |= {f"rules/{key}" for key in pending.rules}
        yield edits & {place for it in problems if (place := _place(it.file))}
        gone = {f"features/{id_}" for id_, edit in pending.features.items() if edit.new is None}
        yield edits & (gone | {f"items/{id_}" for id_, item in pending.items.items() if item is None})
        yield edits


def _problems_of(unit: ReadUnit, current: PublishedState, pending: PendingEdits) -> list[Problem]:
    """All that stands against publishing everything that is pending."""
    if not (pending.features or pending.items or pending.rules):
        return []
    changeset = build_changeset(current, pending, ALL_EDITS, read_item_history(unit, list(pending.items)), {}, unit.now)
    problems = [*changeset.problems, *validate_catalog(unit, current.catalog, changeset.catalog, SourcePositions())]
    if not problems and (pending.rules or changeset.rules.policies):
        try:
            IncrementalCompiler().compile(
                changeset.catalog, changeset.rules, positions=SourcePositions(), rules_folder=_RULES_FOLDER
            )
        except AuthorError as error:
            problems += error.problems
    return problems


def _place(file: str) -> str | None:
    """What a problem is about, as `features/seats`, `items/gold` or `rules/policies/eu`."""
    kind, _, rest = file.partition("/")
    if kind in {"features", "items"}:
        return f"{kind}/{rest.partition('/')[0]}"
    for ending, its in _RULES.items():
        if rest.endswith(ending):
            return f"rules/{its}/{rest.removesuffix(ending)}"
    return None


def _edited(working: WorkingState, id_: str) -> Feature | None:
    return working.features[id_].feature if id_ in working.features else None


def _etag(found: object) -> int | None:
    return getattr(found, "etag", None)
