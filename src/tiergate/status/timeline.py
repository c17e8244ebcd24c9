"""The course of a feature's status, from reports that overlap (design, section 11).

The worst report that is open at an instant shows. Maintenance is kept apart from what else is reported in the
meantime, because service levels do not count it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from tiergate.model import Instant, Interval, Status

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tiergate.model import StatusReport

_BY_RANK: Final = tuple(Status)
_MAINTENANCE: Final = Status.MAINTENANCE.rank
_SILENCE: Final = len(_BY_RANK)


class Stretch(msgspec.Struct, frozen=True):
    """A time in which nothing changes.

    `worst`: the worst that is reported beside maintenance. `maintenance`: whether it is announced. `silent`: whether a
    monitor that should report says nothing.
    """

    interval: Interval
    worst: Status
    maintenance: bool = False
    silent: bool = False

    @property
    def shown(self) -> Status:
        """The status that people see: the worst of all."""
        return Status.MAINTENANCE if self.maintenance and self.worst is Status.OPERATIONAL else self.worst


def worst_at(reports: Iterable[StatusReport], now: Instant) -> Status:
    """Return the worst status of the reports that are open at an instant; `operational` if there is none."""
    return max((report.status for report in reports if report.start <= now < report.until), key=_rank, default=_BEST)


def timeline(reports: Iterable[StatusReport], within: Interval, silences: Iterable[Interval] = ()) -> Iterator[Stretch]:
    """Yield the stretches of an interval, in order: they cover it without a gap, and neighbours differ.

    `silences`: when a monitor of the feature was silent; they may overlap.
    """
    changes: dict[Instant, list[int]] = {}  # instant → what begins (its rank) and ends (its rank, inverted) there
    for start, until, rank in _spans(reports, silences):
        first, last = max(start, within.start), min(until, within.until)
        if first < last:
            changes.setdefault(first, []).append(rank)
            changes.setdefault(last, []).append(~rank)
    open_reports = [0] * (_SILENCE + 1)
    begun, before = within.start, _state(open_reports)
    for instant in sorted(changes):
        for change in changes[instant]:
            if change >= 0:
                open_reports[change] += 1
            else:
                open_reports[~change] -= 1
        after = _state(open_reports)
        if after != before:
            if begun < instant:
                yield Stretch(Interval(begun, instant), *before)
            begun, before = instant, after
    if begun < within.until:
        yield Stretch(Interval(begun, within.until), *before)


_BEST: Final = Status.OPERATIONAL


def _rank(status: Status) -> int:
    return status.rank


def _spans(reports: Iterable[StatusReport], silences: Iterable[Interval]) -> Iterator[tuple[Instant, Instant, int]]:
    for report in reports:
        yield report.start, report.until, report.status.rank
    for silence in silences:
        yield silence.start, silence.until, _SILENCE


def _state(open_reports: list[int]) -> tuple[Status, bool, bool]:
    worst = next((rank for rank in range(_SILENCE - 1, _MAINTENANCE, -1) if open_reports[rank]), 0)
    return _BY_RANK[worst], bool(open_reports[_MAINTENANCE]), bool(open_reports[_SILENCE])
