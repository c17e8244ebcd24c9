"""Applying a catalog file to a store, and writing the file of what is published: how catalogs live in a repository.

What the files name becomes what they say, and is published in the same transaction; what they do not name stays, unless
it is to be pruned. Versions that the files write are kept with their numbers, and must be what was published under
them; an item without a number gets the next one where it gives something new. Other pending edits stay pending.

What is operated elsewhere is not undone by a file that does not speak of it: suspensions of features stay where the
file has none, drafts stay, versions that are pinned stay, and items private to a customer are never pruned.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from msgspec.structs import replace

from tiergate.catalog import check_feature_deletion, dump_catalog
from tiergate.model import Catalog, Definition, Feature, Item, Ladder, PlansPerSubscription, Problem, Rollout, Rules
from tiergate.publish.changeset import Changeset, ItemHistory, merge_rules, sort_by_id
from tiergate.publish.draft_rebase import rebase_draft
from tiergate.publish.publication_plan import PublicationPlan
from tiergate.publish.publish_plans import read_item_history
from tiergate.publish.published_state import (
    PublishedState,
    current_entitlements,
    is_pending_draft,
    item_head,
    rule_texts,
)
from tiergate.publish.source_positions import SourcePositions
from tiergate.store.policy_files import policy_files, put_policy_file, remove_files
from tiergate.store.working_catalog import (
    WorkingItem,
    delete_features,
    delete_items,
    read_working,
    write_features,
    write_items,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Literal

    from tiergate.catalog import LoadedCatalog
    from tiergate.model import Instant
    from tiergate.publish.publication_plan import Planner
    from tiergate.store import ReadUnit, WriteUnit


@dataclass(frozen=True, slots=True)
class ApplyRequest:
    """What is applied: a catalog as loaded from files, rules if there are any, and whether the rest is to go."""

    loaded: LoadedCatalog
    rules: Rules | None = None
    prune: bool = False
    note: str = ""


def plan_apply(request: ApplyRequest) -> Planner:
    """Publish what files say."""

    def plan(unit: ReadUnit, current: PublishedState) -> PublicationPlan:
        return _Applying(unit, current, request).plan()

    return plan


class _Applying:
    """One request on one state of the store."""

    def __init__(self, unit: ReadUnit, current: PublishedState, request: ApplyRequest) -> None:
        self._unit = unit
        self._current = current
        self._application = request
        self._file = request.loaded.catalog
        self._positions = SourcePositions(request.loaded.positions)
        self._working = read_working(unit.session)
        self._problems: list[Problem] = []
        self._versions: list[tuple[str, Definition]] = []
        self._newest: dict[str, int] = {}

    def plan(self) -> PublicationPlan:
        """What it comes to."""
        current, request = self._current, self._application
        features, items = self._features(), self._items()
        catalog = Catalog(sort_by_id(features), sort_by_id(items), self._ladders(), self._plans())
        rules = current.rules
        if request.rules is not None:
            rules = request.rules if request.prune else merge_rules(rules, dict(rule_texts(request.rules)))
        changed_features = [it for id_, it in features.items() if current.catalog.features.get(id_) != it]
        changed_items = [self._worked(it) for id_, it in items.items() if current.catalog.items.get(id_) != it]
        own_features, own_items = [it.id for it in changed_features], [it.item.id for it in changed_items]
        gone_features = current.catalog.features.keys() - features.keys()
        gone_items = current.catalog.items.keys() - items.keys()
        changeset = Changeset(
            catalog,
            rules,
            current.roles,
            versions=tuple(self._versions),
            features_read={id_: _etag(self._working.features.get(id_)) for id_ in (*own_features, *gone_features)},
            items_read={id_: _etag(self._working.items.get(id_)) for id_ in (*own_items, *gone_items)},
            files_read=self._files_read(rules),
            problems=tuple(self._problems),
        )

        def also(unit: WriteUnit, _: int) -> None:
            write_features(unit, changed_features)
            write_items(unit, changed_items)
            delete_features(unit.session, gone_features)
            delete_items(unit.session, gone_items)
            _write_files(unit, current.rules, rules)

        return PublicationPlan(changeset, "catalog.applied", request.note, also=also, positions=self._positions)

    # ── features ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def _features(self) -> dict[str, Feature]:
        published = self._current.catalog.features
        found = {} if self._application.prune else dict(published)
        for id_, feature in self._file.features.items():
            before = published.get(id_)
            keeps = before is not None and not feature.suspensions and not self._application.prune
            found[id_] = replace(feature, suspensions=before.suspensions) if before and keeps else feature
        for id_ in sorted(published.keys() - found.keys()):
            for refusal in check_feature_deletion(published[id_], ()):
                self._problems.append(self._positions.problem(("feature", id_), refusal.code, refusal.detail))
        return found

    # ── items ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _items(self) -> dict[str, Item]:
        published = self._current.catalog.items
        found = {id_: it for id_, it in published.items() if it.private_to or not self._application.prune}
        parts = read_item_history(self._unit, list(self._file.items))
        for id_, item in self._file.items.items():
            known = parts[id_]
            if id_ in self._application.loaded.unnumbered:
                made = self._numbered(item, published.get(id_), known, self._unit.now)
            else:
                made = item
            self._check_versions(made, known)
            numbers = {it.version for it in made.versions}
            kept = [known.versions[pin] for pin in known.pins - numbers if pin in known.versions]
            self._versions += [(id_, it) for it in made.versions if it.version not in known.versions]
            self._newest[id_] = max((*known.versions, *numbers))
            versions = sorted((*made.versions, *kept), key=lambda it: it.version)
            found[id_] = replace(made, versions=tuple(versions))
        return found

    @staticmethod
    def _numbered(item: Item, published: Item | None, parts: ItemHistory, now: Instant) -> Item:
        """An item that says no number: what it gives is given now, or is its newest version, or the one after it."""
        entitlements = item.versions[0].entitlements
        newest = max(parts.versions, default=0)
        is_newest = bool(newest) and parts.versions[newest].entitlements == entitlements
        if published is not None:
            is_reached = is_newest and any(rollout.version == newest for rollout in published.rollouts)
            if is_reached or current_entitlements(published, now) == entitlements:
                return replace(item, versions=published.versions, rollouts=published.rollouts)
        version = newest if is_newest else newest + 1
        return replace(item, versions=(Definition(version, entitlements),), rollouts=(Rollout(version),))

    def _check_versions(self, item: Item, parts: ItemHistory) -> None:
        for definition in item.versions:
            before = parts.versions.get(definition.version)
            if before is None or before.entitlements == definition.entitlements:
                continue
            names = sorted(
                name
                for name in before.entitlements.keys() | definition.entitlements.keys()
                if before.entitlements.get(name) != definition.entitlements.get(name)
            )
            shown = ", ".join(f"`{name}`" for name in names[:3])
            message = (
                f"version {definition.version} of `{item.id}` is published and gives something else ({shown}): "
                f"give what is new another number, such as {max(parts.versions) + 1}"
            )
            key = ("item", item.id, definition.version)
            self._problems.append(self._positions.problem(key, "version-published", message))

    def _worked(self, item: Item) -> WorkingItem:
        """What becomes of an item's working state. The edits of a draft stay, on what is published now."""
        working, before = self._working.items.get(item.id), self._current.catalog.items.get(item.id)
        draft = None if working is None else rebase_draft(working.draft, before, item, self._unit.now)
        if not is_pending_draft(draft, item, self._unit.now):
            draft = None
        return WorkingItem(item_head(item), item.rollouts, draft, self._newest[item.id], 0)

    # ── the rest ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def _ladders(self) -> tuple[Ladder, ...]:
        found = {} if self._application.prune else {it.id: it for it in self._current.catalog.ladders}
        found.update((ladder.id, ladder) for ladder in self._file.ladders)
        return tuple(found[id_] for id_ in sorted(found))

    def _plans(self) -> PlansPerSubscription:
        """How many plans a subscription may have: as the files say, else as it was, unless that is to be pruned."""
        is_said = self._application.loaded.names_plans or self._application.prune
        return self._file.plans if is_said else self._current.catalog.plans

    def _files_read(self, rules: Rules) -> dict[str, int | None]:
        keys = {key for key, _ in _changed_files(self._current.rules, rules)}
        etags = {file.key: file.etag for file in policy_files(self._unit.session)} if keys else {}
        return {key: etags.get(key) for key in keys}


