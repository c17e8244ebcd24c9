"""A bundle with another value of one entitlement."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tiergate.engine import BundleSource
    from tiergate.model import Value


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
        """Return the entitlements of `plan/pro@7`.

        Raises:
            BundleError: as in the bundle.
        """
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
