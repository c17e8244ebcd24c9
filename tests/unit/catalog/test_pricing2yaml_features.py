from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.unit.catalog.pricing2yaml_files import PLAN, add_on, feature, given, imported, limit, problems
from tiergate.model import UNLIMITED, Amount, CalendarUnit, Combine, FeatureType, Level, Metered, Switch

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("declaration", [feature("BOOLEAN", "true", "x"), limit("BOOLEAN", "true", "x")])
def test_a_boolean_feature_or_limit_becomes_a_switch(tmp_path: Path, declaration: str) -> None:
    """BOOLEAN is a switch, whether the source calls it a feature or a limit."""
    catalog = imported(tmp_path, declaration, PLAN)
    assert catalog.features["x"].type is FeatureType.SWITCH
    assert given(catalog, "FREE") == {"x": Switch(on=True)}


@pytest.mark.parametrize(
    ("word", "on"),
    [("true", True), ("True", True), ("yes", True), ("ON", True), ("false", False), ("No", False), ("off", False)],
)
def test_a_switch_is_read_as_yaml_1_1_writes_it(tmp_path: Path, word: str, on: bool) -> None:
    """The words that only some YAML readers take for booleans are clear where a BOOLEAN stands."""
    assert given(imported(tmp_path, feature("BOOLEAN", word), PLAN), "FREE") == {"f": Switch(on=on)}


@pytest.mark.parametrize("declaration", [feature("TEXT", "Gold", "x"), limit("TEXT", "Gold", "x")])
def test_a_text_feature_or_limit_becomes_a_custom_feature(tmp_path: Path, declaration: str) -> None:
    """TEXT is a custom feature, whether the source calls it a feature or a limit."""
    catalog = imported(tmp_path, declaration, PLAN)
    assert catalog.features["x"].type is FeatureType.CUSTOM
    assert given(catalog, "FREE") == {"x": Level("Gold")}


def test_levels_stand_in_the_order_of_their_first_appearance(tmp_path: Path) -> None:
    """The default comes first, then what plans say in their order, then add-ons; each level once."""
    text = """
    plans:
      A: {features: {f: {value: mail}}}
      B: {features: {f: {value: phone}}}
      C: {features: {f: {value: mail}}}
    addOns:
      D: {features: {f: {value: visit}}}
      E: {features: {f: {value: phone}}}
    """
    catalog = imported(tmp_path, feature("TEXT", "none at all"), text)
    assert catalog.features["f"].labels == ("none at all", "mail", "phone", "visit")


def test_a_list_is_one_level_joined_with_commas(tmp_path: Path) -> None:
    """A list of payment methods is one level: all of them."""
    assert given(imported(tmp_path, feature("TEXT", "[CARD, INVOICE]"), PLAN), "FREE") == {"f": Level("CARD, INVOICE")}


@pytest.mark.parametrize("nothing", ["null", "~", "''", '"  "', "[]"])
def test_a_text_that_says_nothing_gives_nothing(tmp_path: Path, nothing: str) -> None:
    """An empty or null text is no level: a plan with it is not entitled."""
    text = """
    plans:
      FREE: null
      PRO: {features: {f: {value: phone}}}
    """
    catalog = imported(tmp_path, feature("TEXT", nothing), text)
    assert catalog.features["f"].labels == ("phone",)
    assert given(catalog, "FREE") == {}
    assert given(catalog, "PRO") == {"f": Level("phone")}


def test_a_plan_can_take_a_text_back(tmp_path: Path) -> None:
    """An empty text of the plan's own stands against a default that says something."""
    catalog = imported(tmp_path, feature("TEXT", "phone"), "plans: {FREE: {features: {f: {value: ''}}}}")
    assert given(catalog, "FREE") == {}


def test_a_text_that_is_empty_everywhere_is_a_feature_that_nobody_gives(tmp_path: Path) -> None:
    """The feature exists, with one level that no item gives, so that a check about it is a denial and no mistake."""
    catalog = imported(tmp_path, feature("TEXT", "''"), PLAN)
    assert catalog.features["f"].labels == ("unspecified",)
    assert given(catalog, "FREE") == {}


