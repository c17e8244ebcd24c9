"""The entity tag of what would be published: whoever reviewed a dry run publishes that, or is told that it changed.

A tag names the publication in force and the difference that a changeset makes to it, whatever a bundle does not show
included: names, roles, ladders. A number names the publication that must be in force alone, and a revision what must be
in force afterwards. A tag of another form is the tag of nothing.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec.structs import replace

from tiergate.errors import OutdatedReviewError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tiergate.model import Instant, Item
    from tiergate.publish.changeset import Changeset
    from tiergate.publish.published_state import PublishedState

_TAG: Final = re.compile(r"([0-9]{1,18})-[0-9a-f]{32}")
_NUMBER: Final = re.compile(r"[0-9]{1,18}")
_DIGITS: Final = 32
_AT_ONCE: Final = -(2**53)

_encode = msgspec.json.Encoder(order="sorted", decimal_format="number").encode


def review_tag(current: PublishedState, changeset: Changeset, now: Instant) -> str:
    """The tag of a changeset, such as `17-0f3a…`; `now`: the instant at which it was made, which is no part of it."""
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
    return f"{current.sequence}-{hashlib.sha256(_encode(difference)).hexdigest()[:_DIGITS]}"


def is_review_tag(text: str) -> bool:
    """Say whether a text has the form of such a tag."""
    return _TAG.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class ReviewTags:
    """What a caller has seen: some tags, one of which must hold."""

    tags: tuple[str, ...]

    def check(self, current: PublishedState, tag: str, revision: str) -> None:
        """See that what would be published, as `tag` and `revision`, is what was seen.

        Raises:
            OutdatedReviewError: it is not.
        """
        if any(self._holds(one, current, tag, revision) for one in self.tags):
            return
        sequences = {match[1] for one in self.tags if (match := _TAG.fullmatch(one))}
        sequences |= {one for one in self.tags if _NUMBER.fullmatch(one)}
        if sequences and str(current.sequence) not in sequences:
            why = f"publication {current.sequence} is in force now"
        elif any(_TAG.fullmatch(one) or one.startswith("sha256:") for one in self.tags):
            why = "it would publish something else by now"
        else:
            why = "no dry run gave this entity tag"
        raise OutdatedReviewError(f"what was reviewed is not what this would do: {why}; review it again", tag)

    @staticmethod
    def _holds(one: str, current: PublishedState, tag: str, revision: str) -> bool:
        return one in {"*", tag, revision, str(current.sequence)}


def _changed(old: Mapping[str, object], new: Mapping[str, object]) -> dict[str, object]:
    return {id_: it for id_, it in new.items() if old.get(id_) is not it and old.get(id_) != it}


def _timeless(item: object, now: Instant) -> object:
    """An item of which rollouts that begin with the publication begin at no particular instant."""
    its: Item = item  # type: ignore[assignment]
    rollouts = (replace(it, start=_AT_ONCE) if it.start == now else it for it in its.rollouts)
    return replace(its, rollouts=tuple(rollouts))
