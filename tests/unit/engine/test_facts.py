from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from tests.unit.engine.small import ACME, API_LIMIT, SUB, SUPPORT, catalog, item, override, record, subscription
from tiergate.bundle import Bundle
from tiergate.compiler import compile_catalog
from tiergate.engine.active_items import resolve_active_items
from tiergate.engine.facts import Facts, TotalOverflowError, resolve_facts
from tiergate.model import (
    BEGINNING,
    FOREVER,
    UNLIMITED,
    AddedAmount,
    Amount,
    Combine,
    Feature,
    FeatureStatus,
    FeatureType,
    Level,
    Override,
    OverrideMode,
    Per,
    Subject,
    SubjectRecord,
    SubscriptionItem,
    Suspension,
    Switch,
    Value,
)

ADD = OverrideMode.ADD
AT_LEAST = OverrideMode.AT_LEAST
SUM = Feature(id="f", type=FeatureType.QUANTITY)
MAX = Feature(id="f", type=FeatureType.QUANTITY, combine=Combine.MAX)
SWITCH = Feature(id="f", type=FeatureType.SWITCH)
RANGE = Feature(id="f", type=FeatureType.RANGE, maximum=100)


def facts(
    feature: Feature, gifts: dict[str, Value], known: SubjectRecord, now: int = 0, subject: Subject = ACME
) -> Facts:
    """The facts about a feature, for items that give it these values."""
    bundle = Bundle.from_files(
        compile_catalog(catalog([feature], [item(id_, {feature.id: value}) for id_, value in gifts.items()]))
    )
    holdings = resolve_active_items(known, subject, bundle.index, now)
    return resolve_facts(feature, holdings, subject, bundle, now)


def total(feature: Feature, *held: tuple[Value, int]) -> int | str:
    """What items with these values and quantities make together, all in one subscription."""
    gifts = {f"i{place}": value for place, (value, _) in enumerate(held)}
    items = [SubscriptionItem(f"i{place}", quantity) for place, (_, quantity) in enumerate(held)]
    found = facts(feature, gifts, record(subscription(*items)))
    return "unlimited" if found.unlimited else found.total


@pytest.mark.parametrize(
    ("feature", "held", "expected"),
    [
        (SUM, [(Amount(5), 1)], 5),
        (SUM, [(Amount(5), 3)], 15),
        (SUM, [(Amount(5, Per.UNIT), 3)], 15),
        (SUM, [(Amount(5, Per.SUBSCRIPTION), 3)], 5),
        (SUM, [(Amount(5), 2), (Amount(7), 1)], 17),
        (SUM, [(Amount(5), 2), (AddedAmount(3), 2)], 16),
        (SUM, [(AddedAmount(3), 2)], 6),
        (SUM, [(AddedAmount(3, Per.SUBSCRIPTION), 2)], 3),
        (SUM, [(Amount(0), 1)], 0),
        (SUM, [(UNLIMITED, 1), (Amount(5), 1), (AddedAmount(5), 1)], "unlimited"),
        (MAX, [(Amount(5), 3)], 5),
        (MAX, [(Amount(5, Per.UNIT), 3)], 15),
        (MAX, [(Amount(5, Per.SUBSCRIPTION), 3)], 5),
        (MAX, [(Amount(5), 3), (Amount(7), 1)], 7),
        (MAX, [(Amount(5, Per.UNIT), 3), (Amount(7), 1)], 15),
        (MAX, [(Amount(5), 1), (Amount(7), 1), (AddedAmount(3), 2), (AddedAmount(1), 1)], 14),
        (MAX, [(Amount(5), 1), (UNLIMITED, 1)], "unlimited"),
        (RANGE, [(Amount(60), 1)], 60),
        (RANGE, [(Amount(60), 2)], 100),
        (RANGE, [(Amount(60), 1), (Amount(40), 1)], 100),
        (RANGE, [(Amount(60), 1), (AddedAmount(41), 1)], 100),
        (SWITCH, [(Switch(on=True), 3)], 1),
        (SWITCH, [(Switch(on=False), 1)], 0),
        (SWITCH, [(Switch(on=False), 1), (Switch(on=True), 1)], 1),
        (SUPPORT, [(Level("email"), 2), (Level("chat"), 1)], 2),
        (SUPPORT, [(Level("phone"), 1), (Level("chat"), 5)], 3),
    ],
)
def test_values_combine_as_the_feature_says(
    feature: Feature, held: list[tuple[Value, int]], expected: int | str
) -> None:
    """Sums and adds are multiplied by quantities, maxima and levels are not, unless the value says otherwise."""
    assert total(feature, *held) == expected


