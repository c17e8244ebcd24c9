from __future__ import annotations

import pytest

from tests.unit.engine.small import ACME, NOW, bundle, catalog, item, override, record, subscription
from tiergate.engine.active_items import resolve_active_items
from tiergate.engine.facts import Facts, resolve_facts
from tiergate.engine.metered_limits import (
    HARD,
    NO_CEILING,
    Softness,
    ceiling_of,
    drawn_amount,
    drawn_ceiling,
    drawn_used,
    limit_of,
)
from tiergate.model import (
    UNLIMITED,
    AddedAmount,
    Amount,
    Draws,
    Feature,
    FeatureType,
    LimitKind,
    Metered,
    MeteredAmount,
    MeteredUsage,
    Override,
    Subject,
    SubjectType,
    SubscriptionItem,
    Suspension,
    Value,
)

SOFT, CLOSED = LimitKind.SOFT, LimitKind.HARD
HARD_FEATURE = Feature(id="calls", type=FeatureType.QUANTITY, metered=Metered())
SOFT_FEATURE = Feature(id="calls", type=FeatureType.QUANTITY, metered=Metered(limit=SOFT, overage_max=7))
CREDITS = Feature(id="credits", type=FeatureType.QUANTITY, scale=1, metered=Metered())
IMAGES = Feature(id="images", type=FeatureType.QUANTITY, scale=1, metered=Metered(), draws=Draws("credits", 25, 1))


def facts_of(
    feature: Feature, *given: Value, own: tuple[Override, ...] = (), customer: tuple[Override, ...] = (), **more: Value
) -> Facts:
    """The facts of a customer with one item for each value of the feature; `more`: what all of them give of others."""
    features = [feature, *(it for it in (CREDITS,) if it.id != feature.id)]
    items = [item(f"p{place}", {feature.id: value, **more}) for place, value in enumerate(given)]
    compiled = bundle(catalog(features, items))
    held = record(subscription(*(it.id for it in items), overrides=own), overrides=customer)
    active = resolve_active_items(held, ACME, compiled.index, NOW)
    return resolve_facts(compiled.index.features[feature.id], active, ACME, compiled, NOW)


@pytest.mark.parametrize(
    ("feature", "given", "expected"),
    [
        (HARD_FEATURE, [Amount(5)], HARD),
        (SOFT_FEATURE, [Amount(5)], Softness(True, 7)),
        (SOFT_FEATURE, [], Softness(True, 7)),
        (SOFT_FEATURE, [MeteredAmount(5, limit=CLOSED)], HARD),
        (HARD_FEATURE, [MeteredAmount(5, limit=SOFT)], Softness(True, None)),
        (HARD_FEATURE, [MeteredAmount(5, limit=SOFT, overage_max=3)], Softness(True, 3)),
        (
            HARD_FEATURE,
            [MeteredAmount(5, limit=SOFT, overage_max=3), MeteredAmount(1, limit=SOFT, overage_max=9)],
            Softness(True, 9),
        ),
        (
            HARD_FEATURE,
            [MeteredAmount(5, limit=SOFT, overage_max=3), MeteredAmount(1, limit=SOFT)],
            Softness(True, None),
        ),
        (
            HARD_FEATURE,
            [MeteredAmount(5, limit=CLOSED), MeteredAmount(1, limit=SOFT, overage_max=2)],
            Softness(True, 2),
        ),
        (SOFT_FEATURE, [MeteredAmount(5, limit=CLOSED), AddedAmount(5), Amount(2)], HARD),
    ],
)
def test_who_says_whether_a_limit_is_soft(feature: Feature, given: list[Value], expected: Softness) -> None:
    """Entitlements that say it, soft before hard and with the most overage; else the feature."""
    facts = facts_of(feature, *given)
    assert (facts.soft, facts.overage_max) == expected


def test_an_override_that_says_it_wins() -> None:
    """One on the customer over one on a subscription, and both over what items say."""
    soft, hard = MeteredAmount(9, limit=SOFT, overage_max=1), MeteredAmount(9, limit=CLOSED)
    assert not facts_of(SOFT_FEATURE, soft, own=(override("calls", hard),)).soft
    both = facts_of(SOFT_FEATURE, hard, own=(override("calls", hard),), customer=(override("calls", soft),))
    assert (both.soft, both.overage_max, both.total) == (True, 1, 9)
    silent = facts_of(HARD_FEATURE, soft, own=(override("calls", Amount(4)),))
    assert (silent.soft, silent.total) == (False, 4)  # the item counts no longer, and the feature is hard


def test_overage_is_not_multiplied() -> None:
    """Though the amount is."""
    value = MeteredAmount(5, limit=SOFT, overage_max=3)
    compiled = bundle(catalog([HARD_FEATURE], [item("p", {"calls": value})]))
    held = record(subscription(SubscriptionItem("p", 4)))
    active = resolve_active_items(held, ACME, compiled.index, NOW)
    facts = resolve_facts(compiled.index.features["calls"], active, ACME, compiled, NOW)
    assert (facts.total, facts.overage_max) == (20, 3)


