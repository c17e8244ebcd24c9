from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiergate.catalog import entitlements_data, read_entitlements_body, to_json_line
from tiergate.catalog.entries.values import is_plainly_valid
from tiergate.errors import BodyError
from tiergate.model import (
    MAX_EDGE_UNITS,
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

NUMBERS = (0, 1, 5, 10, 11, 10**6, MAX_EDGE_UNITS, MAX_EDGE_UNITS + 1, -1)
VALUES: list[Value] = [
    Switch(on=True),
    Switch(on=False),
    Level("phone"),
    Level("fax"),
    Level("e\u0301"),
    Level(""),
    UNLIMITED,
    *(Amount(number) for number in NUMBERS),
    Amount(5, Per.UNIT),
    AddedAmount(5),
    MeteredAmount(5),
    MeteredAmount(5, Per.UNIT, LimitKind.SOFT),
    MeteredAmount(5, None, LimitKind.SOFT, 1),
]
FEATURES = [
    Feature(id="f", type=FeatureType.SWITCH),
    Feature(id="f", type=FeatureType.CUSTOM, labels=("email", "phone", "e\u0301")),
    *(Feature(id="f", type=FeatureType.QUANTITY, scale=scale) for scale in (0, 2, 6)),
    Feature(id="f", type=FeatureType.QUANTITY, metered=Metered()),
    Feature(id="f", type=FeatureType.QUANTITY, numbers=(5, 10)),
    Feature(id="f", type=FeatureType.QUANTITY, numbers=(5,), unlimited_level=False),
    Feature(id="f", type=FeatureType.RANGE, scale=1, minimum=1, maximum=10),
    Feature(id="f", type=FeatureType.RANGE, minimum=5),
]


def is_accepted(value: Value, feature: Feature) -> bool:
    """Whether the reader of files accepts a value as it is written, and reads the same."""
    written = to_json_line(entitlements_data({"f": value}, {"f": feature}))
    try:
        read = read_entitlements_body(f'{{"entitlements": {written}}}', {"f": feature})
    except BodyError:
        return False
    assert read == {"f": value}
    return True


@pytest.mark.parametrize(("value", "feature"), list(product(VALUES, FEATURES)))
def test_a_value_that_is_plainly_valid_is_accepted_by_the_reader(value: Value, feature: Feature) -> None:
    """Only where the reader is not needed is it not asked."""
    assert is_plainly_valid(value, feature) <= is_accepted(value, feature)


@given(st.integers(-1, MAX_EDGE_UNITS + 1), st.integers(0, 6), st.none() | st.integers(0, 10**6))
def test_ordinary_numbers_need_no_reader(units: int, scale: int, least: int | None) -> None:
    """A number without `per` is plainly valid exactly if the reader accepts it."""
    feature = Feature(id="f", type=FeatureType.RANGE, scale=scale, minimum=least, maximum=10**17)
    assert is_plainly_valid(Amount(units), feature) == is_accepted(Amount(units), feature)
