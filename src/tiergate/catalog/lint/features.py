"""Findings about single features."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tiergate.catalog.lint.findings import Finding
from tiergate.catalog.lint.grants import grant
from tiergate.model import FeatureStatus, format_units

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tiergate.model import Catalog, Feature

__all__ = ["lint_features"]


def lint_features(catalog: Catalog) -> Iterator[Finding]:
    """Features that nobody gives, and settings of a feature that work against each other."""
    granted = _granted(catalog)
    for feature in catalog.features.values():
        key = ("feature", feature.id)
        if feature.status is FeatureStatus.ACTIVE and feature.id not in granted:
            yield Finding(key, "feature-not-given", f"no item gives `{feature.id}`")
        yield from _batch(feature)
        caps = feature.caps
        if caps.total is not None and caps.per_user is not None and caps.per_user > caps.total:
            yield Finding(key, "cap-without-effect", "the cap for each user is above the cap for everybody together")


def _granted(catalog: Catalog) -> set[str]:
    """The features that some version of some item grants."""
    found: set[str] = set()
    for item in catalog.items.values():
        for definition in item.versions:
            for id_, value in definition.entitlements.items():
                if id_ not in found and grant(value, catalog.features[id_]) is not None:
                    found.add(id_)
    return found


def _batch(feature: Feature) -> Iterator[Finding]:
    minimum, increment = feature.batch.minimum, feature.batch.increment
    if minimum is not None and increment is not None and minimum % increment:
        shown = format_units(minimum, feature.scale), format_units(increment, feature.scale)
        next_up = format_units(-(-minimum // increment) * increment, feature.scale)
        message = (
            f"the minimum amount {shown[0]} is not a multiple of {shown[1]}: the least that can be taken is {next_up}"
        )
        yield Finding(("feature", feature.id), "batch-below-increment", message)
