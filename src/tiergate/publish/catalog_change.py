"""A change from one catalog to another, as the validators of a publication see it, and where problems are reported."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple

from tiergate.model import Problem

if TYPE_CHECKING:
    from tiergate.model import Catalog
    from tiergate.store import ReadUnit


_Key = tuple[str | int, ...]
_Position = tuple[str, int, int]


class SourcePositions(Mapping[_Key, _Position]):
    """A mapping from keys, as in `compiler.Positions`, to (file, line, column). It has every key.

    A part that is in no file has a path such as `items/gold/versions/3/movies` in place of the file, and no line.
    """

    def __init__(self, files: Mapping[_Key, _Position] | None = None) -> None:
        self._files = {} if files is None else files

    def __getitem__(self, key: _Key) -> _Position:
        for length in range(len(key), 1, -1):
            if key[:length] in self._files:
                return self._files[key[:length]]
        kind, id_, *rest = (str(part) for part in key)
        inner = ("versions", *rest) if kind == "item" and rest else rest
        return "/".join((f"{kind}s", id_, *inner)), 0, 0

    def __iter__(self) -> Iterator[_Key]:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)

    def __contains__(self, key: object) -> bool:
        return isinstance(key, tuple) and len(key) > 1

    def problem(self, key: _Key, code: str, message: str) -> Problem:
        """Return a problem at the position of `key`."""
        return Problem(*self[key], code, message)


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