def _changed_files(old: Rules, new: Rules) -> Iterator[tuple[str, str | None]]:
    was, now = rule_texts(old), rule_texts(new)
    for key in sorted(was.keys() | now.keys()):
        if was.get(key) != now.get(key):
            yield key, now.get(key)


def _write_files(unit: WriteUnit, old: Rules, new: Rules) -> None:
    for key, text in _changed_files(old, new):
        kind, _, name = key.partition("/")
        if text is None:
            remove_files(unit.session, [(kind, name)])
        else:
            put_policy_file(unit, kind, name, text)


def _etag(found: object) -> int | None:
    return getattr(found, "etag", None)


# ── The way back ─────────────────────────────────────────────────────────────────────────────────────────────────────


def export_catalog(catalog: Catalog, *, private: bool = False, form: Literal["yaml", "json"] = "yaml") -> str:
    """The file of a catalog. Items private to a customer, and what goes with them alone, are left out unless asked."""
    return dump_catalog(catalog if private else omit_private_items(catalog), form)


def omit_private_items(catalog: Catalog) -> Catalog:
    """A catalog without the items that are private to a customer, and those that can only be held with them."""
    items: Mapping[str, Item] = catalog.items
    while True:
        hidden = {id_ for id_, item in items.items() if item.private_to}
        hidden |= {
            id_
            for id_, item in items.items()
            if not items.keys() >= set(item.depends_on)
            or (item.available_for and items.keys().isdisjoint(item.available_for))
        }
        if not hidden:
            break
        items = {id_: item for id_, item in items.items() if id_ not in hidden}
    kept = {
        id_: replace(
            item,
            available_for=tuple(it for it in item.available_for if it in items),
            excludes=tuple(it for it in item.excludes if it in items),
        )
        for id_, item in items.items()
    }
    return Catalog(catalog.features, kept, catalog.ladders, catalog.plans)