@pytest.mark.parametrize("word", ["24", "1.50", "No", "true", ".inf", "2024-01-01", "1:30"])
def test_a_text_is_read_as_it_is_written(tmp_path: Path, word: str) -> None:
    """What looks like a number, a boolean or a date is text where a TEXT stands."""
    assert given(imported(tmp_path, feature("TEXT", word), PLAN), "FREE") == {"f": Level(word)}


def test_a_text_of_several_lines_becomes_one_line(tmp_path: Path) -> None:
    """A level is one line: line breaks and the indentation around them become single spaces."""
    assert given(imported(tmp_path, feature("TEXT", r'"by mail\n   or phone\n"'), PLAN), "FREE") == {
        "f": Level("by mail or phone")
    }


def test_texts_too_long_for_a_level_stay_apart(tmp_path: Path) -> None:
    """Two long texts that begin the same are two levels, cut to 200 characters."""
    text = f"plans: {{A: null, B: {{features: {{f: {{value: {'x' * 300}b}}}}}}}}"
    labels = imported(tmp_path, feature("TEXT", "x" * 300 + "a"), text).features["f"].labels
    assert [len(label) for label in labels] == [200, 200]
    assert labels[0] != labels[1]


@pytest.mark.parametrize("declaration", [feature("NUMERIC", "5", "x"), limit("NUMERIC", "5", "x")])
def test_a_number_becomes_a_quantity_of_which_the_largest_counts(tmp_path: Path, declaration: str) -> None:
    """NUMERIC is a quantity that combines as the largest value, since an add-on's value replaces the plan's."""
    catalog = imported(tmp_path, declaration, PLAN)
    assert catalog.features["x"].type is FeatureType.QUANTITY
    assert catalog.features["x"].combine is Combine.MAX
    assert given(catalog, "FREE") == {"x": Amount(5)}


@pytest.mark.parametrize(
    ("number", "units", "scale"),
    [
        ("7", 7, 0),
        ("7.0", 7, 0),
        ("0.50", 5, 1),
        ("1e3", 1000, 0),
        ("1.25e1", 125, 1),
        ("+5", 5, 0),
        (".5", 5, 1),
        ("5.", 5, 0),
        ("10_000_000", 10_000_000, 0),
        ("0xFF", 255, 0),
        ("'12.5'", 125, 1),
        ("123456789.012345", 123456789012345, 6),
        ("100000000000000000", 10**17, 0),
        ("-0", 0, 0),
    ],
)
def test_numbers_are_exact(tmp_path: Path, number: str, units: int, scale: int) -> None:
    """A number is read from its text, in each form that YAML writes it, and needs the smallest scale that holds it."""
    catalog = imported(tmp_path, limit("NUMERIC", number), PLAN)
    assert catalog.features["l"].scale == scale
    assert given(catalog, "FREE") == {"l": Amount(units)}


def test_the_scale_is_the_smallest_that_all_numbers_need(tmp_path: Path) -> None:
    """Default, plans, add-ons and extensions all count."""
    text = """
    plans: {A: {usageLimits: {l: {value: 0.5}}}}
    addOns:
      B: {usageLimits: {l: {value: 1.250}}}
      C: {usageLimitsExtensions: {l: {value: 0.125}}}
    """
    catalog = imported(tmp_path, limit("NUMERIC", "3"), text)
    assert catalog.features["l"].scale == 3
    assert given(catalog, "A") == {"l": Amount(500)}


@pytest.mark.parametrize("word", [".inf", ".Inf", ".INF", "+.inf", "'.inf'"])
def test_infinity_is_unlimited(tmp_path: Path, word: str) -> None:
    """A default of `.inf` is unlimited for every plan that does not say otherwise."""
    catalog = imported(
        tmp_path, limit("NUMERIC", word), "plans: {FREE: {usageLimits: {l: {value: 5}}}, PRO: {usageLimits: {}}}"
    )
    assert given(catalog, "FREE") == {"l": Amount(5)}
    assert given(catalog, "PRO") == {"l": UNLIMITED}


