"""Uptime, downtime and what is left of the error budget: exact sums of milliseconds (design, section 11).

Of every instant exactly one of these is true, in this order:

1. It is *maintenance* that was announced: whatever else is reported, it counts apart.
2. It is down, partial or degraded: the worst that is reported.
3. It is *unknown*: nothing is reported, but a monitor that should report is silent.
4. It is *operational*.

What is measured is the time without maintenance and without what is unknown. Availability is the part of it that does
not spend the budget.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from tiergate.model import MILLIONTHS, Instant, Interval, ServiceLevel
from tiergate.status.courses import MAINTENANCE, Course, Durations, course_of, pieces_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tiergate.model import StatusReport
    from tiergate.status.courses import Piece


class Target(msgspec.Struct, frozen=True):
    """A service level that was promised in an interval; `None`: none was."""

    interval: Interval
    service_level: ServiceLevel | None


class Figures(msgspec.Struct, frozen=True):
    """How a promise was kept over an interval, or a part of it.

    `spent`: milliseconds of the error budget that are used up. `allowed`: millionths of milliseconds that the promise
    leaves for what is measured so far; `None`: nothing was promised in the whole interval.
    """

    durations: Durations
    spent: int
    promised: int
    allowed: int | None

    @property
    def availability(self) -> int | None:
        """The part of the measured time in which the promise was kept, in millionths, rounded down.

        `None` if nothing was measured while something was promised.
        """
        return None if self.promised == 0 else (self.promised - self.spent) * MILLIONTHS // self.promised

    @property
    def kept(self) -> bool | None:
        """Whether the promise is kept so far; `None` without a promise. Exact: nothing is rounded."""
        return None if self.allowed is None else self.spent * MILLIONTHS <= self.allowed

    @property
    def left(self) -> int | None:
        """Milliseconds that are left of the budget, rounded down; negative if it is overdrawn."""
        return None if self.allowed is None else (self.allowed - self.spent * MILLIONTHS) // MILLIONTHS

    @property
    def burn_rate(self) -> float | None:
        """How fast the budget burns: 1 spends exactly all of it. `None` without a budget, or if it is empty."""
        return None if not self.allowed else self.spent * MILLIONTHS / self.allowed


def durations(reports: Iterable[StatusReport], within: Interval, silences: Iterable[Interval] = ()) -> Durations:
    """Return how long a feature had which status in an interval. `within` ends no later than now."""
    return course_of(pieces_of(reports), within, silences).durations(within)


def figures(
    reports: Iterable[StatusReport],
    within: Interval,
    targets: Iterable[Target],
    silences: Iterable[Interval] = (),
) -> Figures:
    """Return how the promises of an interval were kept.

    `within` ends no later than now. `targets` do not overlap; each counts in its own part of the interval, so that a
    promise that changes does not judge what was before.
    """
    return figures_of(course_of(pieces_of(reports), within, silences), within, targets)


def figures_of(course: Course, within: Interval, targets: Iterable[Target]) -> Figures:
    """Return how the promises of an interval were kept, as `figures`; the interval lies in that of the course."""
    whole = course.durations(within)
    spent = promised = 0
    allowed: int | None = None
    for target in targets:
        level = target.service_level
        if level is None:
            continue
        if target.interval.start <= within.start and within.until <= target.interval.until:
            measured = whole
        else:
            part = common_part(target.interval, within)
            if part is None:
                continue
            measured = course.durations(part)
        promised += measured.measured
        spent += measured.from_status(level.spent_by)
        allowed = (allowed or 0) + measured.measured * (MILLIONTHS - level.availability)
    return Figures(whole, spent, promised, allowed)


class Budget(msgspec.Struct, frozen=True):
    """The error budget of a whole window, which may not have ended. `allowed`: millionths of milliseconds."""

    allowed: int
    spent: int

    @property
    def left(self) -> int:
        """Milliseconds that are left, rounded down; negative if it is overdrawn."""
        return (self.allowed - self.spent * MILLIONTHS) // MILLIONTHS

    @property
    def share_spent(self) -> float | None:
        """The part that is spent: 1 is all. `None` if the budget is empty."""
        return self.spent * MILLIONTHS / self.allowed if self.allowed else None

    def has_spent(self, percent: int) -> bool:
        """Return whether at least this much is spent; of an empty budget anything is all of it."""
        return self.spent > 0 and self.spent * MILLIONTHS * 100 >= self.allowed * percent


def budget_of(
    so_far: Figures, level: ServiceLevel | None, rest: Interval | None, planned: Iterable[Piece] = ()
) -> Budget:
    """Return the error budget of a window: what its measured time allows, and the rest of it at `level`.

    `so_far`: the figures until now. `rest`: from now until the window ends; `None` if it has ended. `planned`: the
    what is reported of the rest: maintenance leaves no budget.
    """
    allowed = so_far.allowed or 0
    if level is not None and rest is not None:
        maintenance = [piece for piece in planned if piece[2] == MAINTENANCE]
        open_time = rest.until - rest.start
        if maintenance:
            open_time = course_of(maintenance, rest).durations(rest).operational
        allowed += open_time * (MILLIONTHS - level.availability)
    return Budget(allowed, so_far.spent)


def silences(heard: Iterable[Instant], expected_every: int, until: Instant) -> list[Interval]:
    """Return when a monitor was silent: from `expected_every` milliseconds after it was heard until it was heard again.

    `heard`: when it was, in order. A monitor that was never heard says nothing about its silence. `until`: now, or
    `FOREVER` if it should be taken as silent for good.
    """
    found = []
    last: Instant | None = None
    for instant in (*heard, until):
        if last is not None and instant - last > expected_every:
            found.append(Interval(last + expected_every, instant))
        last = instant
    return found


def common_part(one: Interval, other: Interval) -> Interval | None:
    """Return what two intervals have in common; `None` if that is nothing."""
    start, until = max(one.start, other.start), min(one.until, other.until)
    return Interval(start, until) if start < until else None
