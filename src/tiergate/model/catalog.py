"""A whole catalog, and the part of it that a bundle carries next to its policies."""

from __future__ import annotations

from enum import StrEnum

import msgspec
from msgspec.structs import replace

from tiergate.model.features import Feature
from tiergate.model.items import Item, ItemHeader


class PlansPerSubscription(StrEnum):
    """How many plans one subscription may have at the same time."""

    ONE = "one"
    MANY = "many"


class Ladder(msgspec.Struct, frozen=True):
    """Plans in order, lowest first: each must give at least what the one below gives."""

    id: str
    plans: tuple[str, ...]


class IndexedItem(ItemHeader, frozen=True, kw_only=True, omit_defaults=True):
    """An item without its entitlements, which are in one entity file per version."""

    versions: tuple[int, ...]


class CatalogIndex(msgspec.Struct, frozen=True):
    """`catalog.json` of a bundle: all about features and items except the entitlements.

    `plans` is unset for the default, so catalogs of the earlier format keep their revision. `latencies`: feature id →
    the latencies in milliseconds that service levels promise of it, ascending; unset if none does.
    """

    features: dict[str, Feature]
    items: dict[str, IndexedItem]
    ladders: tuple[Ladder, ...] = ()
    plans: PlansPerSubscription | msgspec.UnsetType = msgspec.UNSET
    latencies: dict[str, tuple[int, ...]] | msgspec.UnsetType = msgspec.UNSET

    def latencies_of(self, feature: str) -> tuple[int, ...]:
        """Return the latencies in milliseconds that are promised of a feature, ascending; empty if there is none."""
        return () if self.latencies is msgspec.UNSET else self.latencies.get(feature, ())


class Catalog(msgspec.Struct, frozen=True):
    """Features and items by id, in the order of their ids, so that equal catalogs are equal values."""

    features: dict[str, Feature]
    items: dict[str, Item]
    ladders: tuple[Ladder, ...] = ()
    plans: PlansPerSubscription = PlansPerSubscription.ONE

    def index(self) -> CatalogIndex:
        """Return everything but the entitlements and the service levels, in the order of the ids."""
        return CatalogIndex(
            {id_: _indexed_feature(feature) for id_, feature in sorted(self.features.items())},
            {id_: _indexed(item) for id_, item in sorted(self.items.items())},
            self.ladders,
            msgspec.UNSET if self.plans is PlansPerSubscription.ONE else self.plans,
            self._latencies() or msgspec.UNSET,
        )

    def _latencies(self) -> dict[str, tuple[int, ...]]:
        found = {
            id_: {feature.service_level.latency_ms}
            for id_, feature in self.features.items()
            if feature.service_level is not None
        }
        for item in self.items.values():
            for id_, own in item.service_levels.items():
                found.setdefault(id_, set()).add(own.latency_ms)
        promised = {id_: tuple(sorted(it for it in latencies if it is not None)) for id_, latencies in found.items()}
        return {id_: promised[id_] for id_ in sorted(promised) if promised[id_]}


def _indexed_feature(feature: Feature) -> Feature:
    return feature if feature.service_level is None else replace(feature, service_level=None)


def _indexed(item: Item) -> IndexedItem:
    header = {name: getattr(item, name) for name in ItemHeader.__struct_fields__}
    return IndexedItem(**header, versions=tuple(sorted(definition.version for definition in item.versions)))


class Rules(msgspec.Struct, frozen=True):
    """The users' own rules from a folder: file name without suffix → text.

    `policies` from `*.cedar`, `schemas` from `*.cedarschema`, `entities` (Cedar's JSON) from `*.entities.json`.
    """

    policies: dict[str, str] = {}
    schemas: dict[str, str] = {}
    entities: dict[str, str] = {}