@pytest.mark.parametrize(
    ("feature", "value", "granted", "limit", "ceiling"),
    [
        (HARD_FEATURE, Amount(5), 0, 5, 5),
        (HARD_FEATURE, Amount(5), 4, 9, 9),
        (SOFT_FEATURE, Amount(5), 0, 5, 12),
        (SOFT_FEATURE, Amount(5), 4, 9, 16),
        (HARD_FEATURE, MeteredAmount(5, limit=SOFT), 4, 9, NO_CEILING),
        (HARD_FEATURE, UNLIMITED, 4, 0, 0),
        (SOFT_FEATURE, UNLIMITED, 0, 0, 0),
        (SOFT_FEATURE, Amount(10**18), 2**62, NO_CEILING, NO_CEILING),
    ],
)
def test_limit_and_ceiling(feature: Feature, value: Value, granted: int, limit: int, ceiling: int) -> None:
    """The allowance with what is granted, and of a soft one what is allowed above it."""
    facts, usage = facts_of(feature, value), MeteredUsage(granted=granted)
    assert (limit_of(facts, usage), ceiling_of(facts, usage)) == (limit, ceiling)


@pytest.mark.parametrize(
    ("amount", "drawn"), [(10, 25), (1, 3), (4, 10), (5, 13), (10**18, 25 * 10**17), (10**19, NO_CEILING)]
)
def test_what_is_drawn_is_rounded_up(amount: int, drawn: int) -> None:
    """To a whole unit of the source: 2.5 credits for each whole image."""
    assert drawn_amount(IMAGES, amount) == drawn
    assert drawn_amount(HARD_FEATURE, amount) == 0


def test_the_source_bounds_what_draws_on_it() -> None:
    """With its own grants and its own softness; its usage is that of the source."""
    facts = facts_of(IMAGES, UNLIMITED, credits=MeteredAmount(100, limit=SOFT, overage_max=5))
    usage = MeteredUsage(used=3, granted=9, drawn=MeteredUsage(used=40, granted=20))
    assert (drawn_used(usage), drawn_ceiling(facts, usage)) == (40, 125)
    assert (drawn_used(MeteredUsage()), drawn_ceiling(facts, MeteredUsage(granted=9))) == (0, 105)
    unlimited = facts_of(IMAGES, UNLIMITED, credits=UNLIMITED)
    assert drawn_ceiling(unlimited, usage) == NO_CEILING
    assert drawn_ceiling(facts_of(IMAGES, UNLIMITED), MeteredUsage()) == 0


def test_a_suspended_source_gives_nothing() -> None:
    """Neither its allowance nor its grants."""
    compiled = bundle(catalog([CREDITS, IMAGES], [item("p", {"images": UNLIMITED, "credits": UNLIMITED})]))
    held = record(subscription("p"), suspensions=(Suspension("credits", NOW - 1, NOW + 5),))
    active = resolve_active_items(held, ACME, compiled.index, NOW)
    facts = resolve_facts(compiled.index.features["images"], active, ACME, compiled, NOW)
    assert drawn_ceiling(facts, MeteredUsage(drawn=MeteredUsage(granted=5))) == 0
    assert (facts.suspended, facts.until) == (False, NOW + 5)


def test_the_source_is_that_of_the_same_subject() -> None:
    """Of one subscription, where the check is about one."""
    compiled = bundle(
        catalog(
            [CREDITS, IMAGES],
            [item("p", {"images": UNLIMITED, "credits": Amount(30)}), item("q", {"credits": Amount(9)})],
        )
    )
    held = record(subscription("p", id_="one"), subscription("q", id_="two"))
    one = Subject("one", SubjectType.SUBSCRIPTION)
    for subject, ceiling in ((ACME, 39), (one, 30)):
        active = resolve_active_items(held, subject, compiled.index, NOW)
        facts = resolve_facts(compiled.index.features["images"], active, subject, compiled, NOW)
        assert drawn_ceiling(facts, MeteredUsage()) == ceiling


def test_a_soft_source_gives_nothing_to_who_does_not_hold_it() -> None:
    """Its softness is for use above a limit, and there is none; granted units make one."""
    soft = Feature(id="credits", type=FeatureType.QUANTITY, scale=1, metered=Metered(limit=SOFT))
    compiled = bundle(catalog([soft, IMAGES], [item("p", {"images": UNLIMITED})]))
    active = resolve_active_items(record(subscription("p")), ACME, compiled.index, NOW)
    facts = resolve_facts(compiled.index.features["images"], active, ACME, compiled, NOW)
    assert drawn_ceiling(facts, MeteredUsage()) == 0
    assert drawn_ceiling(facts, MeteredUsage(drawn=MeteredUsage(granted=1))) == NO_CEILING
