"""What is published, and what of the working state is not yet. Pure: both states come in."""

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
    """What a publication fixed: all of it. The roles are empty where they are those that are shipped."""

    sequence: int
    revision: str
    catalog: Catalog
    rules: Rules
    roles: str


class FeatureEdit(NamedTuple):
    """A feature that is another one than is published; none where it is not there any more."""

    new: Feature | None
    etag: int | None


class FileEdit(NamedTuple):
    """A file of the rules, or the roles, that is another one than is published; none where it is not there any more."""

    text: str | None
    etag: int | None


@dataclass(frozen=True, slots=True)
class PendingEdits:
    """All that is not published yet, by id; rules by kind and name (`policies/eu`).

    `items`: as edited, none where it is not there any more. `idle`: items that are not in the published catalog and
    have no draft, or the status of one; they are published only when they are named. `known`: everything that there
    is, as `feature/seats`.
    """

    features: Mapping[str, FeatureEdit]
    items: Mapping[str, WorkingItem | None]
    idle: Mapping[str, WorkingItem]
    rules: Mapping[str, FileEdit]
    roles: FileEdit | None
    known: frozenset[str]


def current_entitlements(item: Item | None, now: Instant) -> Mapping[str, Value] | None:
    """What a published item gives to whoever comes now (`current_version`); none where nobody gets anything of it."""
    if item is None:
        return None
    version = current_version(item.rollouts, now)
    return next((it.entitlements for it in item.versions if it.version == version), None)


def is_pending_draft(draft: Mapping[str, Value] | None, published: Item | None, now: Instant) -> bool:
    """Say whether publishing an item would change what it gives: whether its draft is other than what is given now."""
    return draft is not None and draft != current_entitlements(published, now)


def find_pending_edits(
    current: PublishedState,
    working: WorkingState,
    files: Iterable[PolicyFile],
    now: Instant,
) -> PendingEdits:
    """Compare the working state with what is published, and drafts with what is given at `now`."""
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
    """An item without its versions and rollouts: what is edited as metadata."""
    return replace(item, versions=(), rollouts=())


def _published_part(item: Item) -> Item:
    """What of an item only a publication changes: its metadata is said at once."""
    return replace(item_head(item), metadata={})


def rule_texts(rules: Rules) -> dict[str, str]:
    """All files of the rules, by kind and name."""
    kinds = (("policies", rules.policies), ("schemas", rules.schemas), ("entities", rules.entities))
    return {f"{kind}/{name}": text for kind, texts in kinds for name, text in texts.items()}
