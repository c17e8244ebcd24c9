"""Rebase the working state on another publication: unpublished edits stay, on top of what is published now.

A three-way merge of the edited, the old published and the new published state. A field of a feature or an item, an
entitlement of a draft, or a file of the rules keeps its edit if it has one; else it becomes what is published now. What
is no longer published stays in the working state, so that nothing is lost. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import msgspec

from tiergate.publish.published_state import current_entitlements, item_head, rule_texts
from tiergate.publish.rollouts import rebase_entitlements
from tiergate.store.policy_files import PolicyFile
from tiergate.store.working_catalog import WorkingFeature, WorkingItem, WorkingState

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from tiergate.model import Feature, Instant, Item, Value
    from tiergate.publish.published_state import PublishedState

ROLES_KEY = "roles/roles"
"""The key of the roles among the files."""

S = TypeVar("S", bound=msgspec.Struct)


@dataclass(frozen=True, slots=True)
class RebasedState:
    """The rebased working state: features, items, and files by key."""

    features: Mapping[str, Feature]
    items: Mapping[str, WorkingItem]
    files: Mapping[str, str]

    def state(self, before: WorkingState) -> WorkingState:
        """Return the features and items with the entity tags of the state before."""
        features = {
            id_: WorkingFeature(feature, before.features[id_].etag if id_ in before.features else 0)
            for id_, feature in self.features.items()
        }
        return WorkingState(features, self.items)

    def policy_files(self) -> list[PolicyFile]:
        """Return the files as rows."""
        keys = ((key.partition("/"), text) for key, text in self.files.items())
        return [PolicyFile(kind, name, text, 0, 0) for (kind, _, name), text in keys]


def rebase_working_state(
    working: WorkingState,
    files: Iterable[PolicyFile],
    old: PublishedState,
    new: PublishedState,
    now: Instant,
    *,
    newest: Mapping[str, int],
    reset: Collection[str] = (),
) -> RebasedState:
    """Return the working state after `new` replaced `old`.

    `newest`: the highest version ever published of items that are not in the working state. `reset`: what loses its
    edits, such as `features/seats`, `items/gold`, `rules/policies/eu`.
    """
    features: dict[str, Feature] = {}
    for id_ in working.features.keys() | new.catalog.features.keys():
        edited = working.features.get(id_)
        feature = _merge(
            None if edited is None else edited.feature,
            old.catalog.features.get(id_),
            new.catalog.features.get(id_),
            is_reset=f"features/{id_}" in reset,
        )
        if feature is not None:
            features[id_] = feature
    items: dict[str, WorkingItem] = {}
    for id_ in working.items.keys() | new.catalog.items.keys():
        item = _item(
            working.items.get(id_),
            old.catalog.items.get(id_),
            new.catalog.items.get(id_),
            now,
            newest.get(id_, 0),
            is_reset=f"items/{id_}" in reset,
        )
        if item is not None:
            items[id_] = item
    return RebasedState(features, items, _files(files, old, new, reset))


def _merge(edited: S | None, old: S | None, new: S | None, *, is_reset: bool) -> S | None:
    if new is None:
        return edited
    if is_reset or (edited is None and old is None):
        return new
    if edited is None or old is None:
        return edited
    names = (name for name in edited.__struct_fields__)
    changes = {name: getattr(new, name) for name in names if getattr(edited, name) == getattr(old, name)}
    return msgspec.structs.replace(edited, **changes)


def _item(
    edited: WorkingItem | None, old: Item | None, new: Item | None, now: Instant, newest: int, *, is_reset: bool
) -> WorkingItem | None:
    heads = tuple(None if it is None else item_head(it) for it in (old, new))
    head = _merge(None if edited is None else edited.item, *heads, is_reset=is_reset)
    if head is None:
        return None
    if edited is not None and not is_reset:
        head = msgspec.structs.replace(head, metadata=edited.item.metadata)  # publications do not change it
    rollouts = () if new is None else new.rollouts
    if edited is None:
        return WorkingItem(head, rollouts, None, newest, 0)
    draft = None if is_reset and new is not None else rebase_draft(edited.draft, old, new, now)
    return edited._replace(item=head, rollouts=rollouts, draft=draft)


def rebase_draft(
    draft: dict[str, Value] | None, old: Item | None, new: Item | None, now: Instant
) -> dict[str, Value] | None:
    """Return the edits of an item's draft on top of what it gives now; `None` if there are none."""
    before, after = current_entitlements(old, now), current_entitlements(new, now)
    if draft is None or before is None or after is None:
        return draft
    rebased = rebase_entitlements(draft, before, after)
    return None if rebased == after else rebased


def _files(
    files: Iterable[PolicyFile], old: PublishedState, new: PublishedState, reset: Collection[str]
) -> dict[str, str]:
    edited = {file.key: file.text for file in files}
    before, after = _texts(old), _texts(new)
    merged: dict[str, str] = {}
    for key in edited.keys() | after.keys():
        stays = edited.get(key) != before.get(key) and f"rules/{key}" not in reset
        text = edited.get(key) if stays else after.get(key)
        if text is not None:
            merged[key] = text
    return merged


def _texts(current: PublishedState) -> dict[str, str]:
    roles = {ROLES_KEY: current.roles} if current.roles else {}
    return rule_texts(current.rules) | roles
