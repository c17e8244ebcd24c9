"""Changesets: the published catalog, rules and roles with selected edits on top.

Pure. Validation and the compiler decide afterwards whether a changeset can be published.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from msgspec.structs import replace

from tiergate.model import Definition, Problem, Rules
from tiergate.publish.catalog_change import differing_ids
from tiergate.publish.published_state import is_pending_draft
from tiergate.publish.rollouts import ItemHistory, RolloutTarget, prune_rollouts, set_rollouts
from tiergate.store.publications import PublishedItem

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tiergate.model import Catalog, Feature, Instant, Item
    from tiergate.publish.published_state import PendingEdits, PublishedState
    from tiergate.store.working_catalog import WorkingItem

V = TypeVar("V")
_ALL_CUSTOMERS = RolloutTarget()
_NO_HISTORY = ItemHistory()


@dataclass(frozen=True, slots=True)
class EditSelection:
    """The ids of the selected edits by kind; `None`: all that are pending. Rules have their kind: `policies/eu`."""

    features: frozenset[str] | None = None
    items: frozenset[str] | None = None
    rules: frozenset[str] | None = None
    roles: bool = True


ALL_EDITS = EditSelection()
"""All pending edits."""


@dataclass(frozen=True, slots=True)
class Changeset:
    """What to publish, and the working state it is based on.

    `versions`: those published for the first time, each with its item. `features_read`, `items_read`, `files_read`: the
    entity tags of the working state that was read; `None`: it does not exist. `problems`: what was selected and cannot
    be published.
    """

    catalog: Catalog
    rules: Rules
    roles: str
    versions: tuple[tuple[str, Definition], ...] = ()
    items: Mapping[str, PublishedItem] = field(default_factory=dict)
    features_read: Mapping[str, int | None] = field(default_factory=dict)
    items_read: Mapping[str, int | None] = field(default_factory=dict)
    files_read: Mapping[str, int | None] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()

    def matches(self, current: PublishedState) -> bool:
        """Return whether it changes nothing."""
        return (self.catalog, self.rules, self.roles) == (current.catalog, current.rules, current.roles)


def build_changeset(
    current: PublishedState,
    pending: PendingEdits,
    selection: EditSelection,
    histories: Mapping[str, ItemHistory],
    targets: Mapping[str, RolloutTarget],
    now: Instant,
) -> Changeset:
    """Return the changeset of the selected edits. `targets`: who gets an item's new version, if not all customers."""
    problems = _find_unknown(pending, selection)
    features = dict(current.catalog.features)
    feature_edits = {id_: pending.features[id_] for id_ in _selected(pending.features, selection.features)}
    for id_, edit in feature_edits.items():
        _set(features, id_, edit.new)
    publishable = pending.items if selection.items is None else {**pending.items, **pending.idle}
    item_edits = {id_: publishable[id_] for id_ in _selected(publishable, selection.items)}
    items = dict(current.catalog.items)
    versions: list[tuple[str, Definition]] = []
    published: dict[str, PublishedItem] = {}
    for id_, working in item_edits.items():
        if working is None:
            items.pop(id_, None)
            continue
        target, history = targets.get(id_, _ALL_CUSTOMERS), histories.get(id_, _NO_HISTORY)
        item, new = _next_item(current.catalog.items.get(id_), working, history, target, now)
        if not item.versions:
            message = f"`{id_}` cannot be published: it has neither a version nor a draft"
            problems.append(Problem(f"items/{id_}", 0, 0, "no-version", message))
            continue
        items[id_] = item
        if new is not None:
            versions.append((id_, new))
        newest = working.newest if new is None else new.version
        published[id_] = PublishedItem(item.rollouts, newest, is_done=working.draft is not None)
    rule_edits = {key: pending.rules[key] for key in _selected(pending.rules, selection.rules)}
    files_read = {key: edit.etag for key, edit in rule_edits.items()}
    roles = current.roles
    if selection.roles and pending.roles is not None:
        roles, files_read["roles/roles"] = pending.roles.text or "", pending.roles.etag
    return Changeset(
        replace_catalog(current.catalog, features=features, items=items),
        merge_rules(current.rules, {key: edit.text for key, edit in rule_edits.items()}),
        roles,
        tuple(versions),
        published,
        {id_: edit.etag for id_, edit in feature_edits.items()},
        {id_: None if working is None else working.etag for id_, working in item_edits.items()},
        files_read,
        tuple(problems),
    )


