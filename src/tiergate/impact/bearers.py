"""Bearers: made-up subjects such that every real one is decided as some of them are, on both sides.

What a holder gets of an item depends on how many it holds and whether it holds it twice, which tell multiplied from
not and on top from not; and on the rollout, which goes by when it was added, a share, a tag or a pin. So there is one
bearer for each way in which the rollouts of both sides tell holders apart. A set of more than two tags is decided by
the last rollout that fits on either side, and so like some pair of them.
"""

from __future__ import annotations

from enum import StrEnum
from functools import lru_cache
from itertools import combinations, count, pairwise, product
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from tiergate.engine.holdings import share_bucket
from tiergate.model import (
    UNLIMITED,
    Amount,
    AudienceType,
    Customer,
    FeatureType,
    Given,
    HeldItem,
    Level,
    Override,
    OverrideMode,
    Subject,
    SubjectRecord,
    SubjectType,
    Subscription,
    SubscriptionStatus,
)
from tiergate.model.items import SHARE_STEPS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tiergate.model import Feature, IndexedItem, Rollout, Value

__all__ = ["EVERYBODY", "Audience", "Bearer", "Bearing", "Names", "beside_items", "emptied", "holders", "renamed"]


class Bearing(StrEnum):
    """How an item is held, or what there is in its place."""

    ONE = "one"
    TWO = "two"
    TWICE = "twice"
    OVERRIDDEN = "overridden"
    SUBSCRIPTION = "subscription"
    NOBODY = "nobody"
    OVERRIDE = "override"


class Audience(msgspec.Struct, frozen=True, omit_defaults=True):
    """Which holders of an item: by version pinned to, instant added at, tags, and place in the item's shares.

    `share`: from and below which place, of 10,000.
    """

    pin: int | None = None
    added: int | None = None
    tags: tuple[str, ...] = ()
    share: tuple[int, int] | None = None


EVERYBODY = Audience()
"""Holders without anything that a rollout could go by."""


class Names(NamedTuple):
    """Who a bearer is to Cedar: ids of the customer and a subscription where a rule names them, tags, attributes."""

    customer: str = ""
    subscription: str = ""
    tags: tuple[str, ...] = ()
    attributes: tuple[tuple[str, str], ...] = ()


class Bearer(NamedTuple):
    """A made-up subject. `known`: as somebody whom rules may tell from others."""

    record: SubjectRecord
    bearing: Bearing
    item: str = ""
    audience: Audience = EVERYBODY
    known: bool = False

    @property
    def subject(self) -> Subject:
        """The customer."""
        return Subject(self.record.customer.id)

    def subjects(self, users: tuple[str, ...]) -> Iterator[Subject]:
        """The customer, its first subscription, and these users inside either."""
        found = [self.subject]
        if self.record.subscriptions:
            found.append(Subject(self.record.subscriptions[0].id, SubjectType.SUBSCRIPTION))
        yield from found
        for one, user in product(found, users):
            yield Subject(one.id, one.type, user)


_CUSTOMER = "bearer"
_ACTIVE = SubscriptionStatus.ACTIVE


def holders(items: list[IndexedItem], *, values_differ: bool) -> Iterator[Bearer]:
    """Bearers of an item as one or both sides have it.

    `values_differ`: whether a version that both sides have gives different things on them. If not, those who are
    pinned are held to one way of holding it.
    """
    item = items[0].id
    for audience in _audiences(items):
        ways = (Bearing.ONE, Bearing.TWO, Bearing.TWICE)
        for bearing in ways if audience.pin is None or values_differ else ways[:1]:
            yield Bearer(_record(item, audience, bearing), bearing, item, audience)


def _audiences(items: list[IndexedItem]) -> Iterator[Audience]:
    rollouts = [rollout for item in items for rollout in item.rollouts]
    tags = sorted({it.audience.tag for it in rollouts if it.audience.type is AudienceType.TAG})
    sets = [(), *((tag,) for tag in tags), *combinations(tags, 2)]
    added = [None, *sorted({it.start for it in rollouts if it.audience.type is AudienceType.NEW})]
    for one, share, tagged in product(added, _shares(rollouts), sets):
        yield Audience(None, one, tagged, share)
    pins = set(items[0].versions).intersection(*(it.versions for it in items[1:]))
    for pin in sorted(pins if len(items) > 1 else ()):
        yield Audience(pin)