def test_a_limit_of_zero_is_given_as_zero(tmp_path: Path) -> None:
    """A limit of 0 and a switch that is off are said, not left out."""
    catalog = imported(
        tmp_path,
        """
        features: {f: {valueType: BOOLEAN, defaultValue: false}}
        usageLimits: {l: {valueType: NUMERIC, defaultValue: 0, type: NON_RENEWABLE}}
        """,
        PLAN,
    )
    assert given(catalog, "FREE") == {"f": Switch(on=False), "l": Amount(0)}


@pytest.mark.parametrize(
    ("unit", "reset"),
    [
        ("call/hour", CalendarUnit.HOUR),
        ("email/day", CalendarUnit.DAY),
        ("credit/week", CalendarUnit.WEEK),
        ("hour/month", CalendarUnit.MONTH),
        ("request/year", CalendarUnit.YEAR),
        ("Request / Days", CalendarUnit.DAY),
        ("calls per day", CalendarUnit.DAY),
        ("call/member/day", CalendarUnit.DAY),
        ("call/day/member", CalendarUnit.DAY),
        ("day", CalendarUnit.MONTH),
        ("MB", CalendarUnit.MONTH),
        ("MB/login", CalendarUnit.MONTH),
        ("call/minute", CalendarUnit.MONTH),
        ("call/daylight", CalendarUnit.MONTH),
        ("''", CalendarUnit.MONTH),
    ],
)
def test_a_renewable_limit_is_metered_with_the_period_of_its_unit(
    tmp_path: Path, unit: str, reset: CalendarUnit
) -> None:
    """The period is what stands after `/` or `per`; every month where that is no period to begin again with."""
    catalog = imported(tmp_path, limit("NUMERIC", "5", more=f"type: RENEWABLE, unit: {unit}"), PLAN)
    assert catalog.features["l"].metered == Metered(reset)
    assert catalog.features["l"].unit == unit.strip("'")


@pytest.mark.parametrize(
    ("period", "reset"),
    [
        ("{value: 1, unit: DAY}", CalendarUnit.DAY),
        ("{unit: WEEK}", CalendarUnit.WEEK),
        ("{value: 7, unit: DAY}", CalendarUnit.WEEK),
        ("{value: 60, unit: MIN}", CalendarUnit.HOUR),
        ("{value: 12, unit: MONTH}", CalendarUnit.YEAR),
        ("{value: 30, unit: DAY}", CalendarUnit.MONTH),
        ("null", CalendarUnit.HOUR),
    ],
)
def test_a_period_of_its_own_says_when_a_limit_begins_again(tmp_path: Path, period: str, reset: CalendarUnit) -> None:
    """The `period` of version 3.0 counts before the unit; lengths are equal as the specification defines them."""
    more = f"type: RENEWABLE, unit: call/hour, period: {period}"
    assert imported(tmp_path, limit("NUMERIC", "5", more=more), PLAN).features["l"].metered == Metered(reset)


@pytest.mark.parametrize(
    ("period", "unit", "count"),
    [
        ("{value: 15, unit: DAY}", CalendarUnit.DAY, 15),
        ("{value: 360, unit: DAY}", CalendarUnit.DAY, 360),
        ("{value: 2, unit: WEEK}", CalendarUnit.WEEK, 2),
        ("{value: 3, unit: MONTH}", CalendarUnit.MONTH, 3),
        ("{value: 2, unit: YEAR}", CalendarUnit.YEAR, 2),
        ("{value: 90, unit: HOUR}", CalendarUnit.HOUR, 90),
        ("{value: 120, unit: MIN}", CalendarUnit.HOUR, 2),
        ("{value: 7200, unit: SEC}", CalendarUnit.HOUR, 2),
    ],
)
def test_a_period_of_several_units_is_read(tmp_path: Path, period: str, unit: CalendarUnit, count: int) -> None:
    """Windows of any number of hours and longer units are ours too."""
    more = f"type: RENEWABLE, period: {period}"
    assert imported(tmp_path, limit("NUMERIC", "5", more=more), PLAN).features["l"].metered == Metered(unit, count)


