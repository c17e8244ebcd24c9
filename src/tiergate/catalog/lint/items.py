"""Findings about items that give nothing or the same, and about ids that are easy to confuse."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tiergate.catalog.lint.findings import Finding
from tiergate.model import ItemKind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from tiergate.catalog.lint.granted_amounts import Granted
    from tiergate.catalog.reading.document import Position
    from tiergate.model import Catalog, Item


def lint_items(catalog: Catalog, granted: Granted, place: Callable[[str], Position]) -> Iterator[Finding]:
    """Check single items; `place` returns the position of an item."""
    same: dict[tuple[object, ...], list[Item]] = {}
    for item in sorted(catalog.items.values(), key=lambda item: place(item.id)):
        own = granted[item.id]
        if own:
            promised = tuple(item.service_levels.items())
            yield from _same(item, same.setdefault((item.kind, frozenset(own.items()), promised), []))
        elif item.kind is not ItemKind.CHARGE:
            yield Finding(("item", item.id), "gives-nothing", f"`{item.id}` gives nothing")
    yield from _alike("feature", catalog.features)
    yield from _alike("item", catalog.items)


def _same(item: Item, before: list[Item]) -> Iterator[Finding]:
    """Report the first earlier item that gives the same."""
    for other in before:
        if _have_buyers_in_common(item, other):
            message = f"`{item.id}` gives the same as `{other.id}`"
            yield Finding(("item", item.id), "same-entitlements", message)
            break
    before.append(item)


def _have_buyers_in_common(one: Item, other: Item) -> bool:
    """Return whether both can be bought with one plan; an add-on per plan is not a duplicate."""
    return (
        not one.available_for or not other.available_for or not set(one.available_for).isdisjoint(other.available_for)
    )


def _alike(kind: str, ids: Iterable[str]) -> Iterator[Finding]:
    first: dict[str, str] = {}
    for id_ in ids:
        other = first.setdefault(id_.casefold(), id_)
        if other != id_:
            message = f"the {kind}s `{other}` and `{id_}` differ by upper and lower case only"
            yield Finding((kind, id_), "ids-differ-by-case", message)
