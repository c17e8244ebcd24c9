"""Export a catalog as a file, for repositories and other stores."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from tiergate.catalog import dump_catalog

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Literal

    from tiergate.model import Catalog, Item


def export_catalog(catalog: Catalog, *, private: bool = False, form: Literal["yaml", "json"] = "yaml") -> str:
    """Return the file of a catalog; `private`: include the items private to a customer, and what needs them."""
    return dump_catalog(catalog if private else omit_private_items(catalog), form)


def omit_private_items(catalog: Catalog) -> Catalog:
    """Return a catalog without the items private to a customer, and without those that need one of them."""
    items: Mapping[str, Item] = catalog.items
    while hidden := {id_ for id_, item in items.items() if _is_hidden(item, items)}:
        items = {id_: item for id_, item in items.items() if id_ not in hidden}
    public = {
        id_: replace(
            item,
            available_for=tuple(it for it in item.available_for if it in items),
            excludes=tuple(it for it in item.excludes if it in items),
        )
        for id_, item in items.items()
    }
    return replace(catalog, items=public)


def _is_hidden(item: Item, items: Mapping[str, Item]) -> bool:
    return bool(
        item.private_to
        or not items.keys() >= set(item.depends_on)
        or (item.available_for and items.keys().isdisjoint(item.available_for))
    )
