"""Made-up subjects such that every real one is decided like one of them, on both sides.

The value that an item grants depends on the quantity, on whether two subscriptions have it, and on its rollouts, which
go by the instant it was added, a share, a tag or a pin. There is one subject for each way in which the rollouts of both
sides distinguish holders. With more than two tags the last matching rollout decides, as for some pair of them.
"""

from __future__ import annotations

from enum import StrEnum
from functools import lru_cache
from itertools import combinations, count, islice, pairwise, product
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from tiergate.engine.active_items import share_bucket
from tiergate.model import (
    UNLIMITED,
    Amount,
    AudienceType,
    Customer,
    FeatureType,
    Level,
    Override,
    OverrideMode,
    Subject,
    SubjectRecord,
    Subscription,
    SubscriptionItem,
    SubscriptionStatus,
    Switch,
)
from tiergate.model.items import SHARE_STEPS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from tiergate.model import CatalogIndex, Feature, IndexedItem, Rollout, Value


class HoldingPattern(StrEnum):
    """How a subject holds an item, or what it has instead."""

    ONE = "one"
    TWO = "two"
    TWICE = "twice"
    SUBSCRIPTION = "subscription"
    NOBODY = "nobody"
    OVERRIDE = "override"


class HolderGroup(msgspec.Struct, frozen=True, omit_defaults=True):
    """Which holders of an item: by pinned version, instant added at, tags, and position in the item's shares.

    `share`: from and below which position, of 10,000.
    """

    pin: int | None = None
    added: int | None = None
    tags: tuple[str, ...] = ()
    share: tuple[int, int] | None = None


ALL_HOLDERS = HolderGroup()
"""Holders that no rollout distinguishes."""


class RepresentativeSubject(NamedTuple):
    """A made-up subject. `beside`: the items that the item requires."""

    record: SubjectRecord
    bearing: HoldingPattern
    item: str = ""
    audience: HolderGroup = ALL_HOLDERS
    beside: tuple[str, ...] = ()

    @property
    def subject(self) -> Subject:
        """The customer."""
        return Subject(self.record.customer.id)


MAX_COMBINATIONS: Final = 64
"""How many combinations with required items are compared."""

_CUSTOMER = "bearer"
_ACTIVE = SubscriptionStatus.ACTIVE


def subjects_with_item(
    items: list[IndexedItem], *, values_differ: bool, sides: Iterable[CatalogIndex] = ()
) -> Iterator[RepresentativeSubject]:
    """Yield subjects for an item on one or both sides, with the items it requires on these `sides`.

    `values_differ`: whether a version of both sides grants different values. If not, pins need only one pattern.
    """
    item = items[0].id
    sides = list(sides)
    groups = item_combinations(item, sides)[:MAX_COMBINATIONS]
    needed = [it for side in sides for group in groups for id_ in group if (it := side.items.get(id_)) is not None]
    for audience in _audiences(items, needed):
        ways = (HoldingPattern.ONE, HoldingPattern.TWO, HoldingPattern.TWICE)
        for bearing in ways if audience.pin is None or values_differ else ways[:1]:
            for others in groups:
                yield RepresentativeSubject(_record(item, others, audience, bearing), bearing, item, audience, others)


def item_combinations(item: str, sides: Iterable[CatalogIndex]) -> list[tuple[str, ...]]:
    """Return each set of items that makes an item count on some side; up to one more than compared."""
    result: dict[tuple[str, ...], None] = {}
    for side in sides:
        if item in side.items:
            for group in islice(_sufficient(side, (item,)), MAX_COMBINATIONS + 1):
                result.setdefault(tuple(sorted(set(group) - {item})))
    return list(result) or [()]


