from __future__ import annotations

import pytest

from tiergate.compiler import Positions, compile_catalog
from tiergate.compiler.catalog_checks import find_catalog_problems, problem_at
from tiergate.errors import CompileError
from tiergate.model import (
    UNLIMITED,
    AddedAmount,
    Amount,
    Catalog,
    Definition,
    Feature,
    FeatureType,
    Item,
    ItemKind,
    Level,
    Problem,
    Rollout,
    Switch,
    Value,
)

FEATURES = {
    feature.id: feature
    for feature in [
        Feature(id="analytics", type=FeatureType.SWITCH),
        Feature(id="movies", type=FeatureType.QUANTITY),
        Feature(id="api-limit", type=FeatureType.RANGE),
        Feature(id="support", type=FeatureType.CUSTOM, labels=("email", "phone")),
    ]
}


def item(**entitlements: Value) -> Item:
    """A plan `pro` with version 7; `_` in a name stands for `-`."""
    given = {name.replace("_", "-"): value for name, value in entitlements.items()}
    return Item(id="pro", kind=ItemKind.PLAN, versions=(Definition(7, given),), rollouts=(Rollout(7),))


def messages(catalog: Catalog) -> list[str]:
    """What is wrong with a catalog."""
    return [problem.sentence for problem in find_catalog_problems(catalog, {})]


def test_a_catalog_that_holds_together_has_no_problems() -> None:
    """Every type of value fits its feature."""
    pro = item(analytics=Switch(on=True), movies=AddedAmount(3), api_limit=UNLIMITED, support=Level("phone"))
    assert messages(Catalog(FEATURES, {"pro": pro})) == []


@pytest.mark.parametrize(
    ("entitlements", "message"),
    [
        ({"analytics": Amount(1)}, "a value that a feature of type `switch` cannot have"),
        ({"analytics": UNLIMITED}, "a value that a feature of type `switch` cannot have"),
        ({"movies": Switch(on=True)}, "a value that a feature of type `quantity` cannot have"),
        ({"movies": Level("email")}, "a value that a feature of type `quantity` cannot have"),
        ({"api_limit": Switch(on=True)}, "a value that a feature of type `range` cannot have"),
        ({"support": Amount(1)}, "a value that a feature of type `custom` cannot have"),
        ({"support": Level("fax")}, "the level `fax`, which it does not have"),
        ({"movies": Amount(-1)}, "a number that is negative or more than 1000000000000000000 units"),
        ({"movies": AddedAmount(10**18 + 1)}, "a number that is negative or more than 1000000000000000000 units"),
        ({"movie": Amount(1)}, "which is no feature, did you mean `movies`?"),
        ({"seats": Amount(1)}, "which is no feature"),
    ],
)
def test_a_value_that_its_feature_cannot_have_is_refused(entitlements: dict[str, Value], message: str) -> None:
    """A catalog whose text would say something else than its data is not compiled."""
    name = next(iter(entitlements)).replace("_", "-")
    assert messages(Catalog(FEATURES, {"pro": item(**entitlements)})) == [f"`plan/pro@7` gives `{name}`, {message}"]


@pytest.mark.parametrize(
    ("feature", "message"),
    [
        (Feature(id='a" || true', type=FeatureType.SWITCH), "has an id that must be 1 to 100 letters"),
        (Feature(id="seats", type=FeatureType.QUANTITY, scale=7), "has a scale outside 0 to 6"),
        (Feature(id="seats", type=FeatureType.QUANTITY, unit="\ud800"), "has text that is not valid UTF-8"),
        (Feature(id="seats", type=FeatureType.SWITCH, tags=("a b",)), "has a tag `a b` that must be"),
        (Feature(id="seats", type=FeatureType.CUSTOM, labels=("a", "a")), "has a level that is empty, duplicate"),
        (Feature(id="seats", type=FeatureType.CUSTOM, labels=("",)), "has a level that is empty, duplicate"),
        (Feature(id="seats", type=FeatureType.CUSTOM, labels=("\udfff",)), "has a level that is empty, duplicate"),
    ],
)
def test_a_feature_that_cannot_be_written_is_refused(feature: Feature, message: str) -> None:
    """No feature can smuggle text into a policy, or break a file."""
    [found] = messages(Catalog({feature.id: feature}, {}))
    assert message in found


def test_a_thing_that_is_called_otherwise_in_itself_is_refused() -> None:
    """The id under which a thing stands is its id."""
    catalog = Catalog({"seats": FEATURES["movies"]}, {"free": item()})
    assert messages(catalog) == [
        "feature `seats` is called `movies` in itself",
        "item `free` is called `pro` in itself",
    ]


def test_versions_are_numbered_and_exist() -> None:
    """A version stands once, is at least 1, and is there where a rollout names it."""
    versions = (Definition(0, {}), Definition(2, {}), Definition(2, {}))
    pro = Item(id="pro", kind=ItemKind.PLAN, versions=versions, rollouts=(Rollout(3),))
    assert messages(Catalog({}, {"pro": pro})) == [
        "item `pro` has a version `0` that is duplicate or less than 1",
        "item `pro` has a version `2` that is duplicate or less than 1",
        "a rollout of `plan/pro` names version `3`, which does not exist",
    ]


def test_an_item_whose_id_is_none_is_refused() -> None:
    """No item can be a path out of the bundle."""
    evil = Item(id="../../etc", kind=ItemKind.PLAN, versions=(Definition(1, {}),), rollouts=(Rollout(1),))
    [found] = messages(Catalog({}, {"../../etc": evil}))
    assert "has an id that must be" in found


def test_problems_stand_at_the_catalogs_lines() -> None:
    """A compile error names the line that its author wrote, and they come in order."""
    catalog = Catalog(FEATURES, {"pro": item(support=Level("fax"), movies=Switch(on=True))})
    positions: Positions = {
        ("item", "pro", 7, "support"): ("catalog.yaml", 9, 30),
        ("item", "pro", 7, "movies"): ("catalog.yaml", 8, 12),
    }
    with pytest.raises(CompileError) as caught:
        compile_catalog(catalog, positions=positions)
    assert [(it.file, it.line, it.column, it.code) for it in caught.value.problems] == [
        ("catalog.yaml", 8, 12, "invalid-value"),
        ("catalog.yaml", 9, 30, "invalid-value"),
    ]


def test_the_nearest_known_position_is_taken() -> None:
    """Where an entitlement has no position of its own, its version's or its item's stands for it."""
    positions: Positions = {("item", "pro"): ("catalog.yaml", 3, 5)}
    assert problem_at(positions, ("item", "pro", 7, "seats"), "a", "b") == Problem("catalog.yaml", 3, 5, "a", "b")
    assert problem_at(positions, ("item", "free", 7, "seats"), "a", "b") == Problem("catalog", 0, 0, "a", "b")
