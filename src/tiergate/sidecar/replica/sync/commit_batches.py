"""What of a page of the feed is committed at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tiergate.bundle import Cursor, FeedStep, Publication
    from tiergate.feed.lines import RecordChange


class FeedCommit(NamedTuple):
    """What is committed at once: changes, and then a publication, if there is one."""

    changes: Sequence[RecordChange]
    publication: Publication | None
    envelope: bytes
    cursor: Cursor


def plan_commits(steps: Sequence[FeedStep]) -> list[FeedCommit]:
    """What is committed one after the other: of several publications only the last one, with what goes before it."""
    places = [place for place, step in enumerate(steps) if step.publication is not None]
    advances = [FeedCommit(*step) for step in steps]
    if len(places) < 2:
        return advances
    first, last = places[0], places[-1]
    between = [change for step in steps[first:last] for change in step.changes]
    return [*advances[:first], advances[last]._replace(changes=between), *advances[last + 1 :]]