def _sufficient(side: CatalogIndex, held: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Yield the least sets of items that contain these and in which all of them count."""
    for id_ in held:
        item = side.items[id_]
        missing = [it for it in item.depends_on if it not in held]
        if missing:
            if missing[0] in side.items:
                yield from _sufficient(side, (*held, missing[0]))
            return
        if item.available_for and not any(it in held for it in item.available_for):
            for plan in item.available_for:
                if plan in side.items:
                    yield from _sufficient(side, (*held, plan))
            return
    yield held


def required_items(side: CatalogIndex, items: Iterable[str], avoided: Collection[str]) -> list[str]:
    """Return the items that some items need to count: the first plan that is not `avoided`."""
    held = dict.fromkeys(items)
    required: list[str] = []
    waiting = list(held)
    while waiting:
        item = side.items.get(waiting.pop())
        if item is None:
            continue
        wanted = [entry for entry in item.depends_on if entry not in held]
        if item.available_for and held.keys().isdisjoint(item.available_for):
            wanted += [value for value in item.available_for if value in side.items and value not in avoided][:1]
        for entry in wanted:
            if entry not in held:
                held[entry] = None
                required.append(entry)
                waiting.append(entry)
    return required


def _audiences(items: list[IndexedItem], needed: Iterable[IndexedItem] = ()) -> Iterator[HolderGroup]:
    rollouts = [rollout for item in items for rollout in item.rollouts]
    beside = [rollout for item in needed for rollout in item.rollouts]
    tags = sorted({it.audience.tag for it in (*rollouts, *beside) if it.audience.type is AudienceType.TAG})
    sets = [(), *((tag,) for tag in tags), *combinations(tags, 2)]
    added = [None, *sorted({rollout.start for rollout in rollouts if rollout.audience.type is AudienceType.NEW})]
    for start, share, tagged in product(added, _shares(rollouts), sets):
        yield HolderGroup(None, start, tagged, share)
    pins = set(items[0].versions).intersection(*(item.versions for item in items[1:]))
    for pin in sorted(pins if len(items) > 1 else ()):
        yield HolderGroup(pin)


def _shares(rollouts: list[Rollout]) -> list[tuple[int, int] | None]:
    """Return the ranges of an item's shares that its rollouts distinguish; `None` for the whole."""
    ends = {it.audience.share for it in rollouts if it.audience.type is AudienceType.SHARE}
    if not ends:
        return [None]
    marks = sorted({0, SHARE_STEPS} | {end for end in ends if 0 < end < SHARE_STEPS})
    return list(pairwise(marks))


def _record(item: str, others: tuple[str, ...], audience: HolderGroup, bearing: HoldingPattern) -> SubjectRecord:
    customer = _CUSTOMER if audience.share is None else _in_share(item, *audience.share)
    quantity = 2 if bearing is HoldingPattern.TWO else 1
    held = (
        SubscriptionItem(item, quantity, audience.pin, audience.added),
        *(SubscriptionItem(other) for other in others),
    )
    names = ("one", "other") if bearing is HoldingPattern.TWICE else ("one",)
    return SubjectRecord(
        Customer(customer, audience.tags),
        tuple(Subscription(f"{customer}.{name}", customer, _ACTIVE, held) for name in names),
    )


@lru_cache(maxsize=4096)
def _in_share(item: str, start: int, until: int) -> str:
    """Return a customer id at such a position in an item's shares."""
    return next(name for name in (f"bearer-{it}" for it in count()) if start <= share_bucket(name, item) < until)


def subjects_without_items(features: list[Feature]) -> Iterator[RepresentativeSubject]:
    """Yield subjects that show the fields of a feature itself, on one or both sides.

    Without a subscription; with an empty one; with an override to the most, or to each level; and with two overridden
    subscriptions, whose numbers are combined.
    """
    yield RepresentativeSubject(SubjectRecord(Customer(_CUSTOMER)), HoldingPattern.NOBODY)
    yield RepresentativeSubject(
        SubjectRecord(Customer(_CUSTOMER), (_overridden("one", ()),)), HoldingPattern.SUBSCRIPTION
    )
    for value in _tops(features):
        override = _override(features[0], value)
        yield RepresentativeSubject(SubjectRecord(Customer(_CUSTOMER, overrides=(override,))), HoldingPattern.OVERRIDE)
        if isinstance(value, Amount):
            added = msgspec.structs.replace(override, mode=OverrideMode.ADD)
            for mode_override in (override, added):
                two = tuple(_overridden(name, (mode_override,)) for name in ("one", "other"))
                yield RepresentativeSubject(SubjectRecord(Customer(_CUSTOMER), two), HoldingPattern.OVERRIDE)
        elif value is UNLIMITED:
            yield RepresentativeSubject(
                SubjectRecord(Customer(_CUSTOMER), (_overridden("one", (override,)),)), HoldingPattern.OVERRIDE
            )


def _tops(features: list[Feature]) -> list[Value]:
    """Return the override values that mean the same on every side."""
    if len({it.type for it in features}) > 1:
        return []
    match features[0].type:
        case FeatureType.SWITCH:
            return [Switch(on=True)]
        case FeatureType.CUSTOM:
            return [Level(label) for label in features[0].labels if all(other.rank(label) for other in features)]
        case _ if len({feature.scale for feature in features}) > 1:  # a number of units says another number then
            return [UNLIMITED]
        case _:
            return [Amount(1), UNLIMITED]


def _override(feature: Feature, value: Value) -> Override:
    return Override("made-up", feature.id, OverrideMode.REPLACE, value)


def _overridden(name: str, overrides: tuple[Override, ...]) -> Subscription:
    return Subscription(f"{_CUSTOMER}.{name}", _CUSTOMER, _ACTIVE, overrides=overrides)
