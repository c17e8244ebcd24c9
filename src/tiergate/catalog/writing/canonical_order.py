"""Sort the parts of a catalog that have no order of their own, so that equal catalogs are equal values."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from msgspec.structs import replace

from tiergate.model import Catalog, Definition, Feature, Item

if TYPE_CHECKING:
    from collections.abc import Mapping

_Entry = TypeVar("_Entry")


def sort_catalog(catalog: Catalog) -> Catalog:
    """Return the catalog in the loader's order.

    Sorts features, items, versions, entitlements and ladders by id or number, and tags, suspensions and references.
    Levels, rollouts and the plans of a ladder keep their order, which has a meaning.
    """
    return Catalog(
        _by_id({id_: _feature(feature) for id_, feature in catalog.features.items()}),
        _by_id({id_: _item(item) for id_, item in catalog.items.items()}),
        tuple(sorted(catalog.ladders, key=lambda ladder: ladder.id)),
        catalog.plans,
    )


def _by_id(entries: Mapping[str, _Entry]) -> dict[str, _Entry]:
    return {id_: entries[id_] for id_ in sorted(entries)}


def _feature(feature: Feature) -> Feature:
    suspensions = sorted(feature.suspensions, key=lambda entry: (entry.start, entry.until, entry.reason))
    return replace(
        feature,
        tags=tuple(sorted(feature.tags)),
        linked=tuple(sorted(feature.linked)),
        suspensions=tuple(suspensions),
    )


def _item(item: Item) -> Item:
    versions = sorted(item.versions, key=lambda definition: definition.version)
    return replace(
        item,
        versions=tuple(Definition(version.version, _by_id(version.entitlements)) for version in versions),
        available_for=tuple(sorted(item.available_for)),
        depends_on=tuple(sorted(item.depends_on)),
        excludes=tuple(sorted(item.excludes)),
        tags=tuple(sorted(item.tags)),
        service_levels=_by_id(item.service_levels),
    )
