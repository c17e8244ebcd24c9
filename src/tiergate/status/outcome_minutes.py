"""Outcomes of many features in many minutes, as they are kept in memory, in a journal and in batches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from tiergate.model import Instant
from tiergate.status.outcomes import Outcomes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

_MOST_OPEN: Final = 16
"""How many minutes are kept as objects."""


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
    """Sums by minute and feature. `count`: how many sums there are.

    All but the minutes that were changed last are packed: with many features, days of them would take a multiple of the
    memory as objects.
    """

    def __init__(self) -> None:
        self._open: dict[Instant, dict[str, Outcomes]] = {}  # the one that was changed last is the last
        self._packed: dict[Instant, tuple[int, bytes]] = {}  # how many sums, and what `_pack` makes of them
        self.count = 0

    def add(self, one: MinuteSum) -> None:
        """Add a sum to what is here."""
        sums = self._open.get(one.minute)
        if sums is None:
            sums = self._open[one.minute] = self._unpack(one.minute)
            if len(self._open) > _MOST_OPEN:
                oldest = next(iter(self._open))
                self._packed[oldest] = _pack(self._open.pop(oldest))
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
        for minute in sorted(self._minutes()):
            room = most - len(taken)
            if room <= 0:
                break
            sums = self._open.pop(minute, None) or self._unpack(minute)
            taken += [MinuteSum.of(feature, minute, sums.pop(feature)) for feature in sorted(sums)[:room]]
            if sums:
                self._open[minute] = sums
        self.count -= len(taken)
        return tuple(taken)

    def drop(self, before: Instant) -> int:
        """Remove the minutes that began before an instant; return how many requests they had."""
        requests = 0
        for minute in [minute for minute in self._minutes() if minute < before]:
            sums = self._open.pop(minute, None) or self._unpack(minute)
            self.count -= len(sums)
            requests += sum(outcomes.requests for outcomes in sums.values())
        return requests

    def drop_oldest(self) -> None:
        """Remove the oldest minute, if there is one."""
        oldest = self.oldest
        if oldest is not None:
            self.drop(oldest + 1)

    @property
    def oldest(self) -> Instant | None:
        """The oldest minute."""
        return min(self._minutes(), default=None)

    def search(self, feature: str, start: Instant) -> Iterator[MinuteSum | None]:
        """Return the sums of a feature now, in the minutes that begin from an instant on, in any order.

        They may change while they are read. `None`: there is none in a minute, and others may have their turn.
        """
        opened = [(minute, sums.get(feature)) for minute, sums in self._open.items() if minute >= start]
        packed = [(minute, content) for minute, (_, content) in self._packed.items() if minute >= start]
        return _search(feature, opened, packed)

    def freeze(self) -> Iterator[MinuteSum]:
        """Return the sums as they are now, which may be read in another thread while they change."""
        opened = [(minute, sums.copy()) for minute, sums in self._open.items()]
        packed = [(minute, content) for minute, (_, content) in self._packed.items()]
        return _all(opened, packed)

    def __iter__(self) -> Iterator[MinuteSum]:
        return self.freeze()

    def _minutes(self) -> list[Instant]:
        return [*self._open, *self._packed]

    def _unpack(self, minute: Instant) -> dict[str, Outcomes]:
        packed = self._packed.pop(minute, None)
        return {} if packed is None else _unpack(packed[1])


class _Packed(msgspec.Struct, array_like=True, frozen=True, gc=False):
    requests: int
    failed: int = 0
    slow: tuple[tuple[int, int], ...] = ()

    @property
    def outcomes(self) -> Outcomes:
        return Outcomes(self.requests, self.failed, dict(self.slow))


_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(dict[str, _Packed]).decode
_decode_some: Final = msgspec.msgpack.Decoder(dict[str, msgspec.Raw]).decode
_decode_one: Final = msgspec.msgpack.Decoder(_Packed).decode


def _pack(sums: Mapping[str, Outcomes]) -> tuple[int, bytes]:
    packed = {
        feature: _Packed(each.requests, each.failed, tuple(sorted(each.slow.items()))) for feature, each in sums.items()
    }
    return len(sums), _encode(packed)


def _unpack(content: bytes) -> dict[str, Outcomes]:
    return {feature: each.outcomes for feature, each in _decode(content).items()}


def _all(
    opened: Iterable[tuple[Instant, Mapping[str, Outcomes]]], packed: Iterable[tuple[Instant, bytes]]
) -> Iterator[MinuteSum]:
    for minute, sums in opened:
        for feature, outcomes in sums.items():
            yield MinuteSum.of(feature, minute, outcomes)
    for minute, content in packed:
        for feature, each in _decode(content).items():
            yield MinuteSum(feature, minute, each.requests, each.failed, each.slow)


def _search(
    feature: str, opened: Iterable[tuple[Instant, Outcomes | None]], packed: Iterable[tuple[Instant, bytes]]
) -> Iterator[MinuteSum | None]:
    for minute, outcomes in opened:
        yield None if outcomes is None else MinuteSum.of(feature, minute, outcomes)
    for minute, content in packed:
        raw = _decode_some(content).get(feature)
        yield None if raw is None else MinuteSum.of(feature, minute, _decode_one(raw).outcomes)
