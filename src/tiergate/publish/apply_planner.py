"""Plan to apply catalog files to a store: how catalogs live in a repository.

What the files name becomes what they contain, and is published in the same transaction. What they do not name stays,
unless it is pruned. Versions in the files keep their numbers, and must equal what was published with them; an item
without a number gets the next one if it gives something new. Other pending edits stay pending.

A file does not undo what is operated elsewhere: suspensions of features that the file has none of, drafts, pinned
versions, and items private to a customer stay.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from msgspec.structs import replace

from tiergate.catalog import ValueUse, check_feature_deletion
from tiergate.model import Catalog, Definition, Feature, Item, Ladder, PlansPerSubscription, Problem, Rollout, Rules
from tiergate.publish.catalog_change import SourcePositions
from tiergate.publish.changeset import Changeset, etags_of, find_file_changes, merge_rules, sort_by_id
from tiergate.publish.draft_rebase import rebase_draft
from tiergate.publish.publication_plan import PublicationPlan
from tiergate.publish.published_state import (
    PublishedState,
    current_entitlements,
    is_pending_draft,
    item_head,
    rule_texts,
)
from tiergate.publish.rollouts import ItemHistory, read_item_history
from tiergate.store.policy_files import policy_files, write_file_changes
from tiergate.store.status_references import describe_status_references
from tiergate.store.working_catalog import (
    WorkingItem,
    delete_features,
    delete_items,
    read_working,
    write_features,
    write_items,
)

if TYPE_CHECKING:
    from tiergate.catalog import LoadedCatalog
    from tiergate.model import Instant
    from tiergate.publish.publication_plan import Planner
    from tiergate.store import ReadUnit, WriteUnit


@dataclass(frozen=True, slots=True)
class ApplyRequest:
    """A catalog loaded from files, and rules, if any; `prune`: remove what they do not name."""

    loaded: LoadedCatalog
    rules: Rules | None = None
    prune: bool = False
    note: str = ""


def plan_apply(request: ApplyRequest) -> Planner:
    """Plan to publish what files contain."""
    return lambda unit, current: _ApplyPlanner(unit, current, request).plan()


class _ApplyPlanner:
    """Plans one request on one state of the store."""

    def __init__(self, unit: ReadUnit, current: PublishedState, request: ApplyRequest) -> None:
        self._unit = unit
        self._current = current
        self._request = request
        self._file = request.loaded.catalog
        self._positions = SourcePositions(request.loaded.positions)
        self._working = read_working(unit.session)
        self._problems: list[Problem] = []
        self._versions: list[tuple[str, Definition]] = []
        self._newest: dict[str, int] = {}

    def plan(self) -> PublicationPlan:
        current, request, published = self._current, self._request, self._current.catalog
        features, items = self._features(), self._items()
        catalog = Catalog(sort_by_id(features), sort_by_id(items), self._ladders(), self._plans_per_subscription())
        rules = current.rules
        if request.rules is not None:
            rules = request.rules if request.prune else merge_rules(rules, dict(rule_texts(request.rules)))
        file_changes = find_file_changes(rule_texts(current.rules), rule_texts(rules))
        files = {file.key: file for file in policy_files(self._unit.session)} if file_changes else {}
        changed_features = [it for id_, it in features.items() if published.features.get(id_) != it]
        changed_items = [self._working_item(it) for id_, it in items.items() if published.items.get(id_) != it]
        removed_features = published.features.keys() - features.keys()
        removed_items = published.items.keys() - items.keys()
        changeset = Changeset(
            catalog,
            rules,
            current.roles,
            versions=tuple(self._versions),
            features_read=etags_of(self._working.features, [*(it.id for it in changed_features), *removed_features]),
            items_read=etags_of(self._working.items, [*(it.item.id for it in changed_items), *removed_items]),
            files_read=etags_of(files, file_changes),
            problems=tuple(self._problems),
        )

        def also(unit: WriteUnit, _: int) -> None:
            write_features(unit, changed_features)
            write_items(unit, changed_items)
            delete_features(unit.session, removed_features)
            delete_items(unit.session, removed_items)
            write_file_changes(unit, file_changes)

        return PublicationPlan(changeset, "catalog.applied", request.note, also=also, positions=self._positions)

    def _features(self) -> dict[str, Feature]:
        published, prune = self._current.catalog.features, self._request.prune
        features = {} if prune else dict(published)
        for id_, feature in self._file.features.items():
            before = published.get(id_)
            if before is not None and not feature.suspensions and not prune:
                feature = replace(feature, suspensions=before.suspensions)  # noqa: PLW2901 - the same feature
            features[id_] = feature
        removed = sorted(published.keys() - features.keys())
        links = describe_status_references(self._unit, removed)
        for id_ in removed:
            holders = tuple(links.get(id_, ()))
            uses = [ValueUse(None, holders, len(holders))] if holders else []
            for problem in check_feature_deletion(published[id_], uses):
                self._problems.append(self._positions.problem(("feature", id_), problem.code, problem.detail))
        return features

    def _items(self) -> dict[str, Item]:
        published = self._current.catalog.items
        items = {id_: it for id_, it in published.items() if it.private_to or not self._request.prune}
        histories = read_item_history(self._unit, list(self._file.items))
        for id_, item in self._file.items.items():
            history = histories[id_]
            if id_ in self._request.loaded.unnumbered:
                item = _number(item, published.get(id_), history, self._unit.now)  # noqa: PLW2901 - the same item
            self._check_versions(item, history)
            numbers = {it.version for it in item.versions}
            pinned = [history.versions[pin] for pin in history.pins - numbers if pin in history.versions]
            self._versions += [(id_, it) for it in item.versions if it.version not in history.versions]
            self._newest[id_] = max((*history.versions, *numbers))
            versions = sorted((*item.versions, *pinned), key=lambda it: it.version)
            items[id_] = replace(item, versions=tuple(versions))
        return items

    def _check_versions(self, item: Item, history: ItemHistory) -> None:
        for definition in item.versions:
            before = history.versions.get(definition.version)
            if before is None or before.entitlements == definition.entitlements:
                continue
            old, new = before.entitlements, definition.entitlements
            names = sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))
            shown = ", ".join(f"`{name}`" for name in names[:3])
            message = (
                f"version {definition.version} of `{item.id}` is published with other entitlements ({shown}): "
                f"give the new ones another number, such as {max(history.versions) + 1}"
            )
            key = ("item", item.id, definition.version)
            self._problems.append(self._positions.problem(key, "version-published", message))

    def _working_item(self, item: Item) -> WorkingItem:
        """Return the working state of an item: its draft keeps its edits, on top of what is published now."""
        working, before, now = (
            self._working.items.get(item.id),
            self._current.catalog.items.get(item.id),
            self._unit.now,
        )
        draft = None if working is None else rebase_draft(working.draft, before, item, now)
        if not is_pending_draft(draft, item, now):
            draft = None
        return WorkingItem(item_head(item), item.rollouts, draft, self._newest[item.id], 0)

    def _ladders(self) -> tuple[Ladder, ...]:
        kept = () if self._request.prune else self._current.catalog.ladders
        ladders = {ladder.id: ladder for ladder in (*kept, *self._file.ladders)}
        return tuple(ladders[id_] for id_ in sorted(ladders))

    def _plans_per_subscription(self) -> PlansPerSubscription:
        is_given = self._request.loaded.names_plans or self._request.prune
        return self._file.plans if is_given else self._current.catalog.plans


def _number(item: Item, published: Item | None, history: ItemHistory, now: Instant) -> Item:
    """Number the version of an item: the current one or the newest if it gives the same, else the next one."""
    entitlements = item.versions[0].entitlements
    newest = max(history.versions, default=0)
    is_newest = bool(newest) and history.versions[newest].entitlements == entitlements
    if published is not None:
        is_rolled_out = is_newest and any(rollout.version == newest for rollout in published.rollouts)
        if is_rolled_out or current_entitlements(published, now) == entitlements:
            return replace(item, versions=published.versions, rollouts=published.rollouts)
    version = newest if is_newest else newest + 1
    return replace(item, versions=(Definition(version, entitlements),), rollouts=(Rollout(version),))
