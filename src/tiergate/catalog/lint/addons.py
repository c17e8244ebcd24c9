"""Findings about add-ons and charges that nobody can buy, or that add nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tiergate.catalog.checks.item_references import Holdability
from tiergate.catalog.lint.findings import Finding
from tiergate.catalog.lint.granted_amounts import Grant, is_at_most
from tiergate.model import Combine, Feature, FeatureType, ItemKind, ItemStatus

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tiergate.catalog.lint.granted_amounts import Granted
    from tiergate.model import Catalog, Item

_STATUSES = {ItemStatus.DRAFT: "a draft", ItemStatus.ARCHIVED: "archived"}


def lint_addons(catalog: Catalog, granted: Granted) -> Iterator[Finding]:
    """Check add-ons and charges against the plans that they can be bought with."""
    plans = [item for item in catalog.items.values() if item.kind is ItemKind.PLAN]
    if not plans:
        return
    holdability = Holdability(catalog.items)
    sold = frozenset(item.id for item in catalog.items.values() if item.rollouts and item.status is ItemStatus.ACTIVE)
    for item in catalog.items.values():
        if item.id not in sold:
            continue
        unsold = holdability.needs(item.id) - sold
        if unsold:
            needed = catalog.items[min(unsold)]
            reason = (
                "is rolled out to nobody" if needed.status is ItemStatus.ACTIVE else f"is {_STATUSES[needed.status]}"
            )
            message = f"nobody can buy `{item.id}`: it depends on `{needed.id}`, which {reason}"
            code = "plan-not-sellable" if item.kind is ItemKind.PLAN else "add-on-not-sellable"
            yield Finding(("item", item.id), code, message)
            continue
        if item.kind is ItemKind.PLAN:
            continue
        candidates = item.available_for or tuple(plan.id for plan in plans)
        buyers = [plan for plan in candidates if holdability.needs(plan) <= sold and holdability.goes_with(item, plan)]
        if not buyers:
            message = f"nobody can buy `{item.id}`: none of its plans is active and rolled out"
            yield Finding(("item", item.id), "add-on-not-sellable", message)
        elif item.kind is ItemKind.ADDON:
            yield from _effect(item, buyers, granted, catalog)


def _effect(
    item: Item,
    buyers: list[str],
    granted: Granted,
    catalog: Catalog,
) -> Iterator[Finding]:
    """Check whether the add-on gives more than each plan alone."""
    own = granted[item.id]
    if not own:
        return
    idle = [
        plan
        for plan in buyers
        if not any(_counts(result, granted[plan].get(id_), catalog.features[id_]) for id_, result in own.items())
    ]
    if len(idle) == len(buyers):
        message = f"`{item.id}` adds nothing: each of its plans already gives all of it"
        yield Finding(("item", item.id), "add-on-without-effect", message)
    elif idle and item.available_for:
        listed = ", ".join(f"`{plan}`" for plan in idle[:5]) + (f" and {len(idle) - 5} more" if len(idle) > 5 else "")
        message = f"`{item.id}` is available for {listed}, but adds nothing to these plans"
        yield Finding(("item", item.id), "add-on-without-effect", message)


def _counts(added: Grant, held: Grant | None, feature: Feature) -> bool:
    """Return whether `added` changes the value of a customer with `held`."""
    if held is None:
        return True
    if held.is_unlimited or (feature.maximum is not None and held.size >= feature.maximum):
        return False
    is_number = feature.type in (FeatureType.QUANTITY, FeatureType.RANGE)
    is_summed = added.adds or (is_number and feature.combine is Combine.SUM)
    return is_summed or not is_at_most(added, held)