def test_subscriptions_combine_flat() -> None:
    """All values together, then all adds, whichever subscription they come from."""
    gifts: dict[str, Value] = {"a": Amount(5), "b": Amount(7), "x": AddedAmount(2)}
    known = record(subscription("a", "x"), subscription("b", "x", id_="other"))
    assert facts(SUM, gifts, known).total == 16
    assert facts(MAX, gifts, known).total == 11


def test_a_subscription_alone_counts_alone() -> None:
    """As the subject of the check."""
    known = record(subscription("a"), subscription("b", id_="other"))
    assert facts(SUM, {"a": Amount(5), "b": Amount(7)}, known, subject=SUB).total == 5


GIFTS: dict[str, Value] = {"a": Amount(5), "b": Amount(7), "x": AddedAmount(2)}


def overridden(
    *overrides: Override, feature: Feature = SUM, gifts: dict[str, Value] | None = None, now: int = 0
) -> Facts:
    """A subscription to `a` twice and `x` with these overrides, beside another to `b`."""
    known = record(subscription(SubscriptionItem("a", 2), "x", overrides=overrides), subscription("b", id_="other"))
    return facts(feature, gifts or GIFTS, known, now)


def test_an_override_stands_in_place_of_what_its_subscription_gives() -> None:
    """Its value is not multiplied; the other subscription's stays."""
    assert overridden().total == 19
    found = overridden(override("f", Amount(1)))
    assert (found.total, found.overridden, found.given) == (8, True, True)
    assert overridden(override("f", UNLIMITED)).unlimited


def test_an_override_of_another_feature_changes_nothing() -> None:
    """It is about that feature."""
    assert overridden(override("g", Amount(1))).total == 19


def test_a_disabled_subscription_gives_nothing() -> None:
    """The others' values remain, so that the feature is not taken away."""
    found = overridden(override("f", None))
    assert (found.total, found.disabled, found.overridden) == (7, False, False)


@pytest.mark.parametrize(
    ("least", "expected", "acts"), [(11, 19, False), (12, 19, False), (13, 20, True), (30, 37, True)]
)
def test_at_least_tops_up_what_its_subscription_gives(least: int, expected: int, acts: bool) -> None:
    """Until its own total, 12, reaches the value; it never lowers."""
    found = overridden(override("f", Amount(least), AT_LEAST))
    assert (found.total, found.overridden) == (expected, acts)


@pytest.mark.parametrize(("least", "expected"), [(7, 9), (8, 9), (9, 9), (10, 10), (30, 30)])
def test_at_least_tops_up_a_maximum_before_its_adds(least: int, expected: int) -> None:
    """5 and 2 on top make 7: to reach 9 takes a value of 7, which the other subscription gives as well."""
    assert overridden(override("f", Amount(least), AT_LEAST), feature=MAX).total == expected


def test_at_least_unlimited_is_unlimited() -> None:
    """And at least anything, of what is unlimited, changes nothing."""
    found = overridden(override("f", UNLIMITED, AT_LEAST))
    assert found.unlimited
    assert found.overridden
    found = overridden(override("f", Amount(9), AT_LEAST), gifts=GIFTS | {"a": UNLIMITED})
    assert found.unlimited
    assert not found.overridden


def test_at_least_gives_where_the_subscription_gives_nothing() -> None:
    """A subscription without any item is one too."""
    found = facts(SUM, GIFTS, record(subscription(overrides=(override("f", Amount(3), AT_LEAST),))))
    assert (found.total, found.overridden, found.given) == (3, True, False)


