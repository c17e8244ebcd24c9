"""Rollouts as data: whom one covers, which of them can still decide, and whether a change takes a version away.

Pure; who is in which audience is the engine's to say (`engine.holdings`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from tiergate.model import BEGINNING, Audience, AudienceType, Instant, Rollout
from tiergate.model.items import SHARE_STEPS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["MARGIN", "Launch", "covers", "narrowed", "pruned", "reachable"]

MARGIN: Final = 3_600_000
"""Milliseconds for which an entry stays that later ones have replaced: no sidecar's clock is that far behind."""


class Launch(NamedTuple):
    """Whom a new version is for, and from when on; `start` is `None` for at once."""

    audience: Audience = Audience()
    start: Instant | None = None

    def rollout(self, version: int, now: Instant) -> Rollout:
        """The entry that says so of a version. Those added from now on are those added since `now`."""
        start = self.start
        if start is None:
            start = now if self.audience.type is AudienceType.NEW else BEGINNING
        return Rollout(version, start, self.audience)


def covers(wide: Rollout, narrow: Rollout) -> bool:
    """Say whether everybody who can be in the audience of `narrow` is in that of `wide`."""
    one, other = wide.audience, narrow.audience
    if other.type is AudienceType.SHARE and not other.share:
        return True
    match one.type:
        case AudienceType.EVERYBODY:
            return True
        case AudienceType.SHARE:
            return one.share == SHARE_STEPS or (other.type is AudienceType.SHARE and other.share <= one.share)
        case AudienceType.TAG:
            return other.type is AudienceType.TAG and other.tag == one.tag
        case AudienceType.NEW:
            return other.type is AudienceType.NEW and narrow.start >= wide.start


def pruned(rollouts: Sequence[Rollout], now: Instant) -> tuple[Rollout, ...]:
    """The rollouts without those that can never decide any more: a later one holds for all of theirs."""
    settled = now - MARGIN
    return tuple(
        rollout
        for place, rollout in enumerate(rollouts)
        if not any(
            covers(later, rollout) and later.start <= max(rollout.start, settled) for later in rollouts[place + 1 :]
        )
    )


def reachable(rollouts: Iterable[Rollout], pins: Iterable[int]) -> frozenset[int]:
    """The versions that a rollout, now or in the future, or a pin can reach."""
    return frozenset(rollout.version for rollout in rollouts) | frozenset(pins)


def narrowed(old: Sequence[Rollout], new: Sequence[Rollout], now: Instant) -> list[Rollout]:
    """Those of the old rollouts of which some member may now get a lower version, or later, than it said."""
    return [rollout for rollout in pruned(old, now) if not _kept(rollout, new, now)]


def _kept(rollout: Rollout, new: Sequence[Rollout], now: Instant) -> bool:
    for place, entry in enumerate(new):
        if entry.version < rollout.version or not covers(entry, rollout) or entry.start > max(rollout.start, now):
            continue
        if all(later.version >= rollout.version for later in new[place + 1 :]):
            return True
    return False
