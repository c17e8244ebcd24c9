"""Review tags: a caller who reviewed a dry run publishes exactly that, or is rejected because it changed.

A tag identifies the active publication and the changes to it, including what a bundle does not show: names, roles,
ladders. A number only identifies the publication that must be active, and a revision the one that must result. A tag of
another form matches nothing.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

from msgspec.structs import replace

from tiergate.errors import OutdatedReviewError
from tiergate.publish.catalog_change import differing_ids
from tiergate.wire.json import encode_sorted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tiergate.model import Instant, Item
    from tiergate.publish.changeset import Changeset
    from tiergate.publish.published_state import PublishedState

_TAG: Final = re.compile(r"([0-9]{1,18})-[0-9a-f]{32}")
_NUMBER: Final = re.compile(r"[0-9]{1,18}")
_DIGITS: Final = 32
_IMMEDIATELY: Final = -(2**53)

V = TypeVar("V")


def review_tag(current: PublishedState, changeset: Changeset, now: Instant) -> str:
    """Return the tag of a changeset, such as `17-0f3a…`; `now`: when it was made, which the tag does not depend on."""
    catalog, published = changeset.catalog, current.catalog
    items = {id_: _timeless(item, now) for id_, item in _changed(published.items, catalog.items).items()}
    difference = (
        _changed(published.features, catalog.features),
        items,
        sorted(published.features.keys() - catalog.features.keys()),
        sorted(published.items.keys() - catalog.items.keys()),
        (catalog.ladders, catalog.plans) if catalog != published else None,
        changeset.rules if changeset.rules != current.rules else None,
        changeset.roles if changeset.roles != current.roles else None,
    )
    return f"{current.sequence}-{hashlib.sha256(encode_sorted(difference)).hexdigest()[:_DIGITS]}"


def is_review_tag(text: str) -> bool:
    """Return whether a text has the form of a review tag."""
    return _TAG.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class ReviewTags:
    """The tags that a caller gives; one of them must match."""

    tags: tuple[str, ...]

    def check(self, current: PublishedState, tag: str, revision: str) -> None:
        """Raise `OutdatedReviewError` unless what would be published, with `tag` and `revision`, was reviewed."""
        if not {"*", tag, revision, str(current.sequence)}.isdisjoint(self.tags):
            return
        sequences = {match[1] for it in self.tags if (match := _TAG.fullmatch(it))}
        sequences |= {it for it in self.tags if _NUMBER.fullmatch(it)}
        if sequences and str(current.sequence) not in sequences:
            reason = f"publication {current.sequence} is active now"
        elif any(_TAG.fullmatch(it) or it.startswith("sha256:") for it in self.tags):
            reason = "the changes are other ones now"
        else:
            reason = "no dry run returned this entity tag"
        raise OutdatedReviewError(f"this would not publish what was reviewed: {reason}; review it again", tag)


def _changed(old: Mapping[str, V], new: Mapping[str, V]) -> dict[str, V]:
    return {id_: new[id_] for id_ in differing_ids(old, new) if id_ in new}


def _timeless(item: Item, now: Instant) -> Item:
    """Return an item whose rollouts that begin with the publication have no particular start."""
    rollouts = (replace(it, start=_IMMEDIATELY) if it.start == now else it for it in item.rollouts)
    return replace(item, rollouts=tuple(rollouts))
