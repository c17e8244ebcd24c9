from __future__ import annotations

import pytest

from tiergate.model import UNLIMITED, Amount, Extra, Feature, FeatureType, Given, Level, Per, Value
from tiergate.model.display import readable

SWITCH = Feature(id="analytics", type=FeatureType.SWITCH)
MOVIES = Feature(id="movies", type=FeatureType.QUANTITY, unit="movies/month")
STORAGE = Feature(id="storage", type=FeatureType.QUANTITY, unit="GB", scale=3)
SEATS = Feature(id="seats", type=FeatureType.QUANTITY)
SUPPORT = Feature(id="support", type=FeatureType.CUSTOM, labels=("email", "unlimited"))


@pytest.mark.parametrize(
    ("feature", "value", "text"),
    [
        (SWITCH, Given(on=True), "on"),
        (SWITCH, Given(on=False), "off"),
        (MOVIES, Amount(50), "50 movies/month"),
        (MOVIES, Amount(0), "0 movies/month"),
        (MOVIES, UNLIMITED, "unlimited"),
        (MOVIES, Extra(10), "+10 movies/month"),
        (MOVIES, Amount(20, Per.SUBSCRIPTION), "20 movies/month per subscription"),
        (MOVIES, Extra(5, Per.UNIT), "+5 movies/month per unit"),
        (STORAGE, Amount(2500), "2.5 GB"),
        (SEATS, Amount(10**18), "1000000000000000000"),
        (SEATS, Extra(1), "+1"),
        (SUPPORT, Level("email"), "email"),
        (SUPPORT, Level("unlimited"), "unlimited"),
    ],
)
def test_a_value_reads_as_people_say_it(feature: Feature, value: Value, text: str) -> None:
    """A value is written with its sign, number and unit, or in a word."""
    assert readable(value, feature) == text
