"""Changes of plans, over and over: at every instant one plan, and the one that was last said."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiergate.admin.plan_changes import (
    PlanChange,
    end_with_plan,
    find_incompatible,
    find_scheduled_change,
    items_from,
    keep_schedule,
    remove_scheduled_change,
    replace_plan,
)
from tiergate.catalog import load_catalog_texts
from tiergate.catalog.checks.item_combinations import ItemCompatibility
from tiergate.model import BEGINNING, FOREVER, SubscriptionItem

INDEX = load_catalog_texts(
    {
        "catalog.yaml": "apiVersion: tiergate/v1\nfeatures: []\nitems:\n"
        + "".join(f"  - {{id: {plan}, kind: plan, entitlements: {{}}}}\n" for plan in ("basic", "silver", "gold"))
        + "  - {id: extra, kind: addon, entitlements: {}}\n"
    }
).catalog.index()
START = (SubscriptionItem("gold", 2, version=1), SubscriptionItem("extra"))

steps = st.tuples(
    st.integers(0, 20),
    st.sampled_from(["basic", "silver", "gold"]),
    st.integers(0, 40),
    st.none() | st.integers(1, 3),
)


def plan_at(items: tuple[SubscriptionItem, ...], at: int) -> list[tuple[str, int]]:
    """The plans that hold at an instant."""
    return [(one.item, one.quantity) for one in items if one.item != "extra" and one.start <= at < one.until]


@given(st.lists(steps, max_size=6))
def test_there_is_one_plan_at_every_instant_and_the_last_word_stands(
    way: list[tuple[int, str, int, int | None]],
) -> None:
    """Before a change what holds now, from its instant on what was said; nothing of the changes before it."""
    items: tuple[SubscriptionItem, ...] = START
    now = 0
    for passed, to, ahead, quantity in way:
        now += passed
        ((before, held),) = plan_at(items, now)
        at = now + ahead
        items = replace_plan(items, INDEX, PlanChange(to, at, quantity), now)
        wanted = (to, held if quantity is None else quantity)
        for instant in (now, at - 1, at, at + 1, now + 100, FOREVER - 1):
            if instant >= now:
                assert plan_at(items, instant) == [wanted if instant >= at else (before, held)]
        assert sum(one.item == "extra" for one in items) == 1
        assert len(items) <= 3, "a plan that is over stays"
        assert (find_scheduled_change(items, INDEX, now) is not None) == (at > now and wanted != (before, held))
        assert plan_at(remove_scheduled_change(items, INDEX, now), FOREVER - 1) == plan_at(items, now)


def test_a_change_there_and_back_is_as_if_it_had_not_been() -> None:
    """The pin and the age of what stays are kept."""
    later = replace_plan(START, INDEX, PlanChange("silver", 9), 0)
    assert remove_scheduled_change(later, INDEX, 0) == START
    assert replace_plan(later, INDEX, PlanChange("gold", 0), 0) == START


@pytest.mark.parametrize(
    ("listed", "kept"),
    [
        (("gold",), True),
        (("gold", "extra"), True),
        (("silver",), False),
        (("gold", "silver"), False),
        (("basic",), False),
        ((), False),
    ],
)
def test_a_list_that_names_the_present_plan_alone_keeps_what_is_scheduled(listed: tuple[str, ...], kept: bool) -> None:
    """Any other knows better."""
    before = replace_plan(START, INDEX, PlanChange("silver", 9), 0)
    items = keep_schedule(tuple(SubscriptionItem(item) for item in listed), before, INDEX, 0)
    assert (find_scheduled_change(items, INDEX, 0) is not None) == kept
    if not kept:
        assert [one.item for one in items] == list(listed)


# ── What ends with a plan ────────────────────────────────────────────────────────────────────────────────────────────

BOUND = load_catalog_texts(
    {
        "catalog.yaml": """\
apiVersion: tiergate/v1
features: []
items:
  - {id: silver, kind: plan, entitlements: {}}
  - {id: gold, kind: plan, entitlements: {}}
  - {id: for-gold, kind: addon, available_for: [gold], entitlements: {}}
  - {id: for-both, kind: addon, available_for: [gold, silver], entitlements: {}}
  - {id: on-gold, kind: charge, depends_on: [gold], entitlements: {}}
  - {id: on-top, kind: addon, depends_on: [for-gold], entitlements: {}}
  - {id: never-silver, kind: addon, excludes: [silver], entitlements: {}}
  - {id: free, kind: addon, entitlements: {}}
