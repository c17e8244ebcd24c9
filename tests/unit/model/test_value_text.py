from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiergate.model import (
    UNLIMITED,
    AddedAmount,
    Amount,
    Feature,
    FeatureType,
    Level,
    LimitKind,
    MeteredAmount,
    Per,
    Switch,
    Value,
    format_value,
    parse_value,
)

SWITCH = Feature(id="s", type=FeatureType.SWITCH)
QUANTITY = Feature(id="q", type=FeatureType.QUANTITY, scale=2)
RANGE = Feature(id="r", type=FeatureType.RANGE)
CUSTOM = Feature(id="c", type=FeatureType.CUSTOM, labels=("email", "unlimited", "+10", "true", "5 per unit"))


@pytest.mark.parametrize(
    ("feature", "value", "text"),
    [
        (SWITCH, Switch(on=True), "true"),
        (SWITCH, Switch(on=False), "false"),
        (QUANTITY, Amount(50), "0.5"),
        (QUANTITY, Amount(0), "0"),
        (QUANTITY, Amount(2_000, Per.SUBSCRIPTION), "20 per subscription"),
        (QUANTITY, Amount(2_000, Per.UNIT), "20 per unit"),
        (QUANTITY, AddedAmount(1_050), "+10.5"),
        (QUANTITY, AddedAmount(0, Per.UNIT), "+0 per unit"),
        (QUANTITY, UNLIMITED, "unlimited"),
        (QUANTITY, MeteredAmount(50, None, LimitKind.HARD), "0.5, hard limit"),
        (QUANTITY, MeteredAmount(50, None, LimitKind.SOFT), "0.5, soft limit"),
        (QUANTITY, MeteredAmount(2_000, Per.UNIT, LimitKind.SOFT, 150), "20 per unit, soft limit, at most 1.5 above"),
        (RANGE, Amount(800), "800"),
        (RANGE, UNLIMITED, "unlimited"),
        (CUSTOM, Level("email"), "email"),
        (CUSTOM, Level("unlimited"), "unlimited"),
        (CUSTOM, Level("+10"), "+10"),
        (CUSTOM, Level("5 per unit"), "5 per unit"),
    ],
)
def test_a_value_has_one_written_form_that_reads_back(feature: Feature, value: Value, text: str) -> None:
    """The text says the value to whoever knows the feature, also where a level is called like a number."""
    assert format_value(value, feature.scale) == text
    assert parse_value(text, feature) == value


@given(
    st.builds(Amount, st.integers(0, 10**15 - 1), st.sampled_from([None, *Per]))
    | st.builds(AddedAmount, st.integers(0, 10**15 - 1), st.sampled_from([None, *Per]))
    | st.builds(
        MeteredAmount,
        st.integers(0, 10**15 - 1),
        st.sampled_from([None, *Per]),
        st.sampled_from(LimitKind),
        st.none() | st.integers(1, 10**15 - 1),
    ),
    st.integers(0, 6),
)
def test_every_number_reads_back(value: Amount | AddedAmount, scale: int) -> None:
    """Units, sign and `per` survive at every scale."""
    feature = Feature(id="q", type=FeatureType.QUANTITY, scale=scale)
    assert parse_value(format_value(value, scale), feature) == value


@pytest.mark.parametrize(
    ("feature", "text", "message"),
    [
        (SWITCH, "yes", "`yes` is not a value of a switch"),
        (SWITCH, "True", "`True` is not a value of a switch"),
        (CUSTOM, "fax", "`fax` is not a level of `c`"),
        (CUSTOM, "", "`` is not a level of `c`"),
        (QUANTITY, "", "`` is not a number"),
        (QUANTITY, "many", "`many` is not a number"),
        (QUANTITY, "1.005", "has more than 2 decimal digits"),
        (QUANTITY, "-1", "must not be negative"),
        (QUANTITY, "NaN", "must be a finite number"),
        (QUANTITY, "Infinity", "must be a finite number"),
        (QUANTITY, "1 per moon", "'moon' is not a valid Per"),
        (QUANTITY, "1, firm limit", "'firm' is not a valid LimitKind"),
        (QUANTITY, "1, soft limit, at most many above", "`1, soft limit, at most many above` is not a number"),
        (QUANTITY, "+1, soft limit", r"`\+1, soft limit` is not a value of a quantity"),
    ],
)
def test_a_text_that_is_no_value_of_the_feature_is_refused(feature: Feature, text: str, message: str) -> None:
    """Nothing is guessed."""
    with pytest.raises(ValueError, match=f"^{message}$"):
        parse_value(text, feature)
