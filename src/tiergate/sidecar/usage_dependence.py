"""Which features' answers depend on the usage of which: their own, that of a drawn one, and that of everybody.

A pure reading of one catalog, made once for each generation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from tiergate.model import Feature


class UsageDependence:
    """The dependence on usage in one catalog. `capped`: the features with a cap for everybody together."""

    def __init__(self, features: Mapping[str, Feature]) -> None:
        self.capped = frozenset(name for name, feature in features.items() if feature.caps.total is not None)
        self._drawing: dict[str, list[str]] = {}
        for name, feature in features.items():
            if feature.draws is not None:
                self._drawing.setdefault(feature.draws.source, []).append(name)

    def affected_by(self, features: Collection[str]) -> Collection[str]:
        """Return the features whose answers may change when these are used: themselves, and those that draw on them."""
        if not self._drawing:
            return features
        found = dict.fromkeys(features)
        for name in features:
            found.update(dict.fromkeys(self._drawing.get(name, ())))
        return found
