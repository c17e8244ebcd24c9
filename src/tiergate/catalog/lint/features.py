"""Findings about single features."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tiergate.catalog.lint.findings import Finding
from tiergate.catalog.lint.granted_amounts import current_definition, granted_amount
from tiergate.model import Amount, Combine, FeatureStatus, FeatureType, ItemKind, Per, format_units

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tiergate.model import Catalog, Feature


def lint_features(catalog: Catalog) -> Iterator[Finding]:
    """Check features that no item gives, and settings of a feature that conflict."""
    granted = _granted(catalog)
    for feature in catalog.features.values():
        key = ("feature", feature.id)
        if feature.status is FeatureStatus.ACTIVE and feature.id not in granted:
            yield Finding(key, "feature-not-given", f"no item gives `{feature.id}`")
        yield from _batch(feature)
        caps = feature.caps
        if caps.total is not None and caps.per_user is not None and caps.per_user > caps.total:
            yield Finding(key, "cap-without-effect", "the cap per user is above the total cap")
    yield from _summed_ranges(catalog)


def _summed_ranges(catalog: Catalog) -> Iterator[Finding]:
    """Check ranges with `combine: sum` in a plan: two plans, or two seats, give twice the value."""
    for feature in catalog.features.values():
        if feature.type is not FeatureType.RANGE or feature.combine is not Combine.SUM:
            continue
        for item in catalog.items.values():
            value = (
                current_definition(item).entitlements.get(feature.id)
                if item.kind is ItemKind.PLAN and item.versions
                else None
            )
            if isinstance(value, Amount) and value.per is not Per.SUBSCRIPTION and value.units:
                message = (
                    f"values of `{feature.id}` are added and multiplied: a quantity of 2 of `{item.id}` gives twice "
                    f"{format_units(value.units, feature.scale)}"
                )
                yield Finding(("feature", feature.id), "range-summed", message)
                break


def _granted(catalog: Catalog) -> set[str]:
    result: set[str] = set()
    for item in catalog.items.values():
        for definition in item.versions:
            for id_, value in definition.entitlements.items():
                if id_ not in result and granted_amount(value, catalog.features[id_]) is not None:
                    result.add(id_)
    return result


def _batch(feature: Feature) -> Iterator[Finding]:
    minimum, increment = feature.batch.minimum, feature.batch.increment
    if minimum is not None and increment is not None and minimum % increment:
        shown = format_units(minimum, feature.scale), format_units(increment, feature.scale)
        next_up = format_units(-(-minimum // increment) * increment, feature.scale)
        message = f"the minimum amount {shown[0]} is not a multiple of {shown[1]}: the smallest amount is {next_up}"
        yield Finding(("feature", feature.id), "batch-below-increment", message)
