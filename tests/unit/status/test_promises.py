"""What is promised of features and by items, as catalogs change."""

from __future__ import annotations

import random
from itertools import pairwise

from msgspec.structs import replace

from tiergate.model import (
    Catalog,
    Definition,
    Feature,
    FeatureType,
    Interval,
    Item,
    ItemKind,
    ItemServiceLevel,
    Rollout,
    ServiceLevel,
)
from tiergate.status.figures import Target
from tiergate.status.promises import PromiseKey, changed_promises, overlaid, target_at, targets_of

API = Feature(id="api", type=FeatureType.SWITCH, service_level=ServiceLevel(availability=990_000, latency_ms=300))
PRO = Item(
    id="pro",
    kind=ItemKind.PLAN,
    rollouts=(Rollout(1),),
    versions=(Definition(1, {}),),
    service_levels={"api": ItemServiceLevel(latency_ms=100)},
)
CATALOG = Catalog({"api": API}, {"pro": PRO})


def test_an_item_s_promise_changes_with_the_feature_s() -> None:
    """If it takes something of it; and everything ends with the feature."""
    better = replace(API, service_level=ServiceLevel(availability=999_000, latency_ms=300))
    after = Catalog({"api": better}, {"pro": PRO})
    assert changed_promises(CATALOG, after) == {
        PromiseKey("api"): better.service_level,
        PromiseKey("api", "pro"): ServiceLevel(availability=999_000, latency_ms=100),
    }
    assert changed_promises(CATALOG, Catalog({}, {})) == dict.fromkeys((PromiseKey("api"), PromiseKey("api", "pro")))
    assert (
        changed_promises(CATALOG, Catalog({"api": replace(API, name="API")}, {"pro": replace(PRO, tags=("x",))})) == {}
    )
    quiet = Catalog({"api": API}, {"pro": replace(PRO, service_levels={})})
    assert changed_promises(CATALOG, quiet) == {PromiseKey("api", "pro"): None}


def test_holders_have_the_item_s_promise_while_there_is_one() -> None:
    """At each instant, the one in force; random histories, looked at instant by instant."""
    choose = random.Random(5)
    for _ in range(300):
        general, own = (
            targets_of(
                (at, choose.choice((None, ServiceLevel(availability=number + place))))
                for place, at in enumerate(sorted(choose.sample(range(30), choose.randrange(5))))
            )
            for number in (0, 100)
        )
        found = overlaid(general, own)
        assert all(one.interval.until <= two.interval.start for one, two in pairwise(found))
        for at in range(32):
            expected = target_at(own, at) or target_at(general, at)
            shown = target_at(found, at)
            assert (shown and shown.service_level) == (expected and expected.service_level)


def test_a_promise_that_ended_is_none() -> None:
    """Nor is one before it was made."""
    level = ServiceLevel(availability=1)
    targets = targets_of([(5, level), (9, None)])
    assert targets == [Target(Interval(5, 9), level), Target(Interval(9), None)]
    assert [target_at(targets, at) is None for at in (4, 5, 8, 9)] == [True, False, False, True]
