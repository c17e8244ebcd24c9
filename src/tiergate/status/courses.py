"""The course of a feature over an interval: when it was anything but operational, as figures count it.

Figures over many intervals (a window, its parts with other promises, the last hour) are sums over one course.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

import msgspec

from tiergate.model import Instant, Interval, Status

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from tiergate.model import StatusReport

_COLUMNS: Final = ("degraded", "partial", "down", "maintenance", "unknown")
COLUMN_OF: Final = {name: place for place, name in enumerate(_COLUMNS)}
"""The number of each status but `operational`, and of `unknown`, in a piece."""

MAINTENANCE: Final = COLUMN_OF["maintenance"]
_UNKNOWN: Final = COLUMN_OF["unknown"]
_ORDER: Final = tuple(COLUMN_OF[name] for name in ("maintenance", "down", "partial", "degraded", "unknown"))
"""The columns, from the one that is true whatever else is."""

Piece: TypeAlias = "tuple[Instant, Instant, int]"
"""A time in which something was reported or judged: start, end, and its number in `COLUMN_OF`.

A plain tuple: lists of service levels are made of tens of thousands.
"""


class Durations(msgspec.Struct, frozen=True):
    """How long a feature had which status, in milliseconds; together they are the length of the interval."""

    operational: int = 0
    degraded: int = 0
    partial: int = 0
    down: int = 0
    maintenance: int = 0
    unknown: int = 0

    @property
    def measured(self) -> int:
        """Milliseconds without maintenance and without what is unknown."""
        return self.operational + self.degraded + self.partial + self.down

    def from_status(self, least: Status) -> int:
        """Return the milliseconds with this status or a worse one, of those that are measured."""
        if least is Status.DOWN:
            return self.down
        return self.down + self.partial + (0 if least is Status.PARTIAL else self.degraded)


class Course:
    """When a feature was not operational, within an interval; of every instant one thing is true (see `figures`)."""

    __slots__ = ("_pieces", "within")

    def __init__(self, within: Interval, pieces: Sequence[Piece]) -> None:
        """Use `course_of`. `pieces`: in order and without overlap."""
        self.within = within
        self._pieces = pieces

    def durations(self, within: Interval) -> Durations:
        """Return how long the feature had which status, in an interval that lies in that of the course."""
        start, until = within.start, within.until
        sums = [0] * len(_COLUMNS)
        rest = until - start
        for begun, ended, column in reversed(self._pieces):
            if ended <= start:
                break
            is_inside = begun >= start and ended <= until
            length = ended - begun if is_inside else min(until, ended) - max(start, begun)
            if length > 0:
                sums[column] += length
                rest -= length
        return Durations(rest, *sums)


def pieces_of(reports: Iterable[StatusReport]) -> Iterator[Piece]:
    """Yield the pieces of reports."""
    for report in reports:
        if report.status is not Status.OPERATIONAL:
            yield report.start, report.until, COLUMN_OF[report.status]


def course_of(pieces: Iterable[Piece], within: Interval, silences: Iterable[Interval] = ()) -> Course:
    """Return the course of a feature over an interval, from pieces that may overlap, in any order.

    `silences`: when a monitor of it was silent.
    """
    start, until = within.start, within.until
    found: list[Piece] = []
    for piece in pieces:
        begun, ended, column = piece
        if begun >= start and ended <= until:
            found.append(piece)
        elif ended > start and begun < until:
            found.append((max(start, begun), min(until, ended), column))
    found += [
        (max(silence.start, start), min(silence.until, until), _UNKNOWN)
        for silence in silences
        if silence.until > start and silence.start < until
    ]
    found.sort()
    before = start
    for begun, ended, _ in found:
        if begun < before:
            return Course(within, _overlapping(found))
        before = ended
    return Course(within, found)


def _overlapping(overlapping: Iterable[Piece]) -> list[Piece]:
    """Return pieces without overlap: at each instant, the column that comes first in `_ORDER` is true."""
    changes: dict[Instant, list[int]] = {}  # instant → the columns that begin (themselves) and end (inverted) there
    for start, until, column in overlapping:
        changes.setdefault(start, []).append(column)
        changes.setdefault(until, []).append(~column)
    counts = [0] * len(_COLUMNS)
    pieces: list[Piece] = []
    begun, current = 0, -1
    for instant in sorted(changes):
        for change in changes[instant]:
            counts[max(change, ~change)] += 1 if change >= 0 else -1
        column = next((it for it in _ORDER if counts[it]), -1)
        if column != current:
            if current >= 0:
                pieces.append((begun, instant, current))
            begun, current = instant, column
    return pieces
