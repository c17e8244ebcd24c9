"""Read what a row of an entitlement test expects, and check it against the catalog: values, sources, policies."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Final

from tiergate.catalog.entries.values import read_override_value
from tiergate.catalog.reading.document import Node, shorten
from tiergate.catalog.reading.fields import find_suggestion, read_line, read_units
from tiergate.model import FOREVER, FeatureType
from tiergate.naming import policy_id, version_ref
from tiergate.policytest.expectations import MOST_ERRORS, OUTCOME_KEYS, OVERRIDE_PREFIX, StatedFields, read_allowed

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from tiergate.catalog import Fields, TextReport
    from tiergate.model import Feature
    from tiergate.policytest.environments import EntitlementEnvironment
    from tiergate.policytest.test_matrix import Cell

ROW_KEYS: Final = OUTCOME_KEYS | {"value", "remaining", "sources", "policies", "valid_until", "errors"}
"""The keys of a row."""


class CheckRows:
    """Reads the rows of one suite."""

    def __init__(self, environment: EntitlementEnvironment, report: TextReport) -> None:
        self._environment = environment
        self._features = environment.index.features
        self._report = report

    def read(self, row: Fields, cells: Sequence[Cell]) -> StatedFields:
        """Read what a row expects of these cells."""
        stated = read_allowed(row)
        features = [self._features[id_] for id_ in dict.fromkeys(cell[1] for cell in cells)]
        if "value" in row and all(self._is_value(row, feature) for feature in features):
            stated |= {"has_value": True, "value": row.entries["value"]}
        if "remaining" in row and all(self._is_remaining(row, feature) for feature in features):
            stated["remaining"] = row.entries["remaining"]
        if "sources" in row:
            stated["sources"] = self._names(row, "sources", self._sources)
        if "policies" in row:
            stated["policies"] = self._names(row, "policies", self._policies)
        if "valid_until" in row:
            is_never = row.entries["valid_until"] is None
            stated["valid_until"] = FOREVER if is_never else row.instant("valid_until")
        if "errors" in row:
            stated["errors"] = row.integer("errors", 0, MOST_ERRORS)
        return stated

    def _is_value(self, row: Fields, feature: Feature) -> bool:
        """Return whether a feature can have this value; only a custom feature can be `null`, without a level."""
        node: Node = row.entries["value"]
        if node is None:
            if feature.type is FeatureType.CUSTOM:
                return True
            row.problem("value", "unfit-value", f"`{feature.id}` always has a value: write `{_nothing(feature)}`")
            return False
        return read_override_value(node, row.at("value"), feature, self._report) is not None

    def _is_remaining(self, row: Fields, feature: Feature) -> bool:
        node, place = row.entries["remaining"], row.at("remaining")
        if feature.type is not FeatureType.QUANTITY:
            message = f"`{feature.id}` is a {feature.type.value}: only a quantity has `remaining`"
            self._report.add(place, "unfit-value", message)
            return False
        return read_units(node, place, feature.scale, self._report) is not None

    def _names(self, row: Fields, key: str, known: Collection[str]) -> tuple[str, ...]:
        """Return the names in a list, each `known`, sorted."""
        result = set()
        for node, place in row.entries_of(key):
            name = read_line(node, place, self._report)
            if name is None:
                continue
            if name not in known:
                what = "source" if key == "sources" else "policy"
                near = find_suggestion(name, known, self._report)
                self._report.add(place, f"unknown-{what}", f"no {what} `{shorten(name)}`", near)
            elif name in result:
                self._report.add(place, "duplicate-entry", f"`{shorten(name)}` is in this list twice")
            result.add(name)
        return tuple(sorted(result))

    @cached_property
    def _refs(self) -> dict[str, frozenset[str]]:
        """The features of each item version."""
        return {
            version_ref(item.kind, item.id, definition.version): frozenset(definition.entitlements)
            for item in self._environment.compiled.loaded.catalog.items.values()
            for definition in item.versions
        }

    @cached_property
    def _sources(self) -> frozenset[str]:
        """All possible sources."""
        records = self._environment.subjects.records.values()
        overrides = [override for record in records for override in record.customer.overrides]
        overrides += [
            override
            for record in records
            for subscription in record.subscriptions
            for override in subscription.overrides
        ]
        return frozenset({*self._refs, *(f"{OVERRIDE_PREFIX}{override.id}" for override in overrides)})

    @cached_property
    def _policies(self) -> frozenset[str]:
        """All policies."""
        items = (policy_id(ref, feature) for ref, features in self._refs.items() for feature in features)
        return frozenset({*items, *self._environment.engine.slices.by_id})


def _nothing(feature: Feature) -> str:
    return "false" if feature.type is FeatureType.SWITCH else "0"
