"""A change from one catalog to another, as the validators of a publication see it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tiergate.model import Catalog, Problem
    from tiergate.publish.source_positions import SourcePositions
    from tiergate.store import ReadUnit


class CatalogChange(NamedTuple):
    """Both catalogs, the ids of the features and items that differ, and where problems are reported."""

    unit: ReadUnit
    old: Catalog
    new: Catalog
    features: frozenset[str]
    items: frozenset[str]
    positions: SourcePositions

    @classmethod
    def between(cls, unit: ReadUnit, old: Catalog, new: Catalog, positions: SourcePositions) -> CatalogChange:
        """Compare two catalogs."""
        return cls(
            unit, old, new, differing_ids(old.features, new.features), differing_ids(old.items, new.items), positions
        )

    def problem(self, key: tuple[str | int, ...], code: str, message: str) -> Problem:
        """Return a problem at the position of `key`."""
        return self.positions.problem(key, code, message)


def differing_ids(old: Mapping[str, object], new: Mapping[str, object]) -> frozenset[str]:
    """Return the ids of entries that differ, or exist on one side only."""
    ids = old.keys() | new.keys()
    return frozenset(id_ for id_ in ids if old.get(id_) is not new.get(id_) and old.get(id_) != new.get(id_))
