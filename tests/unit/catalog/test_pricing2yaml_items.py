from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.unit.catalog.pricing2yaml_files import PLAN, add_on, feature, given, imported, limit, problems, write
from tiergate.catalog.pricing2yaml import import_pricings
from tiergate.model import UNLIMITED, AddedAmount, Amount, Definition, ItemKind, Rollout, Switch

if TYPE_CHECKING:
    from pathlib import Path

PLANS = """
plans:
  GOLD: null
  FREE: {features: null, usageLimits: null}
  SILVER: {}
"""


def test_an_item_is_version_one_for_everybody(tmp_path: Path) -> None:
    """Plans and add-ons are items of version 1."""
    catalog = imported(tmp_path, feature("BOOLEAN", "true"), PLAN, add_on("features: {f: {value: true}}"))
    assert {item.id: item.kind for item in catalog.items.values()} == {"EXTRA": ItemKind.ADDON, "FREE": ItemKind.PLAN}
    for item in catalog.items.values():
        assert item.versions == (Definition(1, {"f": Switch(on=True)}),)
        assert item.rollouts == (Rollout(1),)


def test_a_plan_gives_its_own_value_else_the_default(tmp_path: Path) -> None:
    """Every feature and limit is given by every plan; an entry without a value leaves it to the default."""
    catalog = imported(
        tmp_path,
        """
        features: {f: {valueType: BOOLEAN, defaultValue: false}}
        usageLimits: {l: {valueType: NUMERIC, defaultValue: 3, type: NON_RENEWABLE}}
        plans:
          A: null
          B: {features: {f: {value: true}}, usageLimits: {l: {value: 9}}}
          C: {features: {f: null}, usageLimits: {l: {value: null}}}
          D: {features: {f: {}}}
        """,
    )
    default = {"f": Switch(on=False), "l": Amount(3)}
    assert {plan: given(catalog, plan) for plan in "ABCD"} == {
        "A": default,
        "B": {"f": Switch(on=True), "l": Amount(9)},
        "C": default,
        "D": default,
    }


def test_an_add_on_gives_only_what_it_states(tmp_path: Path) -> None:
    """Add-ons take no defaults: what they do not state, they do not give."""
    catalog = imported(
        tmp_path,
        """
        features:
          f: {valueType: BOOLEAN, defaultValue: true}
          g: {valueType: BOOLEAN, defaultValue: true}
        usageLimits:
          l: {valueType: NUMERIC, defaultValue: 3, type: NON_RENEWABLE}
          m: {valueType: NUMERIC, defaultValue: 3, type: NON_RENEWABLE}
          n: {valueType: NUMERIC, defaultValue: 3, type: NON_RENEWABLE}
        """,
        PLAN,
        add_on("features: {f: {value: false}}\nusageLimits: {l: {value: 0}}\nusageLimitsExtensions: {m: {value: 10}}"),
    )
    assert given(catalog, "EXTRA") == {"f": Switch(on=False), "l": Amount(0), "m": AddedAmount(10)}


def test_an_extension_without_end_is_unlimited(tmp_path: Path) -> None:
    """Nothing more can be added to infinity: it is given as unlimited, which wins over every number."""
    text = add_on("usageLimitsExtensions: {l: {value: .inf}}")
    assert given(imported(tmp_path, limit("NUMERIC", "5"), PLAN, text), "EXTRA") == {"l": UNLIMITED}


@pytest.mark.parametrize("plans", ["", "availableFor: null\n", "availableFor: []\n"])
def test_an_add_on_that_names_no_plan_is_for_all_plans_of_its_pricing(tmp_path: Path, plans: str) -> None:
    """The plans are named, so that the add-on is not for those of another pricing in the same catalog."""
    catalog = imported(tmp_path, feature("BOOLEAN", "true"), PLANS, add_on(f"{plans}features: {{f: {{value: true}}}}"))
    assert catalog.items["EXTRA"].available_for == ("FREE", "GOLD", "SILVER")


def test_an_add_on_is_for_the_plans_that_it_names(tmp_path: Path) -> None:
    """`availableFor` becomes `available_for`; a plan named twice counts once."""
    catalog = imported(tmp_path, feature("BOOLEAN", "true"), PLANS, add_on("availableFor: [SILVER, FREE, SILVER]\n"))
    assert catalog.items["EXTRA"].available_for == ("FREE", "SILVER")


