"""Check what the compiler needs of a catalog, whatever its origin.

A loaded file or a store has been checked more thoroughly, in its author's terms. These checks are the compiler's own
proof that no policy text can differ from the catalog.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from tiergate.compiler.metering_checks import find_limit_fault, find_metering_faults
from tiergate.compiler.suggestions import Suggestions
from tiergate.model import (
    MAX_SCALE,
    AddedAmount,
    Amount,
    FeatureType,
    Level,
    MeteredAmount,
    Problem,
    Switch,
    Unlimited,
)
from tiergate.model.amounts import MAX_EDGE_UNITS
from tiergate.naming import ID_RULE, is_id, item_policies_path, item_ref, version_ref

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tiergate.model import Catalog, Definition, Feature, Item, Value

Positions = Mapping[tuple[str | int, ...], tuple[str, int, int]]
"""Positions in the author's files: file, line and column by ("feature", id), ("item", id), ("item", id, version) and
("item", id, version, feature).
"""

_SURROGATE = re.compile("[\ud800-\udfff]")
_NUMBERS = frozenset({FeatureType.QUANTITY, FeatureType.RANGE})
_FITTING: dict[type, frozenset[FeatureType]] = {
    Switch: frozenset({FeatureType.SWITCH}),
    Level: frozenset({FeatureType.CUSTOM}),
    Amount: _NUMBERS,
    MeteredAmount: frozenset({FeatureType.QUANTITY}),
    AddedAmount: _NUMBERS,
    Unlimited: _NUMBERS,
}


def problem_at(
    positions: Positions, key: tuple[str | int, ...], code: str, message: str, suggestion: str | None = None
) -> Problem:
    """Return a problem at the position of `key`, or of the closest enclosing element that has one."""
    for length in range(len(key), 1, -1):
        if key[:length] in positions:
            return Problem(*positions[key[:length]], code, message, suggestion=suggestion or "")
    return Problem("catalog", 0, 0, code, message, suggestion=suggestion or "")


def find_catalog_problems(catalog: Catalog, positions: Positions, *, proved: Collection[str] = ()) -> list[Problem]:
    """Return all problems that prevent compiling this catalog, sorted by position.

    `proved`: the policy files of item versions whose entitlements an earlier compilation checked.
    """
    result = [*_feature_problems(catalog, positions), *_item_problems(catalog, positions, proved)]
    return sorted(set(result))


def _feature_problems(catalog: Catalog, positions: Positions) -> Iterator[Problem]:
    for key, feature in catalog.features.items():
        for message in _feature_faults(key, feature):
            yield problem_at(positions, ("feature", key), "invalid-feature", f"feature `{key}` {message}")
        for message in find_metering_faults(feature, catalog.features):
            yield problem_at(positions, ("feature", key), "invalid-metering", f"feature `{key}` {message}")


def _feature_faults(key: str, feature: Feature) -> Iterator[str]:
    if not is_id(key) or feature.id != key:
        yield f"has an id that {ID_RULE}" if feature.id == key else f"is called `{feature.id}` in itself"
    if not 0 <= feature.scale <= MAX_SCALE:
        yield f"has a scale outside 0 to {MAX_SCALE}"
    if not all(_is_text(text) for text in (feature.name, feature.description, feature.unit)):
        yield "has text that is not valid UTF-8"
    yield from (f"has a tag `{tag}` that {ID_RULE}" for tag in feature.tags if not is_id(tag))
    if (
        len(set(feature.labels)) < len(feature.labels)
        or not all(feature.labels)
        or not all(map(_is_text, feature.labels))
    ):
        yield "has a level that is empty, duplicate or not valid UTF-8"


def _item_problems(catalog: Catalog, positions: Positions, proved: Collection[str]) -> Iterator[Problem]:
    suggestions = Suggestions()
    for key, item in catalog.items.items():
        if not is_id(key) or item.id != key:
            message = f"has an id that {ID_RULE}" if item.id == key else f"is called `{item.id}` in itself"
            yield problem_at(positions, ("item", key), "invalid-item", f"item `{key}` {message}")
        versions = [definition.version for definition in item.versions]
        for version in {entry for entry in versions if entry < 1 or versions.count(entry) > 1}:
            message = f"item `{key}` has a version `{version}` that is duplicate or less than 1"
            yield problem_at(positions, ("item", key, version), "invalid-version", message)
        ref = item_ref(item.kind, key)
        for rollout in item.rollouts:
            if rollout.version not in versions:
                message = f"a rollout of `{ref}` names version `{rollout.version}`, which does not exist"
                yield problem_at(positions, ("item", key), "unknown-version", message)
        for definition in item.versions:
            if item_policies_path(version_ref(item.kind, key, definition.version)) not in proved:
                yield from _entitlement_problems(item, definition, catalog, positions, suggestions)


def _entitlement_problems(
    item: Item, definition: Definition, catalog: Catalog, positions: Positions, suggestions: Suggestions
) -> Iterator[Problem]:
    ref = version_ref(item.kind, item.id, definition.version)
    for name, value in definition.entitlements.items():
        feature = catalog.features.get(name)
        near = None
        if feature is None:
            code, fault = "unknown-feature", "which is no feature"
            near = suggestions.find(name, catalog.features)
        else:
            code, fault = "invalid-value", _misfit(value, feature)
        if fault:
            key = ("item", item.id, definition.version, name)
            yield problem_at(positions, key, code, f"`{ref}` gives `{name}`, {fault}", near)


def _misfit(value: Value, feature: Feature) -> str:
    """Return why a feature cannot have a value; empty if it can."""
    if feature.type not in _FITTING[type(value)]:
        return f"a value that a feature of type `{feature.type.value}` cannot have"
    if isinstance(value, Amount | AddedAmount):
        if not 0 <= value.units <= MAX_EDGE_UNITS:
            return f"a number that is negative or more than {MAX_EDGE_UNITS} units"
        if isinstance(value, MeteredAmount):
            return find_limit_fault(value, feature)
    elif isinstance(value, Level) and not feature.rank(value.label):
        return f"the level `{value.label}`, which it does not have"
    return ""


def _is_text(text: str) -> bool:
    return _SURROGATE.search(text) is None
