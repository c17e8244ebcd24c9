"""The operator's choice of features that are denied once the data is stale.

An entry is a feature's id, `tag:` and a tag, or `*` for every feature. What entries match changes with the catalog.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tiergate.model import Feature

EVERY = "*"
"""The choice of every feature."""

TAG = "tag:"


class FeatureSelection(NamedTuple):
    """The features of a catalog that are selected, and the entries that match nothing in it."""

    features: frozenset[str]
    unknown: tuple[str, ...]


NONE_CHOSEN = FeatureSelection(frozenset(), ())


def select_features(entries: Iterable[str], features: Mapping[str, Feature]) -> FeatureSelection:
    """Select features of a catalog."""
    chosen: set[str] = set()
    unknown: list[str] = []
    for entry in entries:
        if entry == EVERY:
            chosen.update(features)
            continue
        if entry.startswith(TAG):
            found = [name for name, feature in features.items() if entry.removeprefix(TAG) in feature.tags]
        else:
            found = [entry] if entry in features else []
        if not found:
            unknown.append(entry)
        chosen.update(found)
    return FeatureSelection(frozenset(chosen), tuple(unknown))
