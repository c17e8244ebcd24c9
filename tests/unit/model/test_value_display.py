from __future__ import annotations

import pytest

from tiergate.model import (
    UNLIMITED,
    AddedAmount,
    Amount,
    Feature,
    FeatureType,
    Level,
    LimitKind,
    Metered,
    MeteredAmount,
    Per,
    Switch,
    Value,
)
from tiergate.model.value_display import display_value

SWITCH = Feature(id="analytics", type=FeatureType.SWITCH)
MOVIES = Feature(id="movies", type=FeatureType.QUANTITY, unit="movies/month")
STORAGE = Feature(id="storage", type=FeatureType.QUANTITY, unit="GB", scale=3)
SEATS = Feature(id="seats", type=FeatureType.QUANTITY)
CALLS = Feature(
    id="calls",
    type=FeatureType.QUANTITY,
    unit="calls",
    scale=1,
    metered=Metered(limit=LimitKind.SOFT, overage_max=25),
)
SUPPORT = Feature(id="support", type=FeatureType.CUSTOM, labels=("email", "unlimited"))


@pytest.mark.parametrize(
    ("feature", "value", "text"),
    [
        (SWITCH, Switch(on=True), "on"),
        (SWITCH, Switch(on=False), "off"),
        (MOVIES, Amount(50), "50 movies/month"),
        (MOVIES, Amount(0), "0 movies/month"),
        (MOVIES, UNLIMITED, "unlimited"),
        (MOVIES, AddedAmount(10), "+10 movies/month"),
        (MOVIES, Amount(20, Per.SUBSCRIPTION), "20 movies/month per subscription"),
        (MOVIES, AddedAmount(5, Per.UNIT), "+5 movies/month per unit"),
        (STORAGE, Amount(2500), "2.5 GB"),
        (
            MOVIES,
            MeteredAmount(20, Per.UNIT, LimitKind.SOFT, 5),
            "20 movies/month per unit, soft limit, at most 5 above",
        ),
        (CALLS, Amount(1000), "100 calls, soft limit, at most 2.5 above"),
        (CALLS, AddedAmount(1000), "+100 calls"),
        (CALLS, UNLIMITED, "unlimited"),
        (CALLS, MeteredAmount(1000), "100 calls, hard limit"),
        (CALLS, MeteredAmount(1000, None, LimitKind.SOFT), "100 calls, soft limit"),
        (SEATS, Amount(10**18), "1000000000000000000"),
        (SEATS, AddedAmount(1), "+1"),
        (SUPPORT, Level("email"), "email"),
        (SUPPORT, Level("unlimited"), "unlimited"),
    ],
)
def test_a_value_reads_as_people_say_it(feature: Feature, value: Value, text: str) -> None:
    """A value is written with its sign, number and unit, or in a word."""
    assert display_value(value, feature) == text
