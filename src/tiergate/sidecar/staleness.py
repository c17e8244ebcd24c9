"""What is denied once the data is stale: the operator's choice, feature by feature.

A choice is a feature's id, `tag:` and a tag, or `*` for every feature. It is made of words, because the catalog that
gives them a meaning comes later and changes: what a catalog does not know of it is for the caller to tell somebody.
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
    """The features of one catalog that a choice names, and the words of it that name nothing there."""

    features: frozenset[str]
    unknown: tuple[str, ...]


NONE_CHOSEN = FeatureSelection(frozenset(), ())


def select_features(words: Iterable[str], features: Mapping[str, Feature]) -> FeatureSelection:
    """Look up what a choice names among the features of a catalog."""
    chosen: set[str] = set()
    unknown: list[str] = []
    for word in words:
        if word == EVERY:
            chosen.update(features)
            continue
        if word.startswith(TAG):
            found = [name for name, feature in features.items() if word.removeprefix(TAG) in feature.tags]
        else:
            found = [word] if word in features else []
        if not found:
            unknown.append(word)
        chosen.update(found)
    return FeatureSelection(frozenset(chosen), tuple(unknown))
