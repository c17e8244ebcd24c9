"""The working state when another publication comes in force: what is edited and not published stays, on new ground.

Each thing is compared three ways: as it is edited, as it was published, as it is published now. Where an edit did not
touch a field of a feature or an item, an entitlement of a draft, or a file of the rules, that becomes what is published
now; where it did, the edit stays. What was published once and is not published now stays in the working state, so that
nothing is lost. Pure.
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

_S = TypeVar("_S", bound=msgspec.Struct)


@dataclass(frozen=True, slots=True)
class RebasedState:
    """The working state afterwards: features, items, and files by key; what is no longer there is left out."""

    features: Mapping[str, Feature]
    items: Mapping[str, WorkingItem]
    files: Mapping[str, str]

    def state(self, before: WorkingState) -> WorkingState:
        """The same as a working state, with the entity tags of the one before."""
        features = {
            id_: WorkingFeature(feature, before.features[id_].etag if id_ in before.features else 0)
            for id_, feature in self.features.items()
        }
        return WorkingState(features, self.items)

    def policy_files(self) -> list[PolicyFile]:
        """The files as rows."""
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
    """The working state after `new` has come in the place of `old`.

    `newest`: the highest version ever published of items that are not in the working state. `reset`: what loses its
    edits, as `features/seats`, `items/gold`, `rules/policies/eu`.
    """
    features: dict[str, Feature] = {}
    for id_ in working.features.keys() | new.catalog.features.keys():
        edited = working.features.get(id_)
        feature = _picked(
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


def _picked(edited: _S | None, old: _S | None, new: _S | None, *, is_reset: bool) -> _S | None:
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
    head = _picked(None if edited is None else edited.item, *heads, is_reset=is_reset)
    if head is None:
        return None
    if edited is not None and not is_reset:
        head = msgspec.structs.replace(head, metadata=edited.item.metadata)  # which no publication decides
    rollouts = () if new is None else new.rollouts
    if edited is None:
        return WorkingItem(head, rollouts, None, newest, 0)
    draft = None if is_reset and new is not None else rebase_draft(edited.draft, old, new, now)
    return edited._replace(item=head, rollouts=rollouts, draft=draft)


def rebase_draft(
    draft: dict[str, Value] | None, old: Item | None, new: Item | None, now: Instant
) -> dict[str, Value] | None:
    """The draft of an item that comes to be published otherwise: its edits on what is given now; none without any."""
    before, after = current_entitlements(old, now), current_entitlements(new, now)
    if draft is None or before is None or after is None:
        return draft
    found = rebase_entitlements(draft, before, after)
    return None if found == after else found


def _files(
    files: Iterable[PolicyFile], old: PublishedState, new: PublishedState, reset: Collection[str]
) -> dict[str, str]:
    edited = {file.key: file.text for file in files}
    before, after = _texts(old), _texts(new)
    found: dict[str, str] = {}
    for key in edited.keys() | after.keys():
        stays = edited.get(key) != before.get(key) and f"rules/{key}" not in reset
        text = edited.get(key) if stays else after.get(key)
        if text is not None:
            found[key] = text
    return found


def _texts(current: PublishedState) -> dict[str, str]:
    roles = {ROLES_KEY: current.roles} if current.roles else {}
    return rule_texts(current.rules) | roles
