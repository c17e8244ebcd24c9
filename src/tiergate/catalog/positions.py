"""The positions of a catalog's parts in its files, so that later stages can name the author's line."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Mapping as ReadOnly
from typing import TYPE_CHECKING

from tiergate.catalog.reading.document import Mapping, Position, SourceText

if TYPE_CHECKING:
    from tiergate.catalog.entries.items import ItemText

_Key = tuple[str | int, ...]


class CatalogPositions(ReadOnly[_Key, Position]):
    """A mapping to (file, line, column), which counts lines only on access.

    Keys: `("feature", id)`, `("item", id)`, `("item", id, version)` (the start of its entitlements),
    `("item", id, version, feature)` and `("ladder", id)`.
    """

    def __init__(self) -> None:
        self._places: dict[_Key, tuple[SourceText, int]] = {}
        self._entitlements: dict[tuple[str, int], tuple[SourceText, Mapping]] = {}

    def put(self, key: _Key, source: SourceText, place: int) -> None:
        """Store one place."""
        self._places[key] = (source, place)

    def put_item(self, text: ItemText) -> None:
        """Store the places of an item, its versions and their entitlements."""
        id_, source = text.item.id, text.report.source
        self.put(("item", id_), source, text.place)
        for version, (place, mapping) in text.definitions.items():
            self.put(("item", id_, version), source, place)
            if mapping is not None:
                self._entitlements[id_, version] = (source, mapping)

    def find(self, *key: str | int) -> Position | None:
        """Return the position of `key`, or of the closest enclosing element that has one."""
        while key:
            result = self.get(key)
            if result is not None:
                return result
            key = key[:-1]
        return None

    def __getitem__(self, key: _Key) -> Position:
        if key in self._places:
            source, place = self._places[key]
            return source.position(place)
        if len(key) == 4 and key[0] == "item":
            _, id_, version, feature = key
            if isinstance(id_, str) and isinstance(version, int) and isinstance(feature, str):
                source, mapping = self._entitlements[id_, version]
                return source.position(mapping.value_place(feature))
        raise KeyError(key)

    def __iter__(self) -> Iterator[_Key]:
        yield from self._places
        for (id_, version), (_, mapping) in self._entitlements.items():
            for feature in mapping.entries:
                yield ("item", id_, version, feature)

    def __len__(self) -> int:
        return len(self._places) + sum(len(mapping.entries) for _, mapping in self._entitlements.values())
