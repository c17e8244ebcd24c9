"""Dividing a page of the feed into commits."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tiergate.bundle import Cursor, FeedStep, Publication
    from tiergate.feed.lines import RecordChange


class FeedCommit(NamedTuple):
    """One commit: changes, then a publication, if there is one."""

    changes: Sequence[RecordChange]
    publication: Publication | None
    envelope: bytes
    cursor: Cursor


def plan_commits(steps: Sequence[FeedStep]) -> list[FeedCommit]:
    """Return the commits in order. Of several publications only the last one is committed, with the changes before."""
    places = [place for place, step in enumerate(steps) if step.publication is not None]
    commits = [FeedCommit(*step) for step in steps]
    if len(places) < 2:
        return commits
    first, last = places[0], places[-1]
    between = [change for step in steps[first:last] for change in step.changes]
    return [*commits[:first], commits[last]._replace(changes=between), *commits[last + 1 :]]
