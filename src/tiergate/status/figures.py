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

from typing import TYPE_CHECKING, Final

import msgspec

from tiergate.model import MILLIONTHS, Instant, Interval, ServiceLevel, Status
from tiergate.status.timeline import timeline

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tiergate.model import StatusReport

_BAD: Final = (Status.DEGRADED, Status.PARTIAL, Status.DOWN)


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
        return sum(getattr(self, status.value) for status in _BAD if status.rank >= least.rank)


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
    sums = dict.fromkeys(Durations.__struct_fields__, 0)
    for stretch in timeline(reports, within, silences):
        if stretch.maintenance:
            name = "maintenance"
        elif stretch.worst is Status.OPERATIONAL and stretch.silent:
            name = "unknown"
        else:
            name = stretch.worst.value
        sums[name] += stretch.interval.until - stretch.interval.start
    return Durations(**sums)


def figures(
    reports: Sequence[StatusReport],
    within: Interval,
    targets: Iterable[Target],
    silences: Sequence[Interval] = (),
) -> Figures:
    """Return how the promises of an interval were kept.

    `within` ends no later than now. `targets` do not overlap; each counts in its own part of the interval, so that a
    promise that changes does not judge what was before.
    """
    spent = promised = 0
    allowed: int | None = None
    for target in targets:
        part = _common(target.interval, within)
        level = target.service_level
        if part is None or level is None:
            continue
        measured = durations(reports, part, silences)
        promised += measured.measured
        spent += measured.from_status(level.spent_by)
        allowed = (allowed or 0) + measured.measured * (MILLIONTHS - level.availability)
    return Figures(durations(reports, within, silences), spent, promised, allowed)


def budget_of_window(level: ServiceLevel, window: Interval, planned: int = 0) -> int:
    """Return the error budget of a whole window, in milliseconds, rounded down.

    `planned`: milliseconds of the window that are maintenance, as far as it is known.
    """
    return (window.until - window.start - planned) * (MILLIONTHS - level.availability) // MILLIONTHS


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


def _common(one: Interval, other: Interval) -> Interval | None:
    start, until = max(one.start, other.start), min(one.until, other.until)
    return Interval(start, until) if start < until else None
