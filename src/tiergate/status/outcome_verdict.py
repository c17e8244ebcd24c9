"""What the outcomes of services say of a feature now: the status that is shown, with hysteresis. Pure.

Service levels judge each minute by itself (`outcomes.judge`), because they are about every minute. What people see
should not flicker, so

- a status begins when two complete minutes in turn are at least that bad, from the first of such minutes on;
- it ends when the last three minutes that say something are better, or after a quarter of an hour without a minute that
  bad: a feature that nobody uses any more says nothing. It ends with the last bad minute.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from tiergate.model import Instant, Status
from tiergate.status.outcomes import MINUTE_MS, judge

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tiergate.model import ServiceLevel
    from tiergate.status.outcomes import Outcomes

BEGINS_AFTER: Final = 2
"""Bad minutes in turn after which a status begins."""

ENDS_AFTER: Final = 3
"""Better minutes after which it ends."""

LOOK_BACK: Final = 15
"""How many minutes are looked at; a status that none of them confirms ends."""


class Verdict(NamedTuple):
    """A status and the instant from which on it holds."""

    status: Status
    start: Instant


def verdict(minutes: Mapping[Instant, Outcomes], level: ServiceLevel, until: Instant, shown: Status) -> Verdict:
    """Return the status that the minutes before `until`, which begin a minute, call for.

    `shown`: the status that services have said so far; `operational`: none.
    """
    span = range(until - LOOK_BACK * MINUTE_MS, until, MINUTE_MS)
    ranks = [_rank(minutes.get(minute), level) for minute in span]
    for status in (Status.DOWN, Status.DEGRADED):
        run = _run(ranks, status.rank)
        begins = until - run * MINUTE_MS if run >= BEGINS_AFTER else None
        if begins is None and shown.rank >= status.rank and not _is_better(ranks, status.rank):
            begins = span.start
        if begins is not None and shown.rank > status.rank:
            begins = max(begins, _end_of_last(ranks, status.rank + 1, span))
        if begins is not None:
            return Verdict(status, begins)
    return Verdict(Status.OPERATIONAL, _end_of_last(ranks, Status.DEGRADED.rank, span))


def _rank(outcomes: Outcomes | None, level: ServiceLevel) -> int | None:
    """Return how bad a minute is; `None`: it says nothing."""
    if outcomes is None or outcomes.requests < max(level.least, 1):
        return None
    return judge(outcomes, level).rank


def _run(ranks: list[int | None], rank: int) -> int:
    """Return how many of the last minutes in turn are at least this bad."""
    count = 0
    for each in reversed(ranks):
        if each is None or each < rank:
            break
        count += 1
    return count


def _is_better(ranks: list[int | None], rank: int) -> bool:
    """Return whether a status of this rank ends."""
    telling = [each for each in ranks if each is not None]
    return all(each < rank for each in telling) or (
        len(telling) >= ENDS_AFTER and all(each < rank for each in telling[-ENDS_AFTER:])
    )


def _end_of_last(ranks: list[int | None], rank: int, span: range) -> Instant:
    """Return the end of the last minute that is at least this bad; if there is none, the begin of all."""
    bad = (minute + MINUTE_MS for minute, each in zip(span, ranks, strict=True) if each is not None and each >= rank)
    return max(bad, default=span.start)
