"""Next year's pricing as the second version of each item, rolled out to some: who notices, from when on.

Of two years that follow each other, what both sell and offer: the other differences are looked at as a whole elsewhere.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import pytest

from tests.properties.buyers import Bought, Buyer, buyers, record
from tests.properties.versions import catalogs, common, versions
from tests.properties.years import NOW, effected, expected_effects, side
from tests.reference.entitlement import in_share
from tests.reference.pricings import YEARS
from tiergate.bundle import Bundle
from tiergate.compiler import compile_catalog
from tiergate.impact.preview.preview import preview_impact
from tiergate.model import (
    Audience,
    AudienceType,
    Rollout,
    Rules,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.properties.years import Effected, Side
    from tiergate.impact.preview.subject_effects import SubjectEffect
    from tiergate.model import SubjectRecord

DAY = 86_400_000
SHARE = 30
TAG = "early"

each_change = pytest.mark.parametrize(
    ("before", "after", "way"),
    [
        pytest.param(*years, number % 5, marks=() if number % 6 == 0 else pytest.mark.slow)
        for number, years in enumerate(YEARS)
    ],
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
    sides = catalogs(old, new, set(was.features), set(was.items), Rollout(2, how.start, how.audience))
    one, other = (Bundle.from_files(compile_catalog(catalog, Rules())) for catalog in sides)
    everybody = [placed(number, it, old, how) for number, it in enumerate(buyers(was, becomes, 24))]
    told: list[SubjectEffect] = []
    preview_impact(one, other, [it.record for it in everybody], now=NOW, each=told.append)
    expected: set[Effected] = set()
    for it in everybody:
        expected |= expected_effects(both, both, it.first, it.later)
    found = [effected(it, *sides) for it in told]
    assert set(found) == expected
    assert len(found) == len(expected)
    assert {it.since for it in told} <= {max(NOW, how.start)}