def chosen(*overrides: Override, now: int = 100) -> str:
    """The id of the override of the customer that acts."""
    found = facts(SUM, GIFTS, record(subscription("a"), overrides=overrides), now)
    if found.disabled:
        return "disabled"
    return ",".join(source.override or "" for source in found.sources())


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ([override("f", None, start=1), override("f", Amount(9), start=50, id_="r")], "r"),
        ([override("f", None, start=50), override("f", Amount(9), start=50, id_="z")], "disabled"),
        ([override("f", None, start=60), override("f", Amount(9), start=50, id_="r")], "disabled"),
        ([override("f", Amount(1), start=1, id_="old"), override("f", Amount(1), start=50, id_="new")], "new"),
        ([override("f", Amount(1), id_="always"), override("f", Amount(1), start=-50, id_="new")], "new"),
        ([override("f", Amount(9), start=50, id_="a"), override("f", Amount(1), start=50, id_="b")], "b"),
        ([override("f", Amount(9), start=50, id_="f-2"), override("f", Amount(1), start=50, id_="f-10")], "f-2"),
        ([override("f", Amount(1), start=1, id_="r"), override("f", Amount(99), AT_LEAST, "l", 50)], "r,l"),
        ([override("f", Amount(9), start=1, id_="r"), override("f", Amount(8), AT_LEAST, "l", 50)], "r"),
        ([override("f", None, start=50), override("f", Amount(99), AT_LEAST, "l", 60)], "disabled"),
        ([override("f", None, start=50), override("f", Amount(99), ADD, "a", 60)], "disabled"),
        ([override("f", Amount(9), id_="r"), override("f", Amount(8), ADD, "a")], "r,a"),
        ([override("f", Amount(8), AT_LEAST, "more"), override("f", Amount(7), AT_LEAST, "less", 50)], ",more"),
        ([override("f", UNLIMITED, AT_LEAST, "all"), override("f", Amount(7), AT_LEAST, "less", 50)], ",all"),
        ([override("f", Amount(1), start=101, id_="later"), override("f", Amount(1), until=100, id_="over")], ""),
        ([override("f", Amount(1), start=100, id_="now"), override("f", None, until=100)], "now"),
    ],
)
def test_what_starts_last_stands_in_place_and_the_largest_floor_acts_on_it(
    overrides: list[Override], expected: str, turned: bool
) -> None:
    """Of two that start at once `disabled` acts, then the greater id; beside an acting `disabled` nothing else does."""
    assert chosen(*(reversed(overrides) if turned else overrides)) == expected


def test_an_override_of_the_customer_replaces_the_total() -> None:
    """Of all subscriptions, with their own overrides and what was switched off in them."""
    own = subscription("a", overrides=(override("f", Amount(3)),))
    other = subscription("b", id_="other", overrides=(override("f", None),), suspensions=(Suspension("f"),))
    found = facts(SUM, GIFTS, record(own, other, overrides=(override("f", Amount(1)),)))
    assert (found.total, found.given, found.overridden, found.suspended, found.disabled) == (
        1,
        False,
        True,
        False,
        False,
    )
    found = facts(SUM, GIFTS, record(own, other, overrides=(override("f", Amount(0)),)))
    assert (found.held, found.overridden, found.suspended, found.disabled) == (False, True, False, False)


def test_a_customer_that_is_disabled_has_nothing_left() -> None:
    """Whatever was given, and nothing contributed to that."""
    known = record(subscription("a", suspensions=(Suspension("f"),)), overrides=(override("f", None),))
    found = facts(SUM, GIFTS, known)
    assert (found.total, found.disabled, found.suspended, found.overridden, found.sources()) == (
        0,
        True,
        False,
        False,
        (),
    )


def test_at_least_of_the_customer_raises_the_total() -> None:
    """And leaves a larger one alone."""
    raised = facts(SUM, GIFTS, record(subscription("a"), overrides=(override("f", Amount(6), AT_LEAST),)))
    assert (raised.total, raised.given, raised.overridden) == (6, True, True)
    left = facts(SUM, GIFTS, record(subscription("b"), overrides=(override("f", Amount(6), AT_LEAST),)))
    assert (left.total, left.given, left.overridden) == (7, True, False)


@pytest.mark.parametrize(
    ("value", "mode", "total"),
    [(Amount(6), OverrideMode.REPLACE, 6), (Amount(6), AT_LEAST, 6), (Amount(0), AT_LEAST, 0)],
)
def test_an_override_of_the_customer_holds_without_any_subscription(
    value: Value, mode: OverrideMode, total: int
) -> None:
    """It is then all that there is, even where it gives nothing."""
    found = facts(SUM, GIFTS, record(subscription("a", end=0), overrides=(override("f", value, mode),)))
    assert (found.live, found.overridden, found.given, found.total) == (False, True, False, total)