"""
    }
).catalog.index()
HOLDINGS = ItemCompatibility(BOUND)
ADDONS = {"for-gold": 1, "for-both": 2, "on-gold": 3, "on-top": 4, "never-silver": 5, "free": 6}


def counting(items: tuple[SubscriptionItem, ...], at: int, *, excluding: bool = True) -> set[tuple[str, int]]:
    """What counts at an instant, item and quantity: what is held then, without what needs something that does not."""
    held = {one.item: one.quantity for one in items if one.start <= at < one.until}
    while True:
        known = {id_: BOUND.items[id_] for id_ in held}
        gone = {
            id_
            for id_, one in known.items()
            if (one.available_for and held.keys().isdisjoint(one.available_for))
            or not held.keys() >= set(one.depends_on)
            or (excluding and not held.keys().isdisjoint(one.excludes))
        }
        if not gone:
            return set(held.items())
        held = {id_: quantity for id_, quantity in held.items() if id_ not in gone}


@st.composite
def holdings(draw: st.DrawFn) -> tuple[SubscriptionItem, ...]:
    """Gold with some add-ons that may be held with it, of which some begin or end by themselves."""
    chosen = draw(st.sets(st.sampled_from(sorted(ADDONS))))
    if "on-top" in chosen:
        chosen.add("for-gold")
    found = [SubscriptionItem("gold", 2)]
    for id_ in sorted(chosen):
        start = draw(st.sampled_from([BEGINNING, 3, 15, 25]))
        until = draw(st.sampled_from([FOREVER, FOREVER, 12, 30]))
        if start < until:
            found.append(SubscriptionItem(id_, ADDONS[id_], start=start, until=until))
    return tuple(draw(st.permutations(found)))


@given(holdings(), st.sampled_from([10, 11, 13, 20, 28]))
def test_what_cannot_count_with_the_new_plan_ends_with_the_old_one(
    items: tuple[SubscriptionItem, ...], at: int
) -> None:
    """Until the change everything counts as it did, from then on the new plan and what fits; and back as it was."""
    now = 10
    change = PlanChange("silver", at)
    changed = replace_plan(items, BOUND, change, now)
    places = find_incompatible(changed, items, HOLDINGS, BOUND, change)
    after, ending = end_with_plan(changed, places, at, now)
    for instant in (now, at - 1, at, at + 1, 11, 12, 15, 25, 29, 30, FOREVER - 1):
        if now <= instant < at:
            assert counting(after, instant) == counting(items, instant)
        elif instant >= at:
            assert counting(after, instant) == counting(changed, instant)
            assert counting(after, instant) == counting(after, instant, excluding=False)
    begun = items_from(after, at)
    excused = {items[one.place].item for one in HOLDINGS.violations(items, None)}
    excused |= {one.item for one in items_from(items, at) if one.item == "on-top"}
    assert {begun[one.place].item for one in HOLDINGS.violations(begun, None)} <= excused
    fitting = {one for one in items if one.item in {"for-both", "free"}}
    assert fitting <= set(after), "what fits is touched"
    assert (ending is not None) == (at > now and bool(places))
    if at > now:
        assert set(remove_scheduled_change(after, BOUND, now, ending)) == set(items)


def test_what_ends_with_a_plan_is_as_it_was_when_another_change_replaces_the_first() -> None:
    """Its own dates too; what somebody has changed since stays as that is."""
    items = (
        SubscriptionItem("gold"),
        SubscriptionItem("for-gold", until=90),
        SubscriptionItem("on-gold"),
        SubscriptionItem("on-top", start=50),
    )
    change = PlanChange("silver", 20)
    changed = replace_plan(items, BOUND, change, 10)
    after, ending = end_with_plan(changed, find_incompatible(changed, items, HOLDINGS, BOUND, change), 20, 10)
    ends = {one.item: one.until for one in after}
    assert ends == {"gold": 20, "for-gold": 20, "on-gold": 20, "silver": FOREVER}
    again = replace_plan(after, BOUND, PlanChange("gold", 30, 5), 10, ending)
    assert {one.item: one.until for one in again if one.item != "gold"} == {
        "for-gold": 90,
        "on-gold": FOREVER,
        "on-top": FOREVER,
    }
    edited = tuple(SubscriptionItem("for-gold", until=15) if one.item == "for-gold" else one for one in after)
    back = remove_scheduled_change(edited, BOUND, 10, ending)
    assert {one.item: one.until for one in back} == {
        "gold": FOREVER,
        "for-gold": 15,
        "on-gold": FOREVER,
        "on-top": FOREVER,
    }


def test_a_list_without_dates_keeps_what_ends_with_the_plan() -> None:
    """Billing that lists the present state knows nothing of what is to come."""
    items = (SubscriptionItem("gold"), SubscriptionItem("for-gold"), SubscriptionItem("free"))
    change = PlanChange("silver", 20)
    changed = replace_plan(items, BOUND, change, 10)
    after, ending = end_with_plan(changed, find_incompatible(changed, items, HOLDINGS, BOUND, change), 20, 10)
    assert set(keep_schedule(items, after, BOUND, 10, ending)) == set(after)