def _shares(rollouts: list[Rollout]) -> list[tuple[int, int] | None]:
    """The places in an item's shares, parted where some rollout parts them; nothing where none does."""
    ends = {it.audience.share for it in rollouts if it.audience.type is AudienceType.SHARE}
    if not ends:
        return [None]
    marks = sorted({0, SHARE_STEPS} | {end for end in ends if 0 < end < SHARE_STEPS})
    return list(pairwise(marks))


def _record(item: str, audience: Audience, bearing: Bearing) -> SubjectRecord:
    customer = _CUSTOMER if audience.share is None else _in_share(item, *audience.share)
    quantity = 2 if bearing is Bearing.TWO else 1
    held = HeldItem(item, quantity, audience.pin, audience.added)
    names = ("one", "other") if bearing is Bearing.TWICE else ("one",)
    return SubjectRecord(
        Customer(customer, audience.tags),
        tuple(Subscription(f"{customer}.{name}", customer, _ACTIVE, (held,)) for name in names),
    )


@lru_cache(maxsize=4096)
def _in_share(item: str, start: int, until: int) -> str:
    """A customer who stands at such a place in an item's shares."""
    return next(name for name in (f"bearer-{it}" for it in count()) if start <= share_bucket(name, item) < until)


def beside_items(features: list[Feature]) -> Iterator[Bearer]:
    """Bearers of no item, who tell what is said of a feature itself: as one or both sides have it.

    Nobody who has a subscription; one who has, without items; who has an override to the most there is, or to each
    level; and two subscriptions overridden to the least, and two to which that is added, whose numbers are combined.
    """
    yield Bearer(SubjectRecord(Customer(_CUSTOMER)), Bearing.NOBODY)
    yield Bearer(SubjectRecord(Customer(_CUSTOMER), (_overridden("one", ()),)), Bearing.SUBSCRIPTION)
    for value in _tops(features):
        override = _override(features[0], value)
        yield Bearer(SubjectRecord(Customer(_CUSTOMER, overrides=(override,))), Bearing.OVERRIDE)
        if isinstance(value, Amount):
            added = msgspec.structs.replace(override, mode=OverrideMode.ADD)
            for one in (override, added):
                two = tuple(_overridden(name, (one,)) for name in ("one", "other"))
                yield Bearer(SubjectRecord(Customer(_CUSTOMER), two), Bearing.OVERRIDE)
        elif value is UNLIMITED:
            yield Bearer(SubjectRecord(Customer(_CUSTOMER), (_overridden("one", (override,)),)), Bearing.OVERRIDE)


def _tops(features: list[Feature]) -> list[Value]:
    """The values to override with: those that mean something on every side."""
    if len({it.type for it in features}) > 1:
        return []
    match features[0].type:
        case FeatureType.SWITCH:
            return [Given(on=True)]
        case FeatureType.CUSTOM:
            return [Level(it) for it in features[0].labels if all(other.rank(it) for other in features)]
        case _ if len({it.scale for it in features}) > 1:  # a number of units says another number then
            return [UNLIMITED]
        case _:
            return [Amount(1), UNLIMITED]


def _override(feature: Feature, value: Value) -> Override:
    return Override("made-up", feature.id, OverrideMode.REPLACE, value)


def _overridden(name: str, overrides: tuple[Override, ...]) -> Subscription:
    return Subscription(f"{_CUSTOMER}.{name}", _CUSTOMER, _ACTIVE, overrides=overrides)


def emptied(bearer: Bearer, feature: Feature) -> Bearer:
    """The holder of an item from which an override takes what it has of a feature, so that only rules give it."""
    match feature.type:
        case FeatureType.SWITCH:
            value: Value = Given(on=False)
        case FeatureType.CUSTOM:
            value = Level(feature.labels[0])
        case _:
            value = Amount(0)
    override = _override(feature, value)
    held = tuple(msgspec.structs.replace(it, overrides=(override,)) for it in bearer.record.subscriptions)
    return bearer._replace(record=SubjectRecord(bearer.record.customer, held), bearing=Bearing.OVERRIDDEN)


def renamed(bearer: Bearer, names: Names) -> Bearer:
    """The same bearer as somebody whom rules can know."""
    record = bearer.record
    customer = msgspec.structs.replace(
        record.customer,
        id=names.customer or record.customer.id,
        tags=tuple(sorted({*record.customer.tags, *names.tags})),
        attributes=dict(names.attributes),
    )
    ids = [names.subscription or it.id if not place else it.id for place, it in enumerate(record.subscriptions)]
    held = tuple(
        msgspec.structs.replace(it, id=id_, customer=customer.id)
        for id_, it in zip(ids, record.subscriptions, strict=True)
    )
    return bearer._replace(record=SubjectRecord(customer, held), known=True)
