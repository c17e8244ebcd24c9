"""Next year's pricing as the second version of each item, rolled out to some: who notices, from when on.

Of two years that follow each other, what both sell and offer: the other differences are looked at as a whole elsewhere.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import msgspec
import pytest

from tests.properties.buyers import Bought, Buyer, buyers, record
from tests.properties.years import NOW, effected, expected_effects, side
from tests.reference.entitlement import in_share
from tests.reference.pricings import YEARS, Pricing
from tiergate.bundle import Bundle
from tiergate.compiler import compile_catalog
from tiergate.impact.preview import preview
from tiergate.model import (
    Audience,
    AudienceType,
    Catalog,
    Definition,
    Rollout,
    Rules,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.properties.years import Effected, Side
    from tests.reference.pricings import Declared
    from tiergate.impact.effects import SubjectEffect
    from tiergate.model import Item, SubjectRecord

DAY = 86_400_000
SHARE = 30
TAG = "early"

V = TypeVar("V")

each_change = pytest.mark.parametrize(
    ("before", "after", "way"),
    [(*years, number % 5) for number, years in enumerate(YEARS)],
    ids=[f"{before.parent.name}-{before.stem}-{after.stem}" for before, after in YEARS],
)


class Holder(NamedTuple):
    """Who holds an item: all that rollouts can go by."""

    customer: str
    item: str
    added: int
    tags: tuple[str, ...]


class Way(NamedTuple):
    """How the second version is rolled out, and whom it reaches."""

    start: int
    audience: Audience
    reaches: Callable[[Holder], bool]


WAYS = [
    Way(NOW - DAY, Audience(), lambda _: True),
    Way(NOW + DAY, Audience(), lambda _: True),
    Way(
        NOW + DAY,
        Audience(AudienceType.SHARE, share=SHARE * 100),
        lambda holder: in_share(holder.customer, holder.item, Decimal(SHARE)),
    ),
    Way(NOW - DAY, Audience(AudienceType.NEW), lambda holder: holder.added >= NOW - DAY),
    Way(NOW + DAY, Audience(AudienceType.TAG, tag=TAG), lambda holder: TAG in holder.tags),
]


def common(old: Pricing, new: Pricing) -> tuple[Pricing, Pricing]:
    """What both years sell, of what both years say the same for everybody."""
    features = {name: declared for name, declared in old.features.items() if new.features.get(name) == declared}

    def of(one: Pricing, other: Pricing) -> Pricing:
        return Pricing(
            {name: kept(given, features) for name, given in one.plans.items() if name in other.plans},
            {name: kept(given, features) for name, given in one.add_ons.items() if name in other.add_ons},
            {name: kept(given, features) for name, given in one.added.items() if name in other.added},
            features,
        )

    return of(old, new), of(new, old)


def kept(given: dict[str, V], features: dict[str, Declared]) -> dict[str, V]:
    """What is given of some features."""
    return {name: value for name, value in given.items() if name in features}


def versions(old: Pricing, new: Pricing) -> Pricing:
    """Both years as one: `PRO@1` and `PRO@2`."""
    sides = ((1, old), (2, new))
    return Pricing(
        {f"{name}@{number}": given for number, of in sides for name, given in of.plans.items()},
        {f"{name}@{number}": given for number, of in sides for name, given in of.add_ons.items()},
        {f"{name}@{number}": given for number, of in sides for name, given in of.added.items()},
        old.features,
    )


def catalogs(old: Side, new: Side, features: set[str], items: set[str], way: Way) -> tuple[Catalog, Catalog]:
    """A catalog of first versions, and one with the second ones rolled out."""
    kept_features = {id_: it for id_, it in old.catalog.features.items() if it.name in features}
    later = {it.name: it for it in new.catalog.items.values()}

    def definition(item: Item, number: int) -> Definition:
        given = item.versions[0].entitlements
        return Definition(number, {id_: value for id_, value in given.items() if id_ in kept_features})

    before, after = {}, {}
    for id_, item in old.catalog.items.items():
        if item.name not in items:
            continue
        one = msgspec.structs.replace(
            item, available_for=(), depends_on=(), excludes=(), versions=(definition(item, 1),)
        )
        before[id_] = one
        both = (definition(item, 1), definition(later[item.name], 2))
        rollouts = (Rollout(1), Rollout(2, way.start, way.audience))
        after[id_] = msgspec.structs.replace(one, versions=both, rollouts=rollouts)
    features_ = {id_: msgspec.structs.replace(it, linked=()) for id_, it in kept_features.items()}
    return Catalog(features_, before), Catalog(features_, after)


class Placed(NamedTuple):
    """A customer as they hold first versions, as they do once the rollout has come, and in the terms of `tiergate`."""

    first: Buyer
    later: Buyer
    record: SubjectRecord


def placed(number: int, buyer: Buyer, old: Side, way: Way) -> Placed:
    """Give a customer tags, times and pins, and work out which versions that makes."""
    tags = (TAG,) if number % 3 else ()
    ids = {name: id_ for id_, name in old.items.items()}
    features = {it.name: it for it in old.catalog.features.values()}
    written = record(buyer, ids, features)
    first, later, subscriptions = [], [], []
    for place, (bought, subscription) in enumerate(zip(buyer.bought, written.subscriptions, strict=True)):
        added = NOW - DAY - 1 + (number + place) % 2
        pin = 1 if (number + place) % 4 == 0 else None
        held = tuple(msgspec.structs.replace(it, added_at=added, version=pin) for it in subscription.items)
        subscriptions.append(msgspec.structs.replace(subscription, items=held))
        reached = {
            name: pin is None and way.reaches(Holder(buyer.id, ids[name], added, tags)) for name in bought.holding
        }
        first.append(bought._replace(holding={f"{name}@1": count for name, count in bought.holding.items()}))
        later.append(
            Bought(
                bought.id,
                bought.live,
                {f"{name}@{2 if reached[name] else 1}": count for name, count in bought.holding.items()},
            )
        )
    customer = msgspec.structs.replace(written.customer, tags=tags)
    return Placed(
        Buyer(buyer.id, tuple(first), buyer.exempt, {}),
        Buyer(buyer.id, tuple(later), buyer.exempt, {}),
        msgspec.structs.replace(written, customer=customer, subscriptions=tuple(subscriptions)),
    )


@each_change
def test_who_is_reached_notices_from_then_on(before: Path, after: Path, way: int) -> None:
    """Those whom the rollout reaches, and nobody who is pinned, not in its share, without its tag, or there before."""
    old, new, how = side(before), side(after), WAYS[way]
    was, becomes = common(old.said, new.said)
    if not was.plans:
        return
    both = versions(was, becomes)
    sides = catalogs(old, new, set(was.features), set(was.items), how)
    one, other = (Bundle.from_files(compile_catalog(catalog, Rules())) for catalog in sides)
    everybody = [placed(number, it, old, how) for number, it in enumerate(buyers(was, becomes, 24))]
    told: list[SubjectEffect] = []
    preview(one, other, [it.record for it in everybody], now=NOW, each=told.append)
    expected: set[Effected] = set()
    for it in everybody:
        expected |= expected_effects(both, both, it.first, it.later)
    found = [effected(it, *sides) for it in told]
    assert set(found) == expected
    assert len(found) == len(expected)
    assert {it.since for it in told} <= {max(NOW, how.start)}
