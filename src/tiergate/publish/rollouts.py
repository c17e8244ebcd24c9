"""Versions and rollouts of items: their history, which audiences a rollout covers, which can still decide.

The engine decides which customers are in an audience (`engine.active_items`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

from msgspec.structs import replace

from tiergate.model import BEGINNING, Audience, AudienceType, Instant, Rollout
from tiergate.model.items import SHARE_STEPS
from tiergate.store.publications import versions
from tiergate.store.references import pinned_versions

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from tiergate.model import Definition, Item, Value
    from tiergate.store import ReadUnit


CLOCK_MARGIN: Final = 3_600_000
"""Milliseconds for which a replaced rollout is kept: no sidecar's clock is that far behind."""


class RolloutTarget(NamedTuple):
    """The customers who get a new version, and from when on; `start`: `None` for now."""

    audience: Audience = Audience()
    start: Instant | None = None

    def rollout(self, version: int, now: Instant) -> Rollout:
        """Return the rollout of a version. New customers are those since `now`."""
        start = self.start
        if start is None:
            start = now if self.audience.type is AudienceType.NEW else BEGINNING
        return Rollout(version, start, self.audience)


def current_version(rollouts: Sequence[Rollout], now: Instant) -> int:
    """Return the version that an item gives new customers, apart from shares and tags; 0 if it gives nothing.

    A draft begins with this version and is compared with it. If no active rollout is for everybody or for new
    customers, it is the version of the last active one; if none is active yet, of the last one.
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
    """Apply the edits from `old` to `draft` to `new`, feature by feature."""
    features = sorted(draft.keys() | new.keys())
    picked = {id_: (new if draft.get(id_) == old.get(id_) else draft).get(id_) for id_ in features}
    return {id_: value for id_, value in picked.items() if value is not None}


def covers(wide: Rollout, narrow: Rollout) -> bool:
    """Return whether all who can be in the audience of `narrow` are in that of `wide`."""
    outer, inner = wide.audience, narrow.audience
    if inner.type is AudienceType.SHARE and not inner.share:
        return True
    match outer.type:
        case AudienceType.EVERYBODY:
            return True
        case AudienceType.SHARE:
            return outer.share == SHARE_STEPS or (inner.type is AudienceType.SHARE and inner.share <= outer.share)
        case AudienceType.TAG:
            return inner.type is AudienceType.TAG and inner.tag == outer.tag
        case AudienceType.NEW:
            return inner.type is AudienceType.NEW and narrow.start >= wide.start


def prune_rollouts(rollouts: Sequence[Rollout], now: Instant) -> tuple[Rollout, ...]:
    """Return the rollouts without those that can no longer decide, because a later one covers them."""
    settled = now - CLOCK_MARGIN
    return tuple(
        rollout
        for place, rollout in enumerate(rollouts)
        if not any(
            covers(later, rollout) and later.start <= max(rollout.start, settled) for later in rollouts[place + 1 :]
        )
    )


def find_redundant_rollout(old: Sequence[Rollout], new: Sequence[Rollout]) -> Rollout | None:
    """Return a new rollout whose audience already has its version by an earlier one, or `None`."""
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
    """Return the versions that a rollout, now or in the future, or a pin can reach."""
    return frozenset(rollout.version for rollout in rollouts) | frozenset(pins)


def set_rollouts(item: Item, rollouts: Sequence[Rollout], known: Mapping[int, Definition], pins: Iterable[int]) -> Item:
    """Return an item with these rollouts, and with those of its `known` versions that can be reached then.

    Without rollouts it keeps its versions, which can be rolled out again.
    """
    numbers = reachable_versions(rollouts, pins) | (frozenset() if rollouts else {it.version for it in item.versions})
    versions = tuple(known[number] for number in sorted(numbers & known.keys()))
    return replace(item, versions=versions, rollouts=tuple(rollouts))


def find_narrowed(old: Sequence[Rollout], new: Sequence[Rollout], now: Instant) -> list[Rollout]:
    """Return the old rollouts of which a member may get a lower version, or get it later."""
    return [rollout for rollout in prune_rollouts(old, now) if not _is_kept(rollout, new, now)]


def _is_kept(rollout: Rollout, new: Sequence[Rollout], now: Instant) -> bool:
    for place, entry in enumerate(new):
        if entry.version < rollout.version or not covers(entry, rollout) or entry.start > max(rollout.start, now):
            continue
        if all(later.version >= rollout.version for later in new[place + 1 :]):
            return True
    return False


@dataclass(frozen=True, slots=True)
class ItemHistory:
    """All published versions of an item, by number, and the numbers of those that subscriptions are pinned to."""

    versions: Mapping[int, Definition] = field(default_factory=dict)
    pins: frozenset[int] = frozenset()

    def versions_with(self, item: Item | None) -> dict[int, Definition]:
        """Return all versions, including those of the item as it is."""
        return {**self.versions, **({} if item is None else {it.version: it for it in item.versions})}


def read_item_history(unit: ReadUnit, items: Collection[str]) -> dict[str, ItemHistory]:
    """Return the history of each item."""
    known, pins = versions(unit.session, items), pinned_versions(unit.session, items)
    return {id_: ItemHistory(known[id_], pins[id_]) for id_ in items}
