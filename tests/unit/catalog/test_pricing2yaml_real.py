"""The import of real pricings, against a straightforward computation from plain YAML."""

from __future__ import annotations

import math
import re
from fractions import Fraction
from typing import TYPE_CHECKING

import pytest

from tests.unit.catalog.pricing2yaml_real import (
    FILES,
    REASON,
    each_file,
    effective_values,
    extensions,
    levels,
    needs_files,
    plain,
    section,
    spoken,
    stated_values,
)
from tiergate.catalog.pricing2yaml import import_pricings
from tiergate.model import (
    AddedAmount,
    Amount,
    Catalog,
    Combine,
    Feature,
    FeatureType,
    Item,
    ItemKind,
    Level,
    Switch,
    Unlimited,
)
from tiergate.naming import is_id

if TYPE_CHECKING:
    from pathlib import Path


def comparable(item: Item, catalog: Catalog) -> dict[str, object]:
    """What an imported item gives, by the names of features, in the same terms."""
    found: dict[str, object] = {}
    for id_, value in item.versions[0].entitlements.items():
        feature = catalog.features[id_]
        match value:
            case Switch(on):
                found[feature.name] = on
            case Level(label):
                found[feature.name] = label
            case Unlimited():
                found[feature.name] = math.inf
            case Amount(units, None):
                found[feature.name] = Fraction(units, 10**feature.scale)
            case AddedAmount(units, None):
                found[feature.name] = ("add", Fraction(units, 10**feature.scale))
            case _:
                pytest.fail(f"{item.id} gives {value}")
    return found


def items(catalog: Catalog, kind: ItemKind) -> dict[str, Item]:
    """The items of a kind by name."""
    return {item.name: item for item in catalog.items.values() if item.kind is kind}


def features(catalog: Catalog) -> dict[str, Feature]:
    """The features by name."""
    return {feature.name: feature for feature in catalog.features.values()}


@needs_files
def test_the_pricings_are_there() -> None:
    """The tests below see all 121 files."""
    assert len(FILES) == 121, REASON


@each_file
def test_every_plan_gives_its_effective_values(path: Path) -> None:
    """Each plan of each file gives each feature and limit its own value, else the default."""
    source, catalog = plain(path), import_pricings([path])
    expected = {plan: effective_values(source, plan) for plan in section(source, "plans")}
    assert {name: comparable(item, catalog) for name, item in items(catalog, ItemKind.PLAN).items()} == expected


@each_file
def test_every_add_on_gives_what_it_states(path: Path) -> None:
    """Each add-on of each file gives its values and extensions, for the plans, and with the add-ons, that it names."""
    source, catalog = plain(path), import_pricings([path])
    expected = {}
    names = {id_: item.name for id_, item in catalog.items.items()}
    actual = {
        name: (
            comparable(item, catalog),
            *({names[id_] for id_ in ids} for ids in (item.available_for, item.depends_on, item.excludes)),
        )
        for name, item in items(catalog, ItemKind.ADDON).items()
    }
    for add_on, body in section(source, "addOns").items():
        values = stated_values(source, add_on)
        values |= {key: ("add", number) for key, number in extensions(source, add_on).items()}
        expected[add_on] = (
            values,
            set(body.get("availableFor") or section(source, "plans")),
            set(body.get("dependsOn") or ()),
            set(body.get("excludes") or ()),
        )
    assert actual == expected


@each_file
def test_every_feature_and_limit_has_its_type(path: Path) -> None:
    """Each feature and limit of each file is there, with the type, levels, period and links that the source says."""
    source, catalog = plain(path), import_pricings([path])
    found = features(catalog)
    assert found.keys() == section(source, "features").keys() | section(source, "usageLimits").keys()
    sold = [*section(source, "plans").values(), *section(source, "addOns").values()]
    for part in ("features", "usageLimits"):
        for key, declared in section(source, part).items():
            feature = found[key]
            parts = (part, "usageLimitsExtensions") if part == "usageLimits" else (part,)
            stated = [spoken(declared["defaultValue"])]
            stated += [
                spoken(section(body, of)[key]["value"]) for body in sold for of in parts if key in section(body, of)
            ]
            match declared["valueType"]:
                case "BOOLEAN":
                    assert feature.type is FeatureType.SWITCH
                case "TEXT":
                    assert feature.type is FeatureType.CUSTOM
                    assert list(feature.labels) == levels(source, key)
                case "NUMERIC":
                    assert feature.type is FeatureType.QUANTITY
                    assert feature.combine is Combine.MAX
                    numbers = [number for number in stated if isinstance(number, Fraction)]
                    fitting = [scale for scale in range(7) if all((n * 10**scale).denominator == 1 for n in numbers)]
                    assert feature.scale == fitting[0]
                case other:
                    pytest.fail(f"{key} is of the type {other}")
            last = str(declared.get("unit")).rpartition("/")[2]
            period = last if last in {"hour", "day", "week", "month", "year"} else "month"
            renewable = declared["valueType"] == "NUMERIC" and declared["type"] == "RENEWABLE"
            assert (feature.metered.reset if feature.metered else None) == (period if renewable else None)
            assert {catalog.features[id_].name for id_ in feature.linked} == set(declared.get("linkedFeatures") or ())


@needs_files
def test_all_pricings_make_one_catalog_with_a_prefix() -> None:
    """With a prefix, each file's features and items stand under its own service and version, and nothing is lost."""
    features: set[str] = set()
    items: set[str] = set()
    for path in FILES:
        source, alone = plain(path), import_pricings([path])
        prefix = re.sub(r"[^a-z0-9]+", "-", source["saasName"].lower()) + f"-{source['version'].strip()}-"
        features.update(prefix + id_ for id_ in alone.features)
        items.update(prefix + id_ for id_ in alone.items)
    catalog = import_pricings(FILES, prefix=True)
    assert catalog.features.keys() == features
    assert catalog.items.keys() == items
    assert all(is_id(id_) for id_ in [*features, *items])


@each_file
def test_ids_are_the_keys_where_they_can_be(path: Path) -> None:
    """Each feature and item of each file keeps its key as its name, and as its id where that is valid."""
    catalog = import_pricings([path])
    names = {id_: feature.name for id_, feature in catalog.features.items()}
    for id_, name in [*names.items(), *((item.id, item.name) for item in catalog.items.values())]:
        assert (id_ == name) == is_id(name)
