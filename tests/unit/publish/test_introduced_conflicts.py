"""What a publication makes impossible to hold together: how many hold it, and who."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.publishing import CATALOG, Press, opened
from tiergate.catalog import load_catalog_texts
from tiergate.model import SubscriptionItem
from tiergate.publish.apply_planner import ApplyRequest, plan_apply

if TYPE_CHECKING:
    from collections.abc import Iterator

BASE = CATALOG + "  - {id: pack, kind: addon, entitlements: {movies: {add: 7}}}\n"
MANY = BASE.replace("features:", "plans: many\nfeatures:", 1)


@pytest.fixture
def press(store_url: str) -> Iterator[Press]:
    """A store on either database, with subscriptions that hold several things."""
    with opened(store_url) as found:
        found.apply(MANY)
        found.hold("acme", "gold", "extra")
        found.hold("beta", "gold", "extra", "pack")
        found.hold("both", "gold", "free")
        found.hold("past", SubscriptionItem("gold", until=1), SubscriptionItem("extra", until=1), "free")
        found.hold("then", SubscriptionItem("gold", until=2**45), SubscriptionItem("free", start=2**45))
        yield found


def told(press: Press, text: str) -> list[tuple[str, str, int, list[str]]]:
    """What a dry run says, and the publication again: code, item, how many, and who."""
    planner = plan_apply(ApplyRequest(load_catalog_texts({"catalog.yaml": text})))
    found = press.publisher.preview(planner).conflicts
    assert press.publish_plan(planner).conflicts == found
    return [(it.code, it.item, it.subscriptions, [one.customer for one in it.examples]) for it in found]


@pytest.mark.parametrize(
    ("new", "expected"),
    [
        (
            MANY.replace("available_for: [gold]", "available_for: [free]"),
            [("not-available", "extra", 2, ["acme", "beta"])],
        ),
        (
            MANY.replace("id: pack,", "id: pack, depends_on: [free],"),
            [("missing-dependency", "pack", 1, ["beta"])],
        ),
        (MANY.replace("id: pack,", "id: pack, excludes: [extra],"), [("excluded", "extra", 1, ["beta"])]),
        (MANY.replace("id: pack,", "id: pack, available_for: [gold],"), []),
        (MANY.replace("available_for: [gold]", "available_for: [gold, free]"), []),
        (MANY.replace("plans: many", "plans: one"), [("several-plans", "", 1, ["both"])]),
        (MANY.replace("movies: 50", "movies: 60"), []),
    ],
)
def test_who_holds_what_becomes_impossible_is_told(
    press: Press, new: str, expected: list[tuple[str, str, int, list[str]]]
) -> None:
    """Of what is held now or later, and was possible before; not of what is over."""
    assert told(press, new) == expected


def test_what_was_impossible_before_is_not_told_again(press: Press) -> None:
    """Only those whom this publication leaves behind."""
    told(press, MANY.replace("available_for: [gold]", "available_for: [gold, free]"))
    press.hold("frank", "free", "extra")
    assert told(press, MANY) == [("not-available", "extra", 1, ["frank"])]
