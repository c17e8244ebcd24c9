"""Findings about switches and their linked limits."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from tiergate.catalog.lint.findings import Finding
from tiergate.catalog.lint.granted_amounts import granted_amount
from tiergate.model import AddedAmount, Amount, FeatureStatus, FeatureType, ItemKind, Switch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tiergate.model import Catalog, Definition, Item


def lint_linked(catalog: Catalog) -> Iterator[Finding]:
    """Check limits of zero, or missing limits, of features with a linked switch."""
    limits = _limits(catalog)
    if not limits:
        return
    for item in catalog.items.values():
        for definition in item.versions:
            for switch, linked in limits.items():
                if definition.entitlements.get(switch) == Switch(True):
                    yield from _beside(switch, linked, item, definition, catalog)


def _limits(catalog: Catalog) -> dict[str, list[str]]:
    """Return switch → its linked limits; either of the two may name the other."""
    result: defaultdict[str, set[str]] = defaultdict(set)
    for feature in catalog.features.values():
        for other in feature.linked:
            for switch, limit in ((feature, catalog.features[other]), (catalog.features[other], feature)):
                is_limit = limit.type in (FeatureType.QUANTITY, FeatureType.RANGE)
                if switch.type is FeatureType.SWITCH and is_limit and limit.status is not FeatureStatus.DRAFT:
                    result[switch.id].add(limit.id)
    return {switch: sorted(result[switch]) for switch in sorted(result)}


def _beside(switch: str, linked: list[str], item: Item, definition: Definition, catalog: Catalog) -> Iterator[Finding]:
    for id_ in linked:
        value = definition.entitlements.get(id_)
        if isinstance(value, Amount | AddedAmount) and not value.units:
            message = f"`{item.id}` gives `{switch}`, but its linked limit `{id_}` is 0"
            yield Finding(("item", item.id, definition.version, id_), "linked-limit-zero", message)
    nothing = all(granted_amount(definition.entitlements.get(id_), catalog.features[id_]) is None for id_ in linked)
    named = any(id_ in definition.entitlements for id_ in linked)
    if item.kind is ItemKind.PLAN and nothing and not named:
        listed = ", ".join(f"`{id_}`" for id_ in linked)
        message = f"`{item.id}` gives `{switch}`, but no linked limit: {listed}"
        yield Finding(("item", item.id, definition.version, switch), "linked-limit-missing", message)
