"""A whole catalog, and the part of it that a bundle carries beside its policies."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from tiergate.model.features import Feature
from tiergate.model.items import Item, ItemKind, ItemStatus, Rollout


class PlansPerSubscription(StrEnum):
    """How many plans one subscription may have at an instant."""

    ONE = "one"
    MANY = "many"


class Ladder(msgspec.Struct, frozen=True):
    """Plans that form a ladder, lowest first: each must give at least what the one below gives."""

    id: str
    plans: tuple[str, ...]


class IndexedItem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An item without its entitlements, which stand in one entity file per version."""

    id: str
    kind: ItemKind
    name: str = ""
    description: str = ""
    versions: tuple[int, ...]
    rollouts: tuple[Rollout, ...]
    available_for: tuple[str, ...] = ()
    depends_on: tuple[str, ...] = ()
    excludes: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    private_to: str = ""
    status: ItemStatus = ItemStatus.ACTIVE


class CatalogIndex(msgspec.Struct, frozen=True):
    """`catalog.json` of a bundle: everything about features and items but the entitlements.

    `plans` is left out where it is the default, so that catalogs of the format before keep their revision.
    """

    features: dict[str, Feature]
    items: dict[str, IndexedItem]
    ladders: tuple[Ladder, ...] = ()
    plans: PlansPerSubscription | msgspec.UnsetType = msgspec.UNSET


class Catalog(msgspec.Struct, frozen=True):
    """Features and items by id, in the order of their ids, so that equal catalogs are equal values."""

    features: dict[str, Feature]
    items: dict[str, Item]
    ladders: tuple[Ladder, ...] = ()
    plans: PlansPerSubscription = PlansPerSubscription.ONE

    def index(self) -> CatalogIndex:
        """Everything but the entitlements."""
        return CatalogIndex(
            self.features,
            {id_: _indexed(item) for id_, item in self.items.items()},
            self.ladders,
            msgspec.UNSET if self.plans is PlansPerSubscription.ONE else self.plans,
        )


def _indexed(item: Item) -> IndexedItem:
    return IndexedItem(
        id=item.id,
        kind=item.kind,
        name=item.name,
        description=item.description,
        versions=tuple(definition.version for definition in item.versions),
        rollouts=item.rollouts,
        available_for=item.available_for,
        depends_on=item.depends_on,
        excludes=item.excludes,
        tags=item.tags,
        private_to=item.private_to,
        status=item.status,
    )


class Rules(msgspec.Struct, frozen=True):
    """The users' own rules as read from a folder: file name without ending → text.

    `policies` from `*.cedar`, `schemas` from `*.cedarschema`, `entities` (Cedar's JSON) from `*.entities.json`.
    """

    policies: dict[str, str] = {}
    schemas: dict[str, str] = {}
    entities: dict[str, str] = {}
