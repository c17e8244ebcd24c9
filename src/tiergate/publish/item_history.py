"""The versions that an item ever had, and the pins of subscriptions to them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tiergate.store.publications import versions
from tiergate.store.references import pinned_versions

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from tiergate.model import Definition, Item
    from tiergate.store import ReadUnit


@dataclass(frozen=True, slots=True)
class ItemHistory:
    """All published versions of an item, by number, and the numbers of those that subscriptions are pinned to."""

    versions: Mapping[int, Definition] = field(default_factory=dict)
    pins: frozenset[int] = frozenset()

    def versions_with(self, item: Item | None) -> dict[int, Definition]:
        """Return all versions, including those of the item as it is."""
        return {**self.versions, **({} if item is None else {it.version: it for it in item.versions})}


def read_item_history(unit: ReadUnit, items: Collection[str]) -> dict[str, ItemHistory]:
    """Return the history of each item."""
    known, pins = versions(unit.session, items), pinned_versions(unit.session, items)
    return {id_: ItemHistory(known[id_], pins[id_]) for id_ in items}
