"""What a subscription gives, as the entitlements of one item, with limits of its own where the feature's differ."""

from __future__ import annotations

import pytest

from tiergate.admin.subscription_entitlements import entitlements_of
from tiergate.catalog import load_catalog_texts
from tiergate.errors import ConflictError
from tiergate.model import (
    Amount,
    Customer,
    LimitKind,
    MeteredAmount,
    Override,
    OverrideMode,
    Subscription,
    SubscriptionItem,
    SubscriptionStatus,
    Value,
)
from tiergate.store.units import PublishedCatalog

CATALOG = load_catalog_texts(
    {
        "catalog.yaml": """
apiVersion: tiergate/v1
features:
  - {id: calls, type: quantity, metered: {reset: month}}
  - {id: texts, type: quantity, levels: [10], metered: {reset: month, limit: soft, overage_max: 3}}
  - {id: rate, type: range, max: 57}
items:
  - id: gold
    kind: plan
    entitlements: {calls: {value: 100, limit: soft, overage_max: 20}, texts: 10}
"""
    }
).catalog
STATE = PublishedCatalog(1, "sha256:x", CATALOG, CATALOG.index())


def given(*overrides: tuple[str, Value], mode: OverrideMode = OverrideMode.REPLACE) -> dict[str, Value]:
    """What a subscription to gold with these overrides gives."""
    own = tuple(Override(f"o{place}", feature, mode, value) for place, (feature, value) in enumerate(overrides))
    held = Subscription("s", "acme", SubscriptionStatus.ACTIVE, (SubscriptionItem("gold"),), overrides=own)
    return entitlements_of(Customer("acme"), held, STATE, 1_000)


def test_a_limit_is_written_where_it_is_not_the_features() -> None:
    """And left to the feature where it is."""
    assert given() == {"calls": MeteredAmount(100, None, LimitKind.SOFT, 20), "texts": Amount(10)}


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        (Amount(50), Amount(50)),
        (MeteredAmount(50, None, LimitKind.SOFT), MeteredAmount(50, None, LimitKind.SOFT)),
        (MeteredAmount(50, None, LimitKind.HARD), Amount(50)),
    ],
)
def test_an_override_decides_it(override: Value, expected: Value) -> None:
    """A plain number has the feature's kind of limit."""
    assert given(("calls", override))["calls"] == expected


def test_a_hard_limit_of_a_soft_feature_is_written() -> None:
    """Else it would become soft."""
    assert given(("texts", MeteredAmount(10)))["texts"] == MeteredAmount(10, None, LimitKind.HARD)


def test_a_number_that_no_item_may_give_has_no_limit_of_its_own() -> None:
    """It could only be added, and what is added has none."""
    with pytest.raises(ConflictError) as caught:
        given(("texts", MeteredAmount(11)))
    assert caught.value.code == "not-definable"


def test_no_item_gives_a_range_more_than_its_maximum() -> None:
    """An override is free of it: a plan that is made of the subscription would give less."""
    assert given(("rate", Amount(57)))["rate"] == Amount(57)
    with pytest.raises(ConflictError) as caught:
        given(("rate", Amount(190)))
    assert caught.value.code == "not-definable"