def test_an_override_of_the_customer_acts_on_a_live_subscription_alone() -> None:
    """A check about a subscription that does not count is not helped by it."""
    overrides = (override("f", Amount(6)),)
    live = facts(SUM, GIFTS, record(subscription("b"), overrides=overrides), subject=SUB)
    assert (live.total, live.overridden) == (6, True)
    over = facts(SUM, GIFTS, record(subscription("b", end=0), overrides=overrides), subject=SUB)
    assert (over.total, over.overridden, over.live) == (0, False, False)


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ([override("f", Amount(1), ADD)], 8),
        ([override("f", Amount(1), ADD, "a"), override("f", Amount(3), ADD, "b")], 11),
        ([override("f", Amount(20), AT_LEAST, "l"), override("f", Amount(3), ADD, "a")], 23),
        ([override("f", Amount(4), id_="r"), override("f", Amount(3), ADD, "a")], 7),
        ([override("f", Amount(4), id_="r"), override("f", Amount(6), AT_LEAST), override("f", Amount(3), ADD)], 9),
    ],
)
def test_several_overrides_act_one_on_the_other(overrides: list[Override], expected: int) -> None:
    """What stands in place, the largest floor on it, then all that is added; so on a subscription and a customer."""
    alone = facts(SUM, GIFTS, record(subscription("a", "x", overrides=tuple(overrides))))
    above = facts(SUM, GIFTS, record(subscription("a", "x"), overrides=tuple(overrides)))
    assert (alone.total, alone.overridden) == (above.total, above.overridden) == (expected, True)


def test_an_override_that_adds_is_a_source_beside_the_items() -> None:
    """It says that it was added, so that the sources of an answer come to what is held."""
    found = facts(SUM, GIFTS, record(subscription("a", overrides=(override("f", Amount(3), ADD, "more"),))))
    assert [(it.item or it.override, it.value, it.add) for it in found.sources()] == [
        ("plan/a", 5, False),
        ("more", 3, True),
    ]


def test_nothing_is_added_to_what_is_unlimited() -> None:
    """So that an override that would add does not act."""
    found = overridden(override("f", Amount(9), ADD), gifts=GIFTS | {"a": UNLIMITED})
    assert (found.unlimited, found.overridden) == (True, False)


def test_an_override_adds_to_nothing_without_any_subscription() -> None:
    """A customer's holds by itself."""
    found = facts(SUM, {}, record(overrides=(override("f", Amount(9), ADD),)))
    assert (found.total, found.live, found.overridden) == (9, False, True)


def test_what_a_subscription_is_given_on_top_comes_on_top_of_all_together() -> None:
    """As what an add-on adds: the greatest value, then everything that is added."""
    known = record(subscription("a", overrides=(override("f", Amount(9), ADD),)), subscription("b", id_="other"))
    assert facts(MAX, GIFTS, known).total == 16


@pytest.mark.parametrize("feature", [SUM, MAX, RANGE])
def test_across_subscriptions_the_greatest_counts_where_the_feature_says_so(feature: Feature) -> None:
    """Each with what is added in it; all of them stay sources."""
    greatest = replace(feature, across=Combine.MAX)
    known = record(subscription("a", SubscriptionItem("x", 4)), subscription("b", id_="other"))
    found = facts(greatest, GIFTS, known)
    assert found.total == 13
    assert [it.item for it in found.sources()] == ["plan/a", "plan/x", "plan/b"]
    raised = record(*known.subscriptions, overrides=(override("f", Amount(1), ADD),))
    assert facts(greatest, GIFTS, raised).total == 14


def test_across_subscriptions_unlimited_wins() -> None:
    """As everywhere."""
    known = record(subscription("a"), subscription("b", id_="other"))
    assert facts(replace(SUM, across=Combine.MAX), GIFTS | {"b": UNLIMITED}, known).unlimited


def test_across_subscriptions_an_override_acts_on_its_own() -> None:
    """On what its subscription comes to, before the greatest is taken, and not bound by a range's maximum."""
    known = record(subscription("a", overrides=(override("f", Amount(90), ADD),)), subscription("b", id_="other"))
    assert facts(replace(SUM, across=Combine.MAX), GIFTS, known).total == 95
    assert facts(replace(RANGE, across=Combine.MAX, maximum=50), GIFTS, known).total == 95


def test_the_maximum_of_a_range_binds_items_and_no_override() -> None:
    """What items come to is capped first; overrides of subscriptions and of the customer act on that."""
    above = override("f", Amount(150))
    assert facts(RANGE, {}, record(subscription(overrides=(above,)))).total == 150
    assert facts(RANGE, {}, record(subscription(overrides=(override("f", UNLIMITED),)))).unlimited
    for on_top, expected in ((override("f", Amount(150), AT_LEAST), 150), (override("f", Amount(20), ADD), 120)):
        gifts: dict[str, Value] = {"a": Amount(90), "x": AddedAmount(90)}
        assert facts(RANGE, gifts, record(subscription("a", "x", overrides=(on_top,)))).total == expected
        assert facts(RANGE, gifts, record(subscription("a", "x"), overrides=(on_top,))).total == expected
    assert facts(RANGE, {}, record(subscription(), overrides=(above,))).total == 150
    assert facts(RANGE, {}, record(subscription(), overrides=(override("f", UNLIMITED),))).unlimited
    assert facts(RANGE, {}, record(subscription(), overrides=(override("f", Amount(150), AT_LEAST),))).total == 150


