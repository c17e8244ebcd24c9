"""Rollouts as data: whom one covers, which can still decide, what a draft is compared with, who loses a version.

Pure; who is in which audience is the engine's to say (`engine.active_items`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from msgspec.structs import replace

from tiergate.model import BEGINNING, Audience, AudienceType, Instant, Rollout
from tiergate.model.items import SHARE_STEPS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tiergate.model import Definition, Item, Value

CLOCK_MARGIN: Final = 3_600_000
"""Milliseconds for which an entry stays that later ones have replaced: no sidecar's clock is that far behind."""


class RolloutTarget(NamedTuple):
    """Whom a new version is for, and from when on; `start` is `None` for at once."""

    audience: Audience = Audience()
    start: Instant | None = None

    def rollout(self, version: int, now: Instant) -> Rollout:
        """The entry that says so of a version. Those added from now on are those added since `now`."""
        start = self.start
        if start is None:
            start = now if self.audience.type is AudienceType.NEW else BEGINNING
        return Rollout(version, start, self.audience)


def current_version(rollouts: Sequence[Rollout], now: Instant) -> int:
    """The version that an item gives to whoever comes now, shares and tags apart; 0 where nobody gets anything of it.

    A draft is compared with this one, and begins with it. Where no rollout in force is for everybody, nor for those who
    are new, it is the version of the last one in force; where none is in force yet, of the last one.
    """
    begun = [rollout for rollout in rollouts if rollout.start <= now]
    for entry in reversed(begun):
        if entry.audience.type in {AudienceType.EVERYBODY, AudienceType.NEW}:
            return entry.version
    listed = begun or rollouts
    return listed[-1].version if listed else 0


def rebase_entitlements(
    draft: Mapping[str, Value], old: Mapping[str, Value], new: Mapping[str, Value]
) -> dict[str, Value]:
    """The edits that make `draft` of what was given before, made of what is given now: feature by feature."""
    features = sorted(draft.keys() | new.keys())
    picked = {id_: (new if draft.get(id_) == old.get(id_) else draft).get(id_) for id_ in features}
    return {id_: value for id_, value in picked.items() if value is not None}


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


def prune_rollouts(rollouts: Sequence[Rollout], now: Instant) -> tuple[Rollout, ...]:
    """The rollouts without those that can never decide any more: a later one holds for all of theirs."""
    settled = now - CLOCK_MARGIN
    return tuple(
        rollout
        for place, rollout in enumerate(rollouts)
        if not any(
            covers(later, rollout) and later.start <= max(rollout.start, settled) for later in rollouts[place + 1 :]
        )
    )


def find_redundant_rollout(old: Sequence[Rollout], new: Sequence[Rollout]) -> Rollout | None:
    """A new rollout that gives nobody anything: whoever is in its audience has the version by an entry before it."""
    for place, entry in enumerate(new):
        if entry in old:
            continue
        for before in reversed(new[:place]):
            if before.version != entry.version:
                break
            if covers(before, entry) and before.start <= entry.start:
                return entry
    return None


def reachable_versions(rollouts: Iterable[Rollout], pins: Iterable[int]) -> frozenset[int]:
    """The versions that a rollout, now or in the future, or a pin can reach."""
    return frozenset(rollout.version for rollout in rollouts) | frozenset(pins)


def set_rollouts(item: Item, rollouts: Sequence[Rollout], known: Mapping[int, Definition], pins: Iterable[int]) -> Item:
    """An item with these rollouts, and with those of its `known` versions that can be reached then.

    Where nobody gets anything of it, it keeps the versions that it has, which can be given again.
    """
    numbers = reachable_versions(rollouts, pins) | (frozenset() if rollouts else {it.version for it in item.versions})
    versions = tuple(known[number] for number in sorted(numbers & known.keys()))
    return replace(item, versions=versions, rollouts=tuple(rollouts))


def find_narrowed(old: Sequence[Rollout], new: Sequence[Rollout], now: Instant) -> list[Rollout]:
    """Those of the old rollouts of which some member may now get a lower version, or later, than it said."""
    return [rollout for rollout in prune_rollouts(old, now) if not _kept(rollout, new, now)]


def _kept(rollout: Rollout, new: Sequence[Rollout], now: Instant) -> bool:
    for place, entry in enumerate(new):
        if entry.version < rollout.version or not covers(entry, rollout) or entry.start > max(rollout.start, now):
            continue
        if all(later.version >= rollout.version for later in new[place + 1 :]):
            return True
    return False
