"""Changes of plans, over and over: at every instant one plan, and the one that was last said."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiergate.catalog import load_catalog_texts
from tiergate.control.plan_changes import PlanChange, changed_plan, kept_schedule, scheduled_change, without_scheduled
from tiergate.model import FOREVER, HeldItem

INDEX = load_catalog_texts(
    {
        "catalog.yaml": "apiVersion: tiergate/v1\nfeatures: []\nitems:\n"
        + "".join(f"  - {{id: {plan}, kind: plan, entitlements: {{}}}}\n" for plan in ("basic", "silver", "gold"))
        + "  - {id: extra, kind: addon, entitlements: {}}\n"
    }
).catalog.index()
START = (HeldItem("gold", 2, version=1), HeldItem("extra"))

steps = st.tuples(
    st.integers(0, 20),
    st.sampled_from(["basic", "silver", "gold"]),
    st.integers(0, 40),
    st.none() | st.integers(1, 3),
)


def plan_at(items: tuple[HeldItem, ...], at: int) -> list[tuple[str, int]]:
    """The plans that hold at an instant."""
    return [(one.item, one.quantity) for one in items if one.item != "extra" and one.start <= at < one.until]


@given(st.lists(steps, max_size=6))
def test_there_is_one_plan_at_every_instant_and_the_last_word_stands(
    way: list[tuple[int, str, int, int | None]],
) -> None:
    """Before a change what holds now, from its instant on what was said; nothing of the changes before it."""
    items: tuple[HeldItem, ...] = START
    now = 0
    for passed, to, ahead, quantity in way:
        now += passed
        ((before, held),) = plan_at(items, now)
        at = now + ahead
        items = changed_plan(items, INDEX, PlanChange(to, at, quantity), now)
        wanted = (to, held if quantity is None else quantity)
        for instant in (now, at - 1, at, at + 1, now + 100, FOREVER - 1):
            if instant >= now:
                assert plan_at(items, instant) == [wanted if instant >= at else (before, held)]
        assert sum(one.item == "extra" for one in items) == 1
        assert len(items) <= 3, "a plan that is over stays"
        assert (scheduled_change(items, INDEX, now) is not None) == (at > now and wanted != (before, held))
        assert plan_at(without_scheduled(items, INDEX, now), FOREVER - 1) == plan_at(items, now)


def test_a_change_there_and_back_is_as_if_it_had_not_been() -> None:
    """The pin and the age of what stays are kept."""
    later = changed_plan(START, INDEX, PlanChange("silver", 9), 0)
    assert without_scheduled(later, INDEX, 0) == START
    assert changed_plan(later, INDEX, PlanChange("gold", 0), 0) == START


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
    before = changed_plan(START, INDEX, PlanChange("silver", 9), 0)
    items = kept_schedule(tuple(HeldItem(item) for item in listed), before, INDEX, 0)
    assert (scheduled_change(items, INDEX, 0) is not None) == kept
    if not kept:
        assert [one.item for one in items] == list(listed)
