"""The commits that make the steps of a page: a page is committed in as few steps as that allows."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tiergate.bundle import FeedStep


def merge_publications(steps: Sequence[FeedStep]) -> list[FeedStep]:
    """Return the commits of a page: of several publications only the last, with the changes between them."""
    places = [place for place, step in enumerate(steps) if step.publication is not None]
    if len(places) < 2:
        return list(steps)
    first, last = places[0], places[-1]
    changes = tuple(change for step in steps[first:last] for change in step.changes)
    statuses = tuple(change for step in steps[first:last] for change in step.statuses)
    return [*steps[:first], steps[last]._replace(changes=changes, statuses=statuses), *steps[last + 1 :]]
