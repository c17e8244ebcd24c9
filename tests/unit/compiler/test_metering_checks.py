from __future__ import annotations

import pytest
from msgspec.structs import replace

from tiergate.compiler.catalog_checks import find_catalog_problems
from tiergate.model import (
    MAX_EDGE_UNITS,
    CalendarUnit,
    Catalog,
    Definition,
    Draws,
    Feature,
    FeatureType,
    Item,
    ItemKind,
    LimitKind,
    Metered,
    MeteredAmount,
    Rollout,
    Value,
    WindowAnchor,
)

CREDITS = Feature(id="credits", type=FeatureType.QUANTITY, scale=2, metered=Metered())
CALLS = Feature(
    id="calls", type=FeatureType.QUANTITY, metered=Metered(CalendarUnit.MONTH), draws=Draws("credits", 1, 2)
)


def codes(*features: Feature, value: MeteredAmount | None = None) -> list[str]:
    """The codes of what is wrong with a catalog of these features, whose plan gives the first one."""
    given: dict[str, Value] = {} if value is None else {features[0].id: value}
    pro = Item(id="pro", kind=ItemKind.PLAN, versions=(Definition(1, given),), rollouts=(Rollout(1),))
    catalog = Catalog({feature.id: feature for feature in features}, {"pro": pro})
    return [problem.code for problem in find_catalog_problems(catalog, {})]


def metered(**settings: object) -> Feature:
    """A feature that is metered by the month, with some settings."""
    return replace(CREDITS, metered=replace(Metered(CalendarUnit.MONTH), **settings))


def test_metered_features_that_fit_together_have_no_problems() -> None:
    """Settings of every kind."""
    soft = metered(limit=LimitKind.SOFT, overage_max=1, rollover_max=5, every=2, timezone="Europe/Berlin", late=60_000)
    assert codes(soft, CALLS) == []


@pytest.mark.parametrize(
    "feature",
    [
        replace(CREDITS, type=FeatureType.RANGE),
        metered(every=0),
        metered(every=10_001),
        metered(late=-60_000),
        metered(late=1),
        metered(timezone=""),
        metered(overage_max=1),
        metered(limit=LimitKind.SOFT, overage_max=0),
        metered(limit=LimitKind.SOFT, overage_max=MAX_EDGE_UNITS + 1),
        metered(rollover_max=-1),
        metered(rollover_max=MAX_EDGE_UNITS + 1),
        metered(reset=None, every=2),
        metered(reset=None, anchor=WindowAnchor.FIRST_USE),
        metered(reset=None, timezone="Europe/Berlin"),
        metered(reset=None, rollover_max=1),
        metered(reset=None, late=0),
    ],
)
def test_a_setting_that_cannot_be_is_refused(feature: Feature) -> None:
    """Each is one problem."""
    assert codes(feature) == ["invalid-metering"]


@pytest.mark.parametrize(
    ("drawing", "source"),
    [
        (CALLS, replace(CREDITS, id="credit")),
        (CALLS, replace(CREDITS, metered=None)),
        (CALLS, replace(CREDITS, scale=3)),
        (replace(CALLS, metered=None), CREDITS),
        (replace(CALLS, draws=Draws("credits", 0, 2)), CREDITS),
        (replace(CALLS, draws=Draws("credits", MAX_EDGE_UNITS + 1, 2)), CREDITS),
        (replace(CALLS, draws=Draws("calls", 1, 0)), CREDITS),
    ],
)
def test_a_draw_that_cannot_be_is_refused(drawing: Feature, source: Feature) -> None:
    """The source is a metered quantity, and the cost in its scale."""
    assert codes(drawing, source) == ["invalid-metering"]


def test_nothing_draws_on_what_draws_itself() -> None:
    """Chains end after one step."""
    other = replace(CALLS, id="other", draws=Draws("calls", 1, 0))
    assert codes(other, CALLS, CREDITS) == ["invalid-metering"]


@pytest.mark.parametrize(
    ("feature", "value"),
    [
        (replace(CREDITS, metered=None), MeteredAmount(1)),
        (replace(CREDITS, metered=None, type=FeatureType.RANGE), MeteredAmount(1)),
        (CREDITS, MeteredAmount(1, None, LimitKind.HARD, 1)),
        (CREDITS, MeteredAmount(1, None, LimitKind.SOFT, 0)),
        (CREDITS, MeteredAmount(-1)),
    ],
)
def test_a_limit_that_its_feature_cannot_have_is_refused(feature: Feature, value: MeteredAmount) -> None:
    """Only counted usage has one, and only a soft one has units above it."""
    assert codes(feature, value=value) == ["invalid-value"]


def test_a_limit_of_its_own_is_accepted() -> None:
    """Hard or soft, whatever the feature says."""
    for value in (MeteredAmount(1), MeteredAmount(1, None, LimitKind.SOFT), MeteredAmount(1, None, LimitKind.SOFT, 3)):
        assert codes(CREDITS, value=value) == []
