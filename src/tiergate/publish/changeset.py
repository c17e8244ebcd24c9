"""From the working state to what a publication would fix: what choosing some of the pending edits comes to.

Pure. A changeset is the published catalog with the chosen edits on top of it, and nothing else; whether it may be
published is looked at afterwards (`refusals`, then the compiler).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from msgspec.structs import replace

from tiergate.model import Definition, Problem, Rules
from tiergate.publish.published_state import is_pending_draft
from tiergate.publish.rollouts import RolloutTarget, prune_rollouts, set_rollouts
from tiergate.store.publications import PublishedItem

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tiergate.model import Catalog, Instant, Item
    from tiergate.publish.published_state import PendingEdits, PublishedState
    from tiergate.store.working_catalog import WorkingItem

_V = TypeVar("_V")
_AT_ONCE = RolloutTarget()


@dataclass(frozen=True, slots=True)
class EditSelection:
    """Which of the pending edits are meant, each kind by ids; `None` is all that are pending.

    Rules are named with their kind: `policies/eu`.
    """

    features: frozenset[str] | None = None
    items: frozenset[str] | None = None
    rules: frozenset[str] | None = None
    roles: bool = True


ALL_EDITS = EditSelection()
"""All that is pending."""


@dataclass(frozen=True, slots=True)
class ItemHistory:
    """What else makes an item: its versions ever published, by number, and those to which something is pinned."""

    versions: Mapping[int, Definition] = field(default_factory=dict)
    pins: frozenset[int] = frozenset()


_NO_PARTS = ItemHistory()


@dataclass(frozen=True, slots=True)
class Changeset:
    """What is to be published, and what that makes of the working state.

    `versions`: those published for the first time, each with its item. `features_read`, `items_read` and `files_read`:
    the entity tags of the working state that this rests on (none: it is not there). `problems`: what was asked for and
    cannot be.
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
        """Say whether there is nothing new in it."""
        return (self.catalog, self.rules, self.roles) == (current.catalog, current.rules, current.roles)


def build_changeset(
    current: PublishedState,
    pending: PendingEdits,
    choice: EditSelection,
    parts: Mapping[str, ItemHistory],
    targets: Mapping[str, RolloutTarget],
    now: Instant,
) -> Changeset:
    """What the chosen edits come to. `targets`: whom the new version of an item is for, if not everybody at once."""
    problems = _unknown(pending, choice)
    features = dict(current.catalog.features)
    meant_features = {id_: pending.features[id_] for id_ in _meant(pending.features, choice.features)}
    for id_, edit in meant_features.items():
        _put(features, id_, edit.new)
    every_item = pending.items if choice.items is None else {**pending.items, **pending.idle}
    meant_items = {id_: every_item[id_] for id_ in _meant(every_item, choice.items)}
    items = dict(current.catalog.items)
    versions: list[tuple[str, Definition]] = []
    updates: dict[str, PublishedItem] = {}
    for id_, working in meant_items.items():
        if working is None:
            items.pop(id_, None)
            continue
        target = targets.get(id_, _AT_ONCE)
        item, new = _next_item(current.catalog.items.get(id_), working, parts.get(id_, _NO_PARTS), target, now)
        if not item.versions:
            message = f"`{id_}` has nothing that could be published: it has no version and no draft"
            problems.append(Problem(f"items/{id_}", 0, 0, "no-version", message))
            continue
        items[id_] = item
        if new is not None:
            versions.append((id_, new))
        newest = working.newest if new is None else new.version
        updates[id_] = PublishedItem(item.rollouts, newest, is_done=working.draft is not None)
    meant_files = {key: pending.rules[key] for key in _meant(pending.rules, choice.rules)}
    files_read = {key: edit.etag for key, edit in meant_files.items()}
    roles = current.roles
    if choice.roles and pending.roles is not None:
        roles, files_read["roles/roles"] = pending.roles.text or "", pending.roles.etag
    return Changeset(
        replace(current.catalog, features=sort_by_id(features), items=sort_by_id(items)),
        merge_rules(current.rules, {key: edit.text for key, edit in meant_files.items()}),
        roles,
        tuple(versions),
        updates,
        {id_: edit.etag for id_, edit in meant_features.items()},
        {id_: None if working is None else working.etag for id_, working in meant_items.items()},
        files_read,
        tuple(problems),
    )


def _next_item(
    old: Item | None, working: WorkingItem, parts: ItemHistory, target: RolloutTarget, now: Instant
) -> tuple[Item, Definition | None]:
    """An item as it is published next, and its new version, if it has a draft that no version of it is like.

    A draft that is what is given now changes nothing; one that is like another version rolls that version out again.
    """
    known = dict(parts.versions)
    if old is not None:
        known.update((definition.version, definition) for definition in old.versions)
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
    return set_rollouts(published, rollouts, known, parts.pins), new


def merge_rules(rules: Rules, edits: Mapping[str, str | None]) -> Rules:
    """Rules with other files, by kind and name; none: without it."""
    kinds = {"policies": dict(rules.policies), "schemas": dict(rules.schemas), "entities": dict(rules.entities)}
    for key, text in edits.items():
        kind, _, name = key.partition("/")
        _put(kinds[kind], name, text)
    return Rules(**{kind: sort_by_id(files) for kind, files in kinds.items()})


def sort_by_id(entries: Mapping[str, _V]) -> dict[str, _V]:
    """The same entries in the order of their ids, so that equal catalogs are equal bytes."""
    return {id_: entries[id_] for id_ in sorted(entries)}


def _meant(pending: Iterable[str], choice: frozenset[str] | None) -> list[str]:
    return sorted(pending if choice is None else choice.intersection(pending))


def _unknown(pending: PendingEdits, choice: EditSelection) -> list[Problem]:
    """What was chosen by name and is not there at all. What is there, and as it was published, is no mistake."""
    return [
        Problem(f"{kind}s/{id_}", 0, 0, f"unknown-{kind}", f"no {kind} `{id_}`")
        for kind, ids in (("feature", choice.features), ("item", choice.items), ("rule", choice.rules))
        for id_ in sorted(ids or ())
        if f"{kind}s/{id_}" not in pending.known
    ]


def _put(entries: dict[str, _V], id_: str, value: _V | None) -> None:
    if value is None:
        entries.pop(id_, None)
    else:
        entries[id_] = value
