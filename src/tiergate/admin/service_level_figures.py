"""Compute how promises are kept: many at once, each over its own window.

What was promised at each instant judges that instant. Reports that are edited after the fact count at once, because
figures are computed from reports, silences and judged outcomes whenever they are read. Of the reports with an audience,
those that name only other items do not concern the holders of an item.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from tiergate.model import Interval, ServiceLevel
from tiergate.status.courses import Course, course_of
from tiergate.status.figures import Budget, Figures, budget_of, figures_of
from tiergate.status.promises import PromiseKey, overlaid, target_at
from tiergate.store.status_courses import read_status_history

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tiergate.model import Instant
    from tiergate.status.courses import Piece
    from tiergate.status.figures import Target
    from tiergate.store import ReadUnit
    from tiergate.store.status_courses import StatusHistory

_HOUR_MS: Final = 3_600_000
SHORT_SPANS: Final = (("5m", _HOUR_MS // 12), ("1h", _HOUR_MS), ("6h", 6 * _HOUR_MS))
"""The times before now whose burn rates are given besides that of the window: name and milliseconds."""


class Wanted(NamedTuple):
    """A promise, and the window over which it is looked at. `targets`: what was promised when, to those concerned.

    `own`: of an item, what it promised itself.
    """

    key: PromiseKey
    window: Interval
    targets: Sequence[Target]
    own: Sequence[Target] = ()


class Standing(NamedTuple):
    """How a promise is kept over a window, which may not have ended.

    `until`: until when it is measured. `level`: what is promised last in what is measured; `None`: nothing. `budget`:
    that of the whole window; `None` if nothing was promised in it. `course` and `targets` are what it was computed of.
    """

    key: PromiseKey
    window: Interval
    until: Instant
    level: ServiceLevel | None
    figures: Figures
    budget: Budget | None
    course: Course
    targets: Sequence[Target]

    def recent(self) -> dict[str, Figures]:
        """Return the figures of `SHORT_SPANS`, by name; none if the window is over."""
        if self.until >= self.window.until:
            return {}
        spans = {name: Interval(self.until - length, self.until) for name, length in SHORT_SPANS}
        return {name: figures_of(self.course, span, self.targets) for name, span in spans.items()}


def wanted_promise(promises: Mapping[PromiseKey, Sequence[Target]], key: PromiseKey, window: Interval) -> Wanted:
    """Return what to compute of a promise; of an item, what holds for its holders."""
    general = promises.get(PromiseKey(key.feature), ())
    if not key.item:
        return Wanted(key, window, general)
    own = [target for target in promises.get(key, ()) if target.service_level is not None]
    return Wanted(key, window, overlaid(general, own), own)


def compute(
    unit: ReadUnit, wanted: Iterable[Wanted], *, of_all: bool = False, now: Instant | None = None
) -> list[Standing]:
    """Compute how promises are kept until now, in the order given. No window begins later than now.

    `of_all`: they are most of what the store has, so that reading everything is quicker. `now`: an earlier instant,
    until which everything is measured.
    """
    now, listed = unit.now if now is None else now, list(wanted)
    groups: dict[Interval, list[int]] = {}
    for place, it in enumerate(listed):
        groups.setdefault(it.window, []).append(place)
    found: dict[int, Standing] = {}
    for window, places in groups.items():
        features = None if of_all else {listed[place].key.feature for place in places}
        start = min(window.start, now - SHORT_SPANS[-1][1]) if window.contains(now) else window.start
        history = read_status_history(unit.session.connection(), Interval(start, window.until), features)
        within = Interval(start, max(start, min(window.until, now)))
        shared: dict[str, Course] = {}
        for place in places:
            found[place] = _standing(listed[place], history, within, shared, now)
    return [found[place] for place in range(len(listed))]


def _standing(
    wanted: Wanted, history: StatusHistory, within: Interval, shared: dict[str, Course], now: Instant
) -> Standing:
    key, window, targets = wanted.key, wanted.window, wanted.targets
    measured = Interval(window.start, max(window.start, within.until))
    pieces = history.reports.get(key.feature, [])
    more = _further_pieces(wanted, history)
    course = None if more else shared.get(key.feature)
    if course is None:
        pieces = [*pieces, *more] if more else pieces
        course = course_of(pieces, within, history.silences.get(key.feature, ()))
        if not more:
            shared[key.feature] = course
    figures = figures_of(course, measured, targets)
    last = target_at(targets, max(window.start, measured.until - 1))
    level = None if last is None else last.service_level
    rest = Interval(now, window.until) if window.contains(now) else None
    budget = None
    if level is not None or figures.allowed is not None:
        budget = budget_of(figures, level, rest, [piece for piece in pieces if piece[1] > now])
    return Standing(key, window, measured.until, level, figures, budget, course, targets)


def _further_pieces(wanted: Wanted, history: StatusHistory) -> list[Piece]:
    """Return what is reported for some customers, and judged, as far as it concerns a promise."""
    feature, item = wanted.key
    partial = [
        piece
        for piece, audience in history.partial.get(feature, ())
        if not item or audience.tags or item in audience.items or not audience.items
    ]
    judged = history.judged.get((feature, ""), [])
    if wanted.own:
        outside = [piece for it in judged for piece in _without(it, wanted.own)]
        judged = [*outside, *history.judged.get(wanted.key, ())]
    return partial + judged if partial else judged


def _without(piece: Piece, taken: Iterable[Target]) -> list[Piece]:
    """Return what of a piece is not in any of the targets' intervals, which are in order."""
    start, until, column = piece
    found: list[Piece] = []
    for target in taken:
        interval = target.interval
        if interval.until <= start or interval.start >= until:
            continue
        if start < interval.start:
            found.append((start, interval.start, column))
        start = interval.until
    return [*found, (start, until, column)] if start < until else found