def test_a_range_without_a_maximum_may_be_unlimited() -> None:
    """And a total of it any number."""
    open_range = Feature(id="f", type=FeatureType.RANGE)
    assert total(open_range, (UNLIMITED, 1)) == "unlimited"
    assert total(open_range, (Amount(900), 2)) == 1_800


SUSPENDED = Suspension("f", 100, 200)


@pytest.mark.parametrize(("now", "expected"), [(99, False), (100, True), (199, True), (200, False)])
def test_a_suspension_holds_from_its_start_to_its_end(now: int, expected: bool) -> None:
    """For everybody, for a customer, and for its subscriptions."""
    everywhere = Feature(id="f", type=FeatureType.QUANTITY, suspensions=(Suspension("", 100, 200),))
    assert facts(everywhere, GIFTS, record(subscription("a")), now).suspended is expected
    customers = record(subscription("a"), suspensions=(SUSPENDED,))
    assert facts(SUM, GIFTS, customers, now).suspended is expected
    assert facts(SUM, GIFTS, customers, now, SUB).suspended is expected
    assert facts(SUM, GIFTS, record(subscription("a", suspensions=(SUSPENDED,))), now, SUB).suspended is expected


def test_a_suspended_subscription_contributes_nothing_to_its_customer() -> None:
    """And switches the feature off only if nothing else remains."""
    off = subscription("a", suspensions=(Suspension("f"),))
    beside = facts(SUM, GIFTS, record(off, subscription("b", id_="other")))
    assert (beside.total, beside.suspended) == (7, False)
    alone = facts(SUM, GIFTS, record(off))
    assert (alone.total, alone.suspended, alone.live) == (0, True, True)
    nothing = facts(SUM, GIFTS | {"b": Amount(0)}, record(off, subscription("b", id_="other")))
    assert nothing.suspended


@pytest.mark.parametrize(
    ("gifts", "overrides", "expected"),
    [
        ({}, (), False),
        ({"a": Amount(0)}, (), False),
        ({"a": Amount(5)}, (), True),
        ({"a": Amount(5)}, (override("f", Amount(0)),), False),
        ({"a": Amount(5)}, (override("f", None),), False),
        ({}, (override("f", Amount(1), ADD),), True),
    ],
)
def test_a_suspended_subscription_matters_only_where_it_would_give_something(
    gifts: dict[str, Value], overrides: tuple[Override, ...], expected: bool
) -> None:
    """Where it would give nothing anyway, its customer is not told of the suspension: buying would help."""
    off = subscription("a" if gifts else "none", suspensions=(Suspension("f"),), overrides=overrides)
    assert facts(SUM, gifts, record(off)).suspended is expected
    assert facts(SUM, gifts, record(off), subject=SUB).suspended


def test_a_subscription_that_is_disabled_takes_the_feature_away_only_if_nothing_remains() -> None:
    """As a suspended one switches it off."""
    off = subscription("a", overrides=(override("f", None),))
    assert not facts(SUM, GIFTS, record(off, subscription("b", id_="other"))).disabled
    assert facts(SUM, GIFTS, record(off)).disabled


def test_a_suspended_subscription_is_suspended_whatever_its_customer_is_given() -> None:
    """A check about the subscription finds the feature switched off, live or not."""
    for end in (None, 0):
        off = subscription("a", suspensions=(Suspension("f"),), end=end)
        known = record(off, overrides=(override("f", Amount(9)),))
        assert facts(SUM, GIFTS, known, subject=SUB).suspended
        assert not facts(SUM, GIFTS, known).suspended


def test_a_suspension_of_another_feature_switches_nothing_off() -> None:
    """It is about that feature."""
    assert not facts(SUM, GIFTS, record(subscription("a"), suspensions=(Suspension("g"),))).suspended