@pytest.mark.parametrize(
    "period",
    ["{value: 1, unit: MIN}", "{value: 90, unit: MIN}", "{value: 3601, unit: SEC}", "{value: 10001, unit: DAY}"],
)
def test_a_period_that_is_none_of_ours_is_refused(tmp_path: Path, period: str) -> None:
    """No other period is put in place of one that is stated."""
    (problem,) = problems(tmp_path, limit("NUMERIC", "5", more=f"type: RENEWABLE, period: {period}"), PLAN)
    assert (problem.code, problem.line) == ("unfit-period", 3)


@pytest.mark.parametrize("kind", ["NON_RENEWABLE", "TIME_DRIVEN", "RESPONSE_DRIVEN"])
def test_only_a_renewable_limit_is_metered(tmp_path: Path, kind: str) -> None:
    """The other types of limits do not begin again."""
    catalog = imported(tmp_path, limit("NUMERIC", "5", more=f"type: {kind}, unit: call/day"), PLAN)
    assert catalog.features["l"].metered is None


def test_a_trackable_limit_is_metered_and_never_begins_again(tmp_path: Path) -> None:
    """Version 3.0 says of a limit that is not renewable whether its usage is counted."""
    catalog = imported(tmp_path, limit("NUMERIC", "5", more="type: NON_RENEWABLE, trackable: true"), PLAN)
    assert catalog.features["l"].metered == Metered()


def test_a_renewable_switch_is_not_metered(tmp_path: Path) -> None:
    """There is nothing to count in a switch."""
    catalog = imported(tmp_path, limit("BOOLEAN", "true", more="type: RENEWABLE, unit: call/day"), PLAN)
    assert catalog.features["l"].metered is None
    assert catalog.features["l"].unit == ""


def test_a_limit_is_linked_to_its_features(tmp_path: Path) -> None:
    """`linkedFeatures` become the ids of those features."""
    catalog = imported(
        tmp_path,
        """
        features:
          z: {valueType: BOOLEAN, defaultValue: true}
          24/7: {valueType: BOOLEAN, defaultValue: true}
        usageLimits:
          l: {valueType: NUMERIC, defaultValue: 1, type: NON_RENEWABLE, linkedFeatures: [z, 24/7, z]}
        """,
        PLAN,
    )
    by_name = {feature.name: feature.id for feature in catalog.features.values()}
    assert catalog.features["l"].linked == tuple(sorted([by_name["24/7"], "z"]))


def test_descriptions_are_kept(tmp_path: Path) -> None:
    """Descriptions of features, limits, plans and add-ons come along; what no catalog can hold becomes a space."""
    catalog = imported(
        tmp_path,
        r"""
        features: {f: {valueType: BOOLEAN, defaultValue: true, description: 24}}
        usageLimits: {l: {valueType: BOOLEAN, defaultValue: true, type: RENEWABLE, description: "bell\a"}}
        plans: {P: {description: The plan.}}
        addOns: {A: {description: null}}
        """,
    )
    assert [feature.description for feature in catalog.features.values()] == ["24", "bell "]
    assert [item.description for item in catalog.items.values()] == ["", "The plan."]


def test_an_add_on_of_a_text_takes_a_level(tmp_path: Path) -> None:
    """An add-on gives the level that it states."""
    catalog = imported(tmp_path, feature("TEXT", "mail"), PLAN, add_on("features: {f: {value: phone}}"))
    assert given(catalog, "EXTRA") == {"f": Level("phone")}
