"""What of a page of the feed is committed at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tiergate.bundle import Cursor, Publication, RecordChange, Step


class Advance(NamedTuple):
    """What is committed at once: changes, and then a publication, if there is one."""

    changes: Sequence[RecordChange]
    publication: Publication | None
    envelope: bytes
    cursor: Cursor


def advances_of(steps: Sequence[Step]) -> list[Advance]:
    """What is committed one after the other: of several publications only the last one, with what goes before it."""
    places = [place for place, step in enumerate(steps) if step.publication is not None]
    advances = [Advance(*step) for step in steps]
    if len(places) < 2:
        return advances
    first, last = places[0], places[-1]
    between = [change for step in steps[first:last] for change in step.changes]
    return [*advances[:first], advances[last]._replace(changes=between), *advances[last + 1 :]]