@pytest.mark.parametrize("plans", ["", "plans: null\n", "plans: {}\n"])
def test_the_add_ons_of_a_pricing_without_plans_stand_alone(tmp_path: Path, plans: str) -> None:
    """Where there are no plans, an add-on can be had by itself."""
    catalog = imported(tmp_path, feature("BOOLEAN", "true"), plans, add_on("features: {f: {value: true}}"))
    assert list(catalog.items) == ["EXTRA"]
    assert catalog.items["EXTRA"].available_for == ()


def test_dependencies_and_exclusions_become_ours(tmp_path: Path) -> None:
    """`dependsOn` and `excludes` name add-ons, by their ids, whichever comes first."""
    catalog = imported(
        tmp_path,
        feature("BOOLEAN", "true"),
        PLAN,
        """
        addOns:
          A: {dependsOn: [Big Box, C], excludes: [D]}
          C: null
          D: null
          Big Box: null
        """,
    )
    big_box = next(item.id for item in catalog.items.values() if item.name == "Big Box")
    assert catalog.items["A"].depends_on == tuple(sorted([big_box, "C"]))
    assert catalog.items["A"].excludes == ("D",)


def test_an_add_on_named_like_a_plan_depends_on_add_ons(tmp_path: Path) -> None:
    """`availableFor` means the plan of a name, `dependsOn` the add-on of that name."""
    catalog = imported(
        tmp_path, feature("BOOLEAN", "true"), "plans: {PRO: null}\naddOns: {PRO: null, X: {dependsOn: [PRO]}}"
    )
    extra = next(item for item in catalog.items.values() if item.kind is ItemKind.ADDON and item.name == "PRO")
    assert extra.id != "PRO"
    assert catalog.items["X"].depends_on == (extra.id,)
    assert catalog.items["X"].available_for == ("PRO",)


def test_an_add_on_that_can_never_be_held_is_refused(tmp_path: Path) -> None:
    """An add-on that needs one of another plan could be sold to nobody."""
    (problem,) = problems(
        tmp_path,
        "features: {}\nplans: {A: null, B: null}\n",
        "addOns:\n  X: {availableFor: [A]}\n  Y: {availableFor: [B], dependsOn: [X]}\n",
    )
    assert (problem.code, problem.line, problem.column) == ("unsatisfiable", 5, 3)
    assert "nobody can have `Y`" in problem.message


def test_features_and_items_stand_in_the_order_of_their_ids(tmp_path: Path) -> None:
    """The order of the source, and of the files, says nothing."""
    one = write(tmp_path, "features: {b: {valueType: BOOLEAN, defaultValue: true}}\nplans: {P: null}", "1.yml")
    two = write(tmp_path, "features: {a: {valueType: BOOLEAN, defaultValue: true}}\nplans: {O: null}", "2.yml")
    catalog = import_pricings([one, two])
    assert catalog == import_pricings([two, one])
    assert list(catalog.features) == ["a", "b"]
    assert list(catalog.items) == ["O", "P"]


@pytest.mark.parametrize("version", ["1.0", "1.1", "2.0"])
def test_older_versions_of_the_format_say_it_in_version(tmp_path: Path, version: str) -> None:
    """Up to 2.0, `version` is the version of the syntax, quoted or not."""
    dates = (
        "day: 1\nmonth: 10\nyear: 2024\nhasAnnualPayment: true\ncreatedAt: 2024-10-01\nstarts: 2024-01-01 10:00:00\n"
    )
    plan = "plans: {P: {monthlyPrice: 1, annualPrice: 2, unit: user/month, private: false}}"
    assert imported(tmp_path, f"version: {version}\n", dates, feature("BOOLEAN", "true"), plan).items


@pytest.mark.parametrize("version", ["2.1", "'3.0'", "3.1"])
def test_newer_versions_of_the_format_say_it_in_syntax_version(tmp_path: Path, version: str) -> None:
    """From 2.1 on, `version` is the pricing's own; what is about prices and pages is passed over."""
    catalog = imported(
        tmp_path,
        f"syntaxVersion: {version}\n",
        """
        version: 1.99
        billing: {monthly: 1, annual: 0.9}
        variables: {x: 3}
        custom: {anything: [at, {all: 1}]}
        tags: [Reports]
        features:
          f: {valueType: BOOLEAN, defaultValue: true, tag: Reports, render: AUTO, expression: "a < b"}
        plans: {P: {price: "5 * #x", private: true}}
        addOns: {A: {price: 1, subscriptionConstraints: {minQuantity: 1, maxQuantity: .inf}}}
        """,
    )
    assert list(catalog.items) == ["A", "P"]
