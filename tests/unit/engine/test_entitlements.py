from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest

from tests.unit.engine.small import MOVIES, NOW, Usage, bundle, catalog, check, engine, item, record, subscription
from tiergate.engine import ShapeEvaluator
from tiergate.model import (
    UNLIMITED,
    Amount,
    Caps,
    Decision,
    Draws,
    Feature,
    FeatureType,
    LimitKind,
    Metered,
    MeteredUsage,
    Reason,
    ShownCaps,
    Value,
)

UNSET = msgspec.UNSET
SOFT = Feature(id="movies", type=FeatureType.QUANTITY, metered=Metered(limit=LimitKind.SOFT, overage_max=10))
CREDITS = Feature(id="credits", type=FeatureType.QUANTITY, metered=Metered())
DRAWING = Feature(id="movies", type=FeatureType.QUANTITY, metered=Metered(), draws=Draws("credits", 3))


def decided(
    feature: Feature, value: Value | None, usage: MeteredUsage | None, amount: int = 1, **more: Value
) -> Decision:
    """The decision of both layers, which must be the same."""
    given = more if value is None else {"movies": value, **more}
    compiled = bundle(catalog([feature, CREDITS], [item("p", given)]))
    source = Usage()
    if usage is not None:
        source.usage = usage
    plain = engine(of=record(subscription("p")), compiled=compiled, usage=source)
    keeping = ShapeEvaluator(engine(of=record(subscription("p")), compiled=compiled, usage=source))
    of = check("movies", amount=amount)
    decisions = [plain.decide(of, NOW), *(keeping.decide(of, NOW) for _ in range(3))]
    assert all(it == decisions[0] for it in decisions)
    return decisions[0]


@pytest.mark.parametrize(
    ("used", "amount", "reason", "remaining", "overage"),
    [
        (40, 10, "granted", 10, UNSET),
        (41, 10, "granted", 9, 1),
        (50, 10, "granted", 0, 10),
        (50, 11, "limit_reached", 0, UNSET),
        (55, 11, "limit_reached", 0, 5),
    ],
)
def test_use_above_a_soft_limit_is_allowed_and_shown(
    used: int, amount: int, reason: str, remaining: int, overage: int | msgspec.UnsetType
) -> None:
    """Up to the most overage; the amount of a denied check is not used, so it is not shown."""
    found = decided(SOFT, Amount(50), MeteredUsage(used), amount)
    assert (found.reason, found.entitlement.remaining, found.entitlement.overage) == (reason, remaining, overage)
    assert found.entitlement.value == 50


@pytest.mark.parametrize("value", [Amount(50), UNLIMITED])
def test_caps_are_shown_beside_the_limit(value: Value) -> None:
    """Whoever is denied by one can tell how much is left of it; both layers show them."""
    capped = Feature(id="movies", type=FeatureType.QUANTITY, scale=1, caps=Caps(total=1005, per_user=30))
    found = decided(capped, value, None, 4)
    assert found.reason == "cap_reached"
    assert found.entitlement.caps == ShownCaps(Decimal("100.5"), 3)


def test_no_caps_are_shown_where_there_are_none() -> None:
    """Neither of a number, nor of another type."""
    assert decided(SOFT, Amount(50), MeteredUsage(0)).entitlement.caps is UNSET


def test_use_above_a_hard_limit_that_is_there_is_shown() -> None:
    """After a limit was lowered, or where it was allowed offline."""
    found = decided(MOVIES, Amount(50), MeteredUsage(60))
    assert (found.reason, found.entitlement.overage) == (Reason.LIMIT_REACHED, 10)


@pytest.mark.parametrize(("value", "total"), [(Amount(50), 58), (Amount(0), 8), (None, 8)])
def test_granted_units_are_part_of_the_limit(value: Value | None, total: int) -> None:
    """Also of a feature that no item gives; and they are shown by themselves."""
    found = decided(MOVIES, value, MeteredUsage(total - 1, granted=8))
    assert (found.reason, found.entitlement.value, found.entitlement.granted) == ("granted", total, 8)
    assert decided(MOVIES, value, MeteredUsage(total, granted=8)).reason == "limit_reached"


def test_what_draws_is_bounded_by_its_source() -> None:
    """And by what is granted of that."""
    enough = MeteredUsage(drawn=MeteredUsage(used=4, granted=3))
    assert decided(DRAWING, UNLIMITED, enough, 3, credits=Amount(10)).reason == "granted"
    assert decided(DRAWING, UNLIMITED, enough, 4, credits=Amount(10)).reason == "limit_reached"
    assert decided(DRAWING, None, MeteredUsage(), credits=Amount(0)).reason == "not_entitled"


def test_a_decision_holds_until_the_window_ends() -> None:
    """The first of both windows, where a feature draws on another."""
    one = MeteredUsage(window_start=NOW - 9, window_end=NOW + 7, start=NOW - 3)
    found = decided(MOVIES, Amount(50), one)
    assert (found.start, found.until, found.usage) == (NOW - 3, NOW + 7, one)
    drawn = decided(DRAWING, Amount(50), MeteredUsage(until=NOW + 9, drawn=one), credits=Amount(5))
    assert (drawn.start, drawn.until) == (NOW - 3, NOW + 7)
