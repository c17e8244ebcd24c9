"""The published state, and the pending edits: what in the working state is not published yet. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from msgspec.structs import replace

from tiergate.model import ItemStatus
from tiergate.publish.rollouts import current_version

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tiergate.model import Catalog, Feature, Instant, Item, Rules, Value
    from tiergate.store.policy_files import PolicyFile
    from tiergate.store.working_catalog import WorkingItem, WorkingState


class PublishedState(NamedTuple):
    """The whole content of a publication. `roles`: empty if they are the shipped ones."""

    sequence: int
    revision: str
    catalog: Catalog
    rules: Rules
    roles: str


class FeatureEdit(NamedTuple):
    """A feature that differs from the published one; `None`: it was deleted."""

    new: Feature | None
    etag: int | None


class FileEdit(NamedTuple):
    """A file of the rules, or the roles, that differs from the published one; `None`: it was deleted."""

    text: str | None
    etag: int | None


@dataclass(frozen=True, slots=True)
class PendingEdits:
    """All that is not published yet, by id; rules by kind and name (`policies/eu`).

    `items`: as edited; `None`: it was deleted. `idle`: unpublished items that have no draft, or the status of a draft;
    they are published only if they are selected. `known`: everything that exists, as `features/seats`.
    """

    features: Mapping[str, FeatureEdit]
    items: Mapping[str, WorkingItem | None]
    idle: Mapping[str, WorkingItem]
    rules: Mapping[str, FileEdit]
    roles: FileEdit | None
    known: frozenset[str]


def current_entitlements(item: Item | None, now: Instant) -> Mapping[str, Value] | None:
    """Return what a published item gives new customers now (`current_version`); `None` if it gives nothing."""
    if item is None:
        return None
    version = current_version(item.rollouts, now)
    return next((it.entitlements for it in item.versions if it.version == version), None)


def is_pending_draft(draft: Mapping[str, Value] | None, published: Item | None, now: Instant) -> bool:
    """Return whether an item's draft differs from what it gives now: whether publishing it would change that."""
    return draft is not None and draft != current_entitlements(published, now)


def find_pending_edits(
    current: PublishedState,
    working: WorkingState,
    files: Iterable[PolicyFile],
    now: Instant,
) -> PendingEdits:
    """Compare the working state with what is published, and drafts with what items give at `now`."""
    catalog = current.catalog
    features = {
        id_: FeatureEdit(known.feature, known.etag)
        for id_, known in working.features.items()
        if catalog.features.get(id_) != known.feature
    }
    features |= {id_: FeatureEdit(None, None) for id_ in catalog.features.keys() - working.features.keys()}
    items: dict[str, WorkingItem | None] = dict.fromkeys(catalog.items.keys() - working.items.keys())
    idle: dict[str, WorkingItem] = {}
    for id_, item in working.items.items():
        published = catalog.items.get(id_)
        has_draft = is_pending_draft(item.draft, published, now)
        if published is None and item.item.status is ItemStatus.DRAFT:
            idle[id_] = item
        elif has_draft or (published is not None and _published_part(published) != _published_part(item.item)):
            items[id_] = item
        elif published is None:
            idle[id_] = item
    texts = {file.key: file for file in files}
    roles = texts.pop("roles/roles", None)
    published_texts = rule_texts(current.rules)
    rules = {
        key: FileEdit(file.text, file.etag) for key, file in texts.items() if published_texts.get(key) != file.text
    }
    rules |= {key: FileEdit(None, None) for key in published_texts.keys() - texts.keys()}
    new_roles = FileEdit("", None) if roles is None else FileEdit(roles.text, roles.etag)
    known = {
        *(f"features/{id_}" for id_ in (*catalog.features, *working.features)),
        *(f"items/{id_}" for id_ in (*catalog.items, *working.items)),
        *(f"rules/{key}" for key in (*published_texts, *texts)),
    }
    return PendingEdits(
        features,
        items,
        idle,
        rules,
        None if new_roles.text == current.roles else new_roles,
        frozenset(known),
    )


def item_head(item: Item) -> Item:
    """Return an item without its versions and rollouts: the part that is edited directly."""
    return replace(item, versions=(), rollouts=())


def _published_part(item: Item) -> Item:
    """Return the part of an item that only a publication changes: metadata changes immediately."""
    return replace(item_head(item), metadata={})


def rule_texts(rules: Rules) -> dict[str, str]:
    """Return the text of each file of the rules, by kind and name."""
    kinds = (("policies", rules.policies), ("schemas", rules.schemas), ("entities", rules.entities))
    return {f"{kind}/{name}": text for kind, texts in kinds for name, text in texts.items()}
