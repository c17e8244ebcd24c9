"""Engines of a suite in which one thing of the catalog is mutated: a value, a field of a feature, or an item."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from typing import TYPE_CHECKING

from msgspec.structs import replace

from tiergate.engine.bounded_cache import CacheLimits
from tiergate.engine.cedar_entities import EntityFactory
from tiergate.engine.explanation.what_if import changed_evaluator
from tiergate.engine.subject_cache import SubjectCache

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tiergate.engine import BundleSource, Evaluator, SubjectSource
    from tiergate.model import CatalogIndex, Feature, IndexedItem, Value


class MutatedBundle:
    """A bundle in which `ref` grants `value` of `feature`, or nothing for `None`."""

    def __init__(self, base: BundleSource, ref: str, feature: str, value: Value | None) -> None:
        self.revision, self.index = base.revision, base.index
        self.text, self.paths = base.text, base.paths
        self._base = base
        self._ref = ref
        self._feature = feature
        self._value = value

    def definition(self, ref: str) -> Mapping[str, Value]:
        """Return the entitlements of `plan/pro@7`."""
        entitlements = self._base.definition(ref)
        return entitlements if ref != self._ref else _Definition(entitlements, self._feature, self._value)


class _Definition(Mapping[str, "Value"]):
    """A definition except for one feature. Nothing is copied: it may have thousands of others."""

    def __init__(self, base: Mapping[str, Value], feature: str, value: Value | None) -> None:
        self._base = base
        self._feature = feature
        self._value = value

    def __getitem__(self, feature: str) -> Value:
        if feature != self._feature:
            return self._base[feature]
        if self._value is None:
            raise KeyError(feature)
        return self._value

    def __iter__(self) -> Iterator[str]:
        return (feature for feature in self._base if feature != self._feature or self._value is not None)

    def __len__(self) -> int:
        return len(self._base) - (self._value is None)


class _Reindexed:
    """A bundle with another index."""

    def __init__(self, base: BundleSource, index: CatalogIndex) -> None:
        self.revision, self.index = base.revision, index
        self.text, self.paths, self.definition = base.text, base.paths, base.definition


def with_value(engine: Evaluator, ref: str, feature: str, value: Value | None) -> Evaluator:
    """Return the engine in which an item version gives another value of a feature, or none."""
    return changed_evaluator(engine, bundle=MutatedBundle(engine.bundle, ref, feature, value))


def with_feature(engine: Evaluator, feature: Feature) -> Evaluator:
    """Return the engine in which a feature is another. Who has which item does not depend on it."""
    index = replace(engine.index, features=engine.index.features | {feature.id: feature})
    other = _with_index(engine, index)
    if feature.tags != engine.index.features[feature.id].tags:
        other.slices = engine.slices.otherwise({})  # which rules concern a feature depends on its tags
        other.factory = EntityFactory(other.bundle)
    return other


def with_item(engine: Evaluator, subjects: SubjectSource, item: IndexedItem) -> Evaluator:
    """Return the engine in which an item is rolled out, or counts, in another way."""
    index = replace(engine.index, items=engine.index.items | {item.id: item})
    other = _with_index(engine, index)
    other.subjects = SubjectCache(subjects, index, CacheLimits())
    return other


def _with_index(engine: Evaluator, index: CatalogIndex) -> Evaluator:
    other = copy(engine)
    other.index = index
    other.bundle = _Reindexed(engine.bundle, index)
    other._least = {}  # noqa: SLF001 - of its own kind
    return other
