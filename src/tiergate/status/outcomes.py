"""Outcomes that services report, added up per minute, and what a minute of them says (design, section 11)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from tiergate.model import Instant, Interval, Status

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tiergate.model import ServiceLevel

MINUTE_MS: Final = 60_000


class Outcomes(msgspec.Struct, frozen=True, omit_defaults=True):
    """What services reported of one feature in one minute.

    `slow`: latency in milliseconds → how many requests took longer, for each latency that some service level of the
    feature promises. A request that failed is never counted as slow too.
    """

    requests: int = 0
    failed: int = 0
    slow: dict[int, int] = {}

    def __add__(self, other: Outcomes) -> Outcomes:
        """Return the sum, which has the latencies of both."""
        slow = {latency: self.slower_than(latency) + other.slower_than(latency) for latency in self.slow | other.slow}
        return Outcomes(self.requests + other.requests, self.failed + other.failed, slow)

    def slower_than(self, latency_ms: int) -> int:
        """Return how many requests took longer.

        If this latency was not counted, it is the number for the next lower one that was: at least as many. If there
        is none, it is 0: nothing is known.
        """
        counted = max((latency for latency in self.slow if latency <= latency_ms), default=None)
        return 0 if counted is None else self.slow[counted]


def minute_of(instant: Instant) -> Instant:
    """Return the start of the minute that contains an instant."""
    return instant - instant % MINUTE_MS


def judge(outcomes: Outcomes, level: ServiceLevel) -> Status:
    """Return what a minute of outcomes says: `operational`, `degraded` or `down`.

    Fewer than `level.least` requests say nothing, which is `operational`.
    """
    if outcomes.requests < max(level.least, 1):
        return Status.OPERATIONAL
    if outcomes.failed * 100 >= level.down * outcomes.requests:
        return Status.DOWN
    slow = 0 if level.latency_ms is None else outcomes.slower_than(level.latency_ms)
    if (outcomes.failed + slow) * 100 >= level.degraded * outcomes.requests:
        return Status.DEGRADED
    return Status.OPERATIONAL


def bad_intervals(
    minutes: Mapping[Instant, Outcomes], levels: Iterable[tuple[Interval, ServiceLevel]]
) -> list[tuple[Interval, Status]]:
    """Return the times in which services say that a feature is degraded or down, in order; neighbours are joined.

    `minutes`: the start of each minute → its outcomes. `levels`: what was promised when; a minute is judged by what was
    promised at its start.
    """
    promised = sorted(levels, key=lambda level: level[0].start)
    found: list[tuple[Interval, Status]] = []
    place = 0
    for minute in sorted(minutes):
        while place < len(promised) and promised[place][0].until <= minute:
            place += 1
        if place == len(promised):
            break
        interval, level = promised[place]
        if minute < interval.start:
            continue
        status = judge(minutes[minute], level)
        if status is Status.OPERATIONAL:
            continue
        if found and found[-1][0].until == minute and found[-1][1] is status:
            found[-1] = (Interval(found[-1][0].start, minute + MINUTE_MS), status)
        else:
            found.append((Interval(minute, minute + MINUTE_MS), status))
    return found
