"""Definitions that say something else of one feature: a bundle, but for one entitlement."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tiergate.engine import BundleSource
    from tiergate.model import CatalogIndex, Value


class MutatedBundle:
    """A bundle of which `ref` gives `value` for `feature`, or, for `None`, says nothing of it."""

    def __init__(self, base: BundleSource, ref: str, feature: str, value: Value | None) -> None:
        self._base = base
        self._ref = ref
        self._feature = feature
        self._value = value

    @property
    def revision(self) -> str:
        """The revision of the bundle that it differs from."""
        return self._base.revision

    @property
    def index(self) -> CatalogIndex:
        """Features and items."""
        return self._base.index

    def definition(self, ref: str) -> Mapping[str, Value]:
        """The entitlements of `plan/pro@7`.

        Raises:
            BundleError: as of the bundle.
        """
        given = self._base.definition(ref)
        return given if ref != self._ref else _Definition(given, self._feature, self._value)

    def text(self, path: str) -> str:
        """A file of the bundle as it is.

        Raises:
            BundleError: as of the bundle.
        """
        return self._base.text(path)

    def paths(self, prefix: str) -> Sequence[str]:
        """The files whose path begins so, sorted."""
        return self._base.paths(prefix)


class _Definition(Mapping[str, "Value"]):
    """A definition but for one feature. Nothing is copied: there may be thousands of others in it."""

    def __init__(self, given: Mapping[str, Value], feature: str, value: Value | None) -> None:
        self._given = given
        self._feature = feature
        self._value = value

    def __getitem__(self, feature: str) -> Value:
        if feature != self._feature:
            return self._given[feature]
        if self._value is None:
            raise KeyError(feature)
        return self._value

    def __iter__(self) -> Iterator[str]:
        return (feature for feature in self._given if feature != self._feature or self._value is not None)

    def __len__(self) -> int:
        return len(self._given) - (self._value is None)