def _next_item(
    old: Item | None, working: WorkingItem, history: ItemHistory, target: RolloutTarget, now: Instant
) -> tuple[Item, Definition | None]:
    """Return an item as it is published next, and its new version, if no version is equal to its draft.

    A draft that is equal to what is given now changes nothing; one equal to another version rolls that version out.
    """
    known = history.versions_with(old)
    rollouts = () if old is None else old.rollouts
    new: Definition | None = None
    if working.draft is not None and is_pending_draft(working.draft, old, now):
        version = max((number for number, it in known.items() if it.entitlements == working.draft), default=0)
        if not version:
            new = Definition(working.newest + 1, sort_by_id(working.draft))
            version, known[new.version] = new.version, new
        rollouts = prune_rollouts((*rollouts, target.rollout(version, now)), now)
    elif old is None and working.newest in known:
        rollouts = (target.rollout(working.newest, now),)
    published = replace(working.item, versions=() if old is None else old.versions)
    return set_rollouts(published, rollouts, known, history.pins), new


def replace_catalog(
    catalog: Catalog, *, features: Mapping[str, Feature] | None = None, items: Mapping[str, Item] | None = None
) -> Catalog:
    """Return a catalog with other features or items."""
    return replace(
        catalog,
        features=catalog.features if features is None else sort_by_id(features),
        items=catalog.items if items is None else sort_by_id(items),
    )


def merge_rules(rules: Rules, edits: Mapping[str, str | None]) -> Rules:
    """Return rules with edited files, by kind and name (`policies/eu`); `None` removes a file."""
    kinds = {"policies": dict(rules.policies), "schemas": dict(rules.schemas), "entities": dict(rules.entities)}
    for key, text in edits.items():
        kind, _, name = key.partition("/")
        _set(kinds[kind], name, text)
    return Rules(**{kind: sort_by_id(files) for kind, files in kinds.items()})


def find_file_changes(before: Mapping[str, str], after: Mapping[str, str]) -> dict[str, str | None]:
    """Return the new text of each file that changes, in the order of the keys; `None`: it is removed."""
    return {key: after.get(key) for key in sorted(differing_ids(before, after))}


def sort_by_id(entries: Mapping[str, V]) -> dict[str, V]:
    """Return entries in the order of their ids, so that equal catalogs have equal bytes."""
    return {id_: entries[id_] for id_ in sorted(entries)}


def etags_of(rows: Mapping[str, object], ids: Iterable[str]) -> dict[str, int | None]:
    """Return the entity tags of rows of the working state; `None` for those that do not exist."""
    return {id_: getattr(rows.get(id_), "etag", None) for id_ in ids}


def _selected(pending: Iterable[str], ids: frozenset[str] | None) -> list[str]:
    return sorted(pending if ids is None else ids.intersection(pending))


def _find_unknown(pending: PendingEdits, selection: EditSelection) -> list[Problem]:
    """Return a problem for each selected id that does not exist. Selecting what has no edit is not a mistake."""
    return [
        Problem(f"{kind}s/{id_}", 0, 0, f"unknown-{kind}", f"no {kind} `{id_}`")
        for kind, ids in (("feature", selection.features), ("item", selection.items), ("rule", selection.rules))
        for id_ in sorted(ids or ())
        if f"{kind}s/{id_}" not in pending.known
    ]


def _set(entries: dict[str, V], id_: str, value: V | None) -> None:
    if value is None:
        entries.pop(id_, None)
    else:
        entries[id_] = value
