"""Constants and types of a catalog, in each language."""

from __future__ import annotations

import enum
import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.cli.conftest import SAMPLE
from tiergate.catalog import load_catalog
from tiergate.codegen.generator import generate
from tiergate.codegen.language import Language
from tiergate.codegen.names import identifiers, pascal, upper_snake
from tiergate.model import Catalog, Feature, FeatureStatus, FeatureType, Item, ItemKind, Metered

if TYPE_CHECKING:
    from collections.abc import Iterable

ODD = ("a-b", "a.b", "A-B", "2fa", "none", "class", "value", "Feature", "plan", "x" * 100, "switch", "mro")
LETTERS = 'abAB01-._ /äÄß日"\\\u2028\u200b'
LEVELS = (
    'a "quoted" one',
    "back\\slash",
    "日本",
    "日本語",
    "Größe L",
    "group*/s",
    "None",
    "grösse l",
    "1",
    "line\u2028end",
)


def catalog_of(features: Iterable[Feature], items: Iterable[Item] = ()) -> Catalog:
    """A catalog of them."""
    return Catalog({one.id: one for one in features}, {f"{one.kind.value}/{one.id}": one for one in items})


ODD_CATALOG = catalog_of(
    [
        *(Feature(id=id_, type=FeatureType.SWITCH, description='says "so"\n\\ and\r\n"""more""" */') for id_ in ODD),
        Feature(id="seats", type=FeatureType.QUANTITY, unit="seats", scale=2, metered=Metered()),
        Feature(id="rate", type=FeatureType.RANGE, status=FeatureStatus.ARCHIVED),
        Feature(id="level-feature", type=FeatureType.CUSTOM, labels=LEVELS),
        Feature(id="plan-level", type=FeatureType.CUSTOM, labels=("low", "level")),
        Feature(id="plan", type=FeatureType.CUSTOM, labels=("level", "level-level")),
    ],
    [Item(id=id_, kind=kind, rollouts=(), versions=()) for kind in ItemKind for id_ in (*ODD, "level", "plan-level")],
)


def executed(text: str) -> dict[str, Any]:
    """The names of a generated Python module."""
    names: dict[str, Any] = {"__name__": "entitlements"}
    exec(compile(text, "entitlements.py", "exec"), names)
    return names


def values(names: dict[str, Any], title: str) -> list[str]:
    """The values of an enumeration."""
    found = names[title]
    assert issubclass(found, enum.StrEnum)
    return [str(member) for member in found]


def test_python_has_every_name_of_the_catalog() -> None:
    """Values are the ids, whatever they are called; levels are in their order."""
    names = executed(generate(ODD_CATALOG, Language.PYTHON))
    assert values(names, "Feature") == sorted(ODD_CATALOG.features)
    assert values(names, "LevelFeatureLevel") == list(LEVELS)
    for title in ("Plan", "AddOn", "Charge"):
        assert values(names, title) == sorted((*ODD, "level", "plan-level"))
    assert names["Feature"].SEATS == "seats"
    assert names["QuantityFeature"].__args__ == (names["Feature"].SEATS,) == names["MeteredFeature"].__args__


def test_ids_that_would_share_a_name_are_told_apart() -> None:
    """None of them has the plain one, so that no code means another feature than before."""
    names = identifiers(["a-b", "a.b", "c"], upper_snake)
    assert names["c"] == "C"
    assert all(re.fullmatch(r"A_B_[0-9a-f]{6}", names[id_]) for id_ in ("a-b", "a.b"))
    assert names == {**identifiers(["c", "a.b", "a-b"], upper_snake)}
    assert identifiers(["a-b"], pascal, taken={"AB"})["a-b"] != "AB"


@given(st.lists(st.text(LETTERS, min_size=1, max_size=12), min_size=1, max_size=12, unique=True))
def test_names_are_distinct_and_allowed(texts: list[str]) -> None:
    """Whatever a level is called."""
    for style in (upper_snake, pascal):
        names = identifiers(texts, style)
        assert len(set(names.values())) == len(texts)
        assert all(re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name) for name in names.values())


@pytest.mark.parametrize("language", [Language.TYPESCRIPT, Language.GO])
def test_constants_are_the_ids(language: Language) -> None:
    """Each value is there once, as the language writes text, and no name stands twice."""
    text = generate(ODD_CATALOG, language)
    if language is Language.GO:
        found = re.findall(r"^\t(\w+) +(\w+) = (\".*\")$", text, re.MULTILINE)
        names = [name for name, _, _ in found] + re.findall(r"^type (\w+) string$", text, re.MULTILINE)
        assert len(names) == len(set(names))
        features = [
            json.loads(value) for _, title, value in found if title in {"Switch", "Quantity", "Range", "Custom"}
        ]
        levels = [json.loads(value) for _, title, value in found if title == "LevelFeatureLevel"]
    else:
        blocks = dict(re.findall(r"^export const (\w+) = \{\n(.*?)^\} as const;$", text, re.MULTILINE | re.DOTALL))
        members = {title: re.findall(r"^  (\w+): (\".*\"),$", block, re.MULTILINE) for title, block in blocks.items()}
        assert all(len({name for name, _ in some}) == len(some) for some in members.values())
        features = [json.loads(value) for _, value in members["Feature"]]
        levels = [json.loads(value) for _, value in members["LevelFeatureLevel"]]
        assert "line\\u2028end" in text
    assert sorted(features) == sorted(ODD_CATALOG.features)
    assert levels == list(LEVELS)


@pytest.mark.parametrize("language", Language)
def test_archived_features_are_marked(language: Language) -> None:
    """An editor strikes them out, and the build does not break on the day."""
    marks = {Language.PYTHON: "Archived", Language.TYPESCRIPT: "@deprecated", Language.GO: "Deprecated: "}
    assert generate(ODD_CATALOG, language).count(marks[language]) == 1


@pytest.mark.parametrize("language", Language)
def test_the_order_of_the_files_is_no_part_of_it(language: Language) -> None:
    """The same catalog gives the same text."""
    catalog = load_catalog([SAMPLE / "catalog.yaml"]).catalog
    turned = Catalog(dict(reversed(catalog.features.items())), dict(reversed(catalog.items.items())))
    assert generate(catalog, language) == generate(turned, language)


@pytest.mark.parametrize("language", Language)
def test_a_catalog_without_anything_is_no_error(language: Language) -> None:
    """A new project begins with it."""
    text = generate(Catalog({}, {}), language)
    assert "Generated by" in text or "generated by" in text
    if language is Language.PYTHON:
        executed(text)


def test_private_items_of_customers_are_not_named() -> None:
    """The code of a service is no place for a deal with one customer."""
    item = Item(id="deal-for-ada", kind=ItemKind.PLAN, rollouts=(), versions=(), private_to="ada")
    assert all("deal" not in generate(catalog_of([], [item]), language) for language in Language)


@pytest.mark.parametrize("package", ["Main", "type", "a-b", ""])
def test_go_has_rules_for_names_of_packages(package: str) -> None:
    """What cannot be one is refused."""
    with pytest.raises(ValueError, match="Go package"):
        generate(ODD_CATALOG, Language.GO, package)
