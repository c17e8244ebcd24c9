"""What is promised of features, in general and by items, and how that changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from tiergate.model import FOREVER, Interval, ServiceLevel
from tiergate.status.figures import Target

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from tiergate.model import Catalog, Instant, Item


class PromiseKey(NamedTuple):
    """A feature, and the item that promises something of it; empty: what is promised to everybody."""

    feature: str
    item: str = ""


def promised_in(catalog: Catalog, key: PromiseKey) -> ServiceLevel | None:
    """Return what a catalog promises; of an item, only what it promises itself."""
    feature = catalog.features.get(key.feature)
    if feature is None:
        return None
    if not key.item:
        return feature.service_level
    item = catalog.items.get(key.item)
    own = None if item is None else item.service_levels.get(key.feature)
    return None if own is None else own.promise(feature.service_level)


def changed_promises(before: Catalog, after: Catalog) -> dict[PromiseKey, ServiceLevel | None]:
    """Return the promises that differ from one catalog to the next, as they are then; `None`: there is none."""
    features = {
        id_
        for id_ in before.features.keys() | after.features.keys()
        if before.features.get(id_) is not after.features.get(id_)
    }
    keys = {PromiseKey(id_) for id_ in features}
    for catalog, other in ((before, after), (after, before)):
        for item in catalog.items.values():
            if item.service_levels:
                keys.update(_keys_of(item, features, is_same=other.items.get(item.id) is item))
    changes = {key: promised_in(after, key) for key in keys}
    return {key: changes[key] for key in sorted(changes) if changes[key] != promised_in(before, key)}


def _keys_of(item: Item, features: set[str], *, is_same: bool) -> Iterator[PromiseKey]:
    for feature in item.service_levels:
        if not is_same or feature in features:
            yield PromiseKey(feature, item.id)


def targets_of(changes: Iterable[tuple[Instant, ServiceLevel | None]]) -> list[Target]:
    """Return targets from what changed when, in the order of time; the last one is for ever."""
    listed = list(changes)
    ends = [*(start for start, _ in listed[1:]), FOREVER][: len(listed)]
    return [Target(Interval(start, until), level) for (start, level), until in zip(listed, ends, strict=True)]


def overlaid(general: Sequence[Target], own: Sequence[Target]) -> list[Target]:
    """Return what holders of an item are promised: what the item promises while it does, else what everybody is."""
    kept = [target for target in own if target.service_level is not None]
    found = list(kept)
    for target in general:
        start = target.interval.start
        for taken in kept:
            if taken.interval.until <= start or taken.interval.start >= target.interval.until:
                continue
            if start < taken.interval.start:
                found.append(Target(Interval(start, taken.interval.start), target.service_level))
            start = taken.interval.until
        if start < target.interval.until:
            found.append(Target(Interval(start, target.interval.until), target.service_level))
    return sorted(found, key=_start)


def target_at(targets: Iterable[Target], now: Instant) -> Target | None:
    """Return the target that is in force at an instant, if something is promised then."""
    for target in targets:
        if target.interval.start <= now < target.interval.until:
            return target if target.service_level is not None else None
    return None


def _start(target: Target) -> Instant:
    return target.interval.start