@pytest.mark.parametrize(
    ("status", "active", "total"),
    [(FeatureStatus.DRAFT, False, 0), (FeatureStatus.ACTIVE, True, 5), (FeatureStatus.ARCHIVED, True, 5)],
)
def test_entitlements_of_a_draft_are_not_effective(status: FeatureStatus, active: bool, total: int) -> None:
    """Those of an archived feature stay so."""
    feature = Feature(id="f", type=FeatureType.QUANTITY, status=status)
    found = facts(feature, GIFTS, record(subscription("a")))
    assert (found.active, found.total, len(found.sources())) == (active, total, min(total, 1))
    overridden = facts(feature, GIFTS, record(subscription("a"), overrides=(override("f", UNLIMITED),)))
    assert overridden.unlimited is active


def test_the_facts_hold_until_something_about_this_feature_changes() -> None:
    """What begins or ends of another feature does not matter."""
    overrides = (override("f", Amount(1), start=50, until=150), override("g", Amount(1), start=90, until=110))
    known = record(subscription("a", start=-100), overrides=overrides, suspensions=(SUSPENDED,))
    assert [(it.start, it.until) for it in (facts(SUM, GIFTS, known, now) for now in (0, 50, 120, 150, 200))] == [
        (-100, 50),
        (50, 100),
        (100, 150),
        (150, 200),
        (200, FOREVER),
    ]


def test_facts_without_any_date_hold_for_ever() -> None:
    """From the beginning."""
    found = facts(SUM, GIFTS, record(subscription("a")))
    assert (found.start, found.until) == (BEGINNING, FOREVER)


def test_givers_are_all_versions_held_that_say_something() -> None:
    """Also those whose values an override displaces: their permits are in the whole set too."""
    known = record(subscription("a", "x"), subscription("a", "b", id_="o", overrides=(override("f", Amount(1)),)))
    assert facts(SUM, GIFTS, known).givers == ("plan/a@1", "plan/b@1", "plan/x@1")


def test_sources_are_what_contributed_as_it_was_written() -> None:
    """Each with its subscription, before any multiplication."""
    scaled = Feature(id="f", type=FeatureType.QUANTITY, scale=2)
    own = subscription(SubscriptionItem("a", 2), "x", overrides=(override("f", Amount(9_950), AT_LEAST),))
    gifts: dict[str, Value] = {"a": Amount(150, Per.SUBSCRIPTION), "x": AddedAmount(25)}
    found = facts(scaled, gifts, record(own, overrides=(override("f", UNLIMITED, AT_LEAST, "c"),)))

    def told(source: object) -> dict[str, Any]:
        return {key: value for key, value in vars_of(source).items() if value not in (None, False)}

    assert [told(source) for source in found.sources()] == [
        {
            "item": "plan/a",
            "version": 1,
            "quantity": 2,
            "subscription": "sub",
            "value": pytest.approx(1.5),
            "per": "subscription",
        },
        {
            "item": "plan/x",
            "version": 1,
            "quantity": 1,
            "subscription": "sub",
            "value": pytest.approx(0.25),
            "add": True,
        },
        {"override": "o", "mode": "at_least", "subscription": "sub", "value": pytest.approx(99.5)},
        {"override": "c", "mode": "at_least", "unlimited": True},
    ]


def vars_of(source: object) -> dict[str, Any]:
    """The fields of a structure."""
    return {name: getattr(source, name) for name in type(source).__struct_fields__}  # type: ignore[attr-defined]


def test_a_total_beyond_what_cedar_can_count_is_an_error() -> None:
    """Not a wrong number; at the very bound it is none."""
    huge: dict[str, Value] = {"a": Amount(10**18)}
    assert facts(SUM, huge, record(subscription(SubscriptionItem("a", 4)))).total == 4 * 10**18
    with pytest.raises(TotalOverflowError, match="the total of `f` exceeds 2\\^62 units"):
        facts(SUM, huge, record(subscription(SubscriptionItem("a", 5))))


def test_what_is_unlimited_does_not_overflow() -> None:
    """Its number says nothing, and is 0."""
    gifts: dict[str, Value] = {"a": Amount(10**18), "u": UNLIMITED}
    found = facts(SUM, gifts, record(subscription(SubscriptionItem("a", 5), "u")))
    assert (found.unlimited, found.total) == (True, 0)


def test_a_range_is_capped_before_it_can_overflow() -> None:
    """Its maximum is its bound."""
    assert facts(RANGE, {"a": Amount(100)}, record(subscription(SubscriptionItem("a", 10**17)))).total == 100


def test_what_nobody_gives_is_not_held() -> None:
    """Held is what grants something."""
    found = facts(API_LIMIT, {}, record(subscription()))
    assert (found.held, found.given, found.total, found.givers) == (False, False, 0, ())
