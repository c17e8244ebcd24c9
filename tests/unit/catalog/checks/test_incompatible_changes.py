"""What a change makes worse of what a subscription holds, told from what the catalog made impossible."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tiergate.catalog import ItemCompatibility, load_catalog_texts, new_violations
from tiergate.model import SubscriptionItem

if TYPE_CHECKING:
    from tiergate.model import CatalogIndex

CATALOG = """\
apiVersion: tiergate/v1
features: []
items:
  - {id: basic, kind: plan, entitlements: {}}
  - {id: silver, kind: plan, entitlements: {}}
  - {id: gold, kind: plan, entitlements: {}}
  - {id: extra, kind: addon, available_for: [basic], entitlements: {}}
  - {id: deep, kind: addon, depends_on: [extra], entitlements: {}}
  - {id: left, kind: addon, excludes: [right], entitlements: {}}
  - {id: right, kind: addon, entitlements: {}}
"""


@pytest.fixture(scope="module")
def index() -> CatalogIndex:
    """The catalog as it has become."""
    return load_catalog_texts({"catalog.yaml": CATALOG}).catalog.index()


def held(text: str) -> list[SubscriptionItem]:
    """Items by name; `gold:0-5` is held from 0 until 5."""
    found = []
    for part in text.split():
        item, _, period = part.partition(":")
        start, _, until = period.partition("-")
        found.append(SubscriptionItem(item, start=int(start), until=int(until)) if period else SubscriptionItem(item))
    return found


@pytest.mark.parametrize(
    ("stood", "now", "wrong"),
    [
        ("gold extra", "gold extra", []),
        ("gold extra", "extra gold", []),
        ("gold extra", "gold extra deep", []),
        ("gold extra", "gold:0-9 extra", []),
        ("gold", "gold extra", ["not-available"]),
        ("gold extra", "gold extra extra", ["not-available"]),
        ("gold extra deep", "gold deep", ["missing-dependency"]),
        ("left right", "right left", []),
        ("left right", "left right right", ["excluded", "excluded"]),
        ("left", "left right", ["excluded"]),
        ("gone", "gold", []),
        ("gold silver", "silver gold", []),
        ("gold silver basic", "silver basic", []),
        ("gold silver basic", "gold basic silver", []),
        ("gold gold", "gold gold", []),
        ("gold gold", "gold gold gold", ["several-plans", "several-plans"]),
        ("gold silver", "gold silver basic", ["several-plans"]),
        ("gold:0-5 silver:5-9", "gold:0-6 silver:5-9", ["several-plans"]),
        ("gold", "gold silver", ["several-plans"]),
    ],
)
def test_only_what_is_worse_is_told(index: CatalogIndex, stood: str, now: str, wrong: list[str]) -> None:
    """Whatever the order in which items are listed, and whichever of a pair is named."""
    found = new_violations(ItemCompatibility(index), index.items, held(now), lambda: held(stood), None)
    assert [one.code for one in found] == wrong


def test_what_is_new_has_no_excuse(index: CatalogIndex) -> None:
    """A subscription that was not there held nothing."""
    found = new_violations(ItemCompatibility(index), index.items, held("gold extra"), None, None)
    assert [one.code for one in found] == ["not-available"]
