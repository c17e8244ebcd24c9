"""Outcomes of many features in many minutes, as they are kept in memory, in a journal and in batches."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from tiergate.model import Instant
from tiergate.status.outcomes import Outcomes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class MinuteSum(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """The outcomes of a `feature` in the minute that begins at `minute`. `slow`: pairs of `Outcomes.slow`, in order."""

    feature: str
    minute: Instant
    requests: int
    failed: int = 0
    slow: tuple[tuple[int, int], ...] = ()

    @property
    def outcomes(self) -> Outcomes:
        """The numbers."""
        return Outcomes(self.requests, self.failed, dict(self.slow))

    @classmethod
    def of(cls, feature: str, minute: Instant, outcomes: Outcomes) -> MinuteSum:
        """Return the outcomes of a feature in a minute."""
        return cls(feature, minute, outcomes.requests, outcomes.failed, tuple(sorted(outcomes.slow.items())))


class Minutes:
    """Sums by minute and feature. `count`: how many sums there are."""

    def __init__(self) -> None:
        self._sums: dict[Instant, dict[str, Outcomes]] = {}
        self.count = 0

    def add(self, one: MinuteSum) -> None:
        """Add a sum to what is here."""
        sums = self._sums.setdefault(one.minute, {})
        before = sums.get(one.feature)
        if before is None:
            self.count += 1
            sums[one.feature] = one.outcomes
        else:
            sums[one.feature] = before + one.outcomes

    def add_all(self, sums: Iterable[MinuteSum]) -> None:
        """Add several sums."""
        for one in sums:
            self.add(one)

    def take(self, most: int) -> tuple[MinuteSum, ...]:
        """Remove and return the first sums, by minute and feature: at most so many."""
        taken: list[MinuteSum] = []
        for minute in sorted(self._sums):
            room = most - len(taken)
            if room <= 0:
                break
            sums = self._sums[minute]
            taken += [MinuteSum.of(feature, minute, sums.pop(feature)) for feature in sorted(sums)[:room]]
            if not sums:
                del self._sums[minute]
        self.count -= len(taken)
        return tuple(taken)

    def drop(self, before: Instant) -> int:
        """Remove the minutes that began before an instant; return how many requests they had."""
        requests = 0
        for minute in [minute for minute in self._sums if minute < before]:
            sums = self._sums.pop(minute)
            self.count -= len(sums)
            requests += sum(outcomes.requests for outcomes in sums.values())
        return requests

    def drop_oldest(self) -> None:
        """Remove the oldest minute, if there is one."""
        if self._sums:
            self.count -= len(self._sums.pop(min(self._sums)))

    @property
    def oldest(self) -> Instant | None:
        """The oldest minute."""
        return min(self._sums, default=None)

    def of_feature(self, feature: str, start: Instant) -> Iterator[MinuteSum]:
        """Yield the sums of a feature in the minutes that begin from an instant on, in any order."""
        for minute, sums in self._sums.items():
            outcomes = sums.get(feature) if minute >= start else None
            if outcomes is not None:
                yield MinuteSum.of(feature, minute, outcomes)

    def freeze(self) -> Iterator[MinuteSum]:
        """Return the sums as they are now, which may be read in another thread while they change."""
        frozen = [(minute, sums.copy()) for minute, sums in self._sums.items()]
        return (
            MinuteSum.of(feature, minute, outcomes) for minute, sums in frozen for feature, outcomes in sums.items()
        )

    def __iter__(self) -> Iterator[MinuteSum]:
        return self.freeze()
