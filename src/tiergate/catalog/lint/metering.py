"""Findings about metered features, what they draw on, and limits of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tiergate.catalog.lint.findings import Finding
from tiergate.catalog.lint.granted_amounts import current_definition
from tiergate.model import (
    Amount,
    CalendarUnit,
    FeatureStatus,
    ItemKind,
    LimitKind,
    MeteredAmount,
    WindowAnchor,
    format_units,
    format_value,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tiergate.catalog.lint.granted_amounts import Granted
    from tiergate.model import Catalog, Feature, Item, Metered, Value


def lint_metering(catalog: Catalog, granted: Granted) -> Iterator[Finding]:
    """Check settings of metered features that do nothing, and plans whose features cannot be paid for."""
    for feature in catalog.features.values():
        yield from _settings(feature, catalog)
    given = {id_ for grants in granted.values() for id_ in grants}
    for item in catalog.items.values():
        definition = current_definition(item)
        for id_, value in definition.entitlements.items():
            message = _limit(item, value, catalog.features[id_])
            if message:
                yield Finding(("item", item.id, definition.version, id_), *message)
        if item.kind is ItemKind.PLAN:
            yield from _draws(item, catalog, granted, given)


def _settings(feature: Feature, catalog: Catalog) -> Iterator[Finding]:
    key, metered = ("feature", feature.id), feature.metered
    if metered is not None and metered.timezone != "UTC" and _is_real_time(metered):
        message = "the time zone has no effect: hours have the same length everywhere"
        yield Finding(key, "time-zone-without-effect", message)
    if metered is not None and metered.limit is LimitKind.HARD:
        above = [threshold.key for threshold in metered.thresholds if (threshold.percent or 0) > 100]
        if above and not _is_ever_soft(feature.id, catalog):
            message = f"usage passes `{above[0]}` of a hard limit only when the limit falls, or by late usage"
            yield Finding(key, "threshold-above-hard-limit", message)
    if feature.draws is None or feature.status is FeatureStatus.DRAFT:
        return
    if catalog.features[feature.draws.source].status is FeatureStatus.DRAFT:
        message = f"`{feature.id}` draws on `{feature.draws.source}`, which is a draft: nothing of it can be used"
        yield Finding(key, "draws-on-draft", message)


def _is_ever_soft(feature: str, catalog: Catalog) -> bool:
    values = (current_definition(item).entitlements.get(feature) for item in catalog.items.values())
    return any(isinstance(value, MeteredAmount) and value.limit is LimitKind.SOFT for value in values)


def _is_real_time(metered: Metered) -> bool:
    """Return whether windows have the same boundaries in every time zone."""
    return metered.reset is CalendarUnit.HOUR and metered.anchor is not WindowAnchor.CALENDAR


def _limit(item: Item, value: Value, feature: Feature) -> tuple[str, str] | None:
    """Return the code and message about a limit of its own that says nothing new, or is above nothing."""
    metered = feature.metered
    if not isinstance(value, MeteredAmount) or metered is None:
        return None
    shown = format_value(value, feature.scale)
    if value.limit is LimitKind.SOFT and not value.units:
        message = f"`{item.id}` gives `{shown}` of `{feature.id}`: an entitlement of 0 grants nothing, also above it"
        return "soft-limit-zero", message
    if (value.limit, value.overage_max) == (metered.limit, metered.overage_max):
        return "limit-repeated", f"`{item.id}` gives `{shown}` of `{feature.id}`, whose limit is so already"
    return None


def _draws(plan: Item, catalog: Catalog, granted: Granted, given: set[str]) -> Iterator[Finding]:
    """Check that what a plan's features draw on is there, and enough for once."""
    definition, grants = current_definition(plan), granted[plan.id]
    for id_ in grants:
        feature = catalog.features[id_]
        draws = feature.draws
        if draws is None or draws.source not in given:
            continue  # a source that nothing gives is `feature-not-given`
        key = ("item", plan.id, definition.version, id_)
        grant = grants.get(draws.source)
        if grant is None:
            others = _beside(plan, draws.source, catalog, granted)
            if not others:
                message = f"`{plan.id}` gives `{id_}`, but nothing of `{draws.source}`, which that draws on"
                yield Finding(key, "source-missing", message)
            continue
        source, value = catalog.features[draws.source], definition.entitlements[draws.source]
        least = feature.batch.minimum or feature.batch.increment or 1
        cost = -(-least * draws.cost // 10**feature.scale)
        if type(value) in (Amount, MeteredAmount) and grant.size + grant.overage < cost:
            has, needs = (format_units(units, source.scale) for units in (grant.size, cost))
            message = f"`{plan.id}` gives {has} of `{draws.source}`, but the least use of `{id_}` costs {needs}"
            yield Finding(key, "source-below-cost", message)


def _beside(plan: Item, feature: str, catalog: Catalog, granted: Granted) -> bool:
    """Return whether an item that can be bought with a plan gives a feature."""
    return any(
        feature in granted[item.id] and (not item.available_for or plan.id in item.available_for)
        for item in catalog.items.values()
        if item.kind is not ItemKind.PLAN
    )
