from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from tests.unit.catalog.pricing2yaml_files import PLAN, feature, imported, problems, write
from tiergate.catalog.pricing2yaml import import_pricings
from tiergate.catalog.pricing2yaml.identifiers import add_prefix, assign_ids, make_prefix
from tiergate.errors import ImportSourceError
from tiergate.model import ItemKind
from tiergate.naming import is_id

if TYPE_CHECKING:
    from pathlib import Path

ODD_KEYS = ["24/7Support", "24 7Support", "99%uptimeSLA", "Business Plus", "Función", "機能", "-x", "a" * 101, "…"]


def test_a_key_that_is_an_id_is_the_id(tmp_path: Path) -> None:
    """A key that can be an id stays what it is, and is the name too."""
    catalog = imported(tmp_path, feature("BOOLEAN", "true", "a.B_c-9"), PLAN)
    assert catalog.features["a.B_c-9"].name == "a.B_c-9"


def test_a_key_that_is_no_id_gets_a_readable_one(tmp_path: Path) -> None:
    """The name stays the key; the id is made of its letters and digits and a hash."""
    catalog = imported(tmp_path, feature("BOOLEAN", "true", "24/7Support"), PLAN)
    (made,) = catalog.features.values()
    assert made.name == "24/7Support"
    assert made.id == "24-7Support-29846f"


@pytest.mark.parametrize("key", ODD_KEYS)
def test_every_key_gets_an_id(key: str) -> None:
    """Whatever the key, its id is valid."""
    assert is_id(assign_ids([("feature", key)])["feature", key])


def test_the_id_of_a_key_does_not_depend_on_other_keys() -> None:
    """Neither their order nor keys that are added later change an id, even those that would be made alike."""
    alone = {key: assign_ids([("plan", key)])["plan", key] for key in ODD_KEYS}
    keys = [("plan", key) for key in [*ODD_KEYS, "24-7Support", "Business-Plus", "Business_Plus", "plan"]]
    for seed in range(20):
        random.Random(seed).shuffle(keys)
        ids = assign_ids(keys)
        assert {key: ids["plan", key] for key in ODD_KEYS} == alone
        assert len(set(ids.values())) == len(keys)


def test_a_key_that_is_what_would_be_made_keeps_its_id() -> None:
    """A source's own key is never displaced by an id that is made; the latter gets a longer hash."""
    made = assign_ids([("plan", "A B")])["plan", "A B"]
    ids = assign_ids([("plan", "A B"), ("plan", made)])
    assert ids["plan", made] == made
    assert ids["plan", "A B"].startswith(made)
    assert ids["plan", "A B"] != made


def test_a_feature_and_a_limit_of_one_name_get_two_ids(tmp_path: Path) -> None:
    """The feature has the key, the limit says that it is one; plans and add-ons mean the right one."""
    catalog = imported(
        tmp_path,
        """
        features: {storage: {valueType: BOOLEAN, defaultValue: true}}
        usageLimits:
          storage: {valueType: NUMERIC, defaultValue: 5, type: NON_RENEWABLE, linkedFeatures: [storage]}
        """,
        PLAN,
    )
    assert [(feature.id, feature.type.value) for feature in catalog.features.values()] == [
        ("storage", "switch"),
        ("storage-limit-ec3419", "quantity"),
    ]
    assert {feature.name for feature in catalog.features.values()} == {"storage"}
    assert catalog.features["storage-limit-ec3419"].linked == ("storage",)


def test_a_plan_and_an_add_on_of_one_name_get_two_ids(tmp_path: Path) -> None:
    """Ids of items are unique across kinds: the plan has the key."""
    catalog = imported(tmp_path, feature("BOOLEAN", "true"), "plans: {pro: null}\naddOns: {pro: null}")
    assert [(item.id, item.kind) for item in catalog.items.values()] == [
        ("pro", ItemKind.PLAN),
        ("pro-addon-4a0a37", ItemKind.ADDON),
    ]


def test_a_feature_and_an_item_may_share_an_id(tmp_path: Path) -> None:
    """Features and items are named apart, so neither changes the other's id."""
    catalog = imported(tmp_path, feature("BOOLEAN", "true", "same"), "plans: {same: null}")
    assert list(catalog.features) == list(catalog.items) == ["same"]


@pytest.mark.parametrize(
    ("head", "prefix"),
    [
        ("syntaxVersion: '2.1'\nsaasName: Box\nversion: '2025'\ncreatedAt: '2025-02-26'\n", "box-2025-"),
        ("syntaxVersion: '2.1'\nsaasName: Box\ncreatedAt: 2025-02-26\n", "box-2025-02-26-"),
        ("version: '2.0'\nsaasName: Box - Businesses\ncreatedAt: '2024-11-20'\n", "box-businesses-2024-11-20-"),
        ("version: 1.0\nsaasName: Box\nday: 5\nmonth: 10\nyear: 2024\n", "box-2024-10-05-"),
        ("saasName: Box\nversion: spring 24\n", "box-spring-24-"),
    ],
)
def test_a_prefix_is_the_service_and_the_version_of_the_pricing(tmp_path: Path, head: str, prefix: str) -> None:
    """`version` is the pricing's from syntax 2.1 on; before, the day on which it was made tells pricings apart."""
    catalog = imported(
        tmp_path,
        head,
        """
        features: {f: {valueType: BOOLEAN, defaultValue: true}}
        usageLimits: {l: {valueType: BOOLEAN, defaultValue: true, type: RENEWABLE, linkedFeatures: [f]}}
        plans: {P: null}
        addOns:
          A: {features: {f: {value: true}}}
          B: {availableFor: [P], dependsOn: [A]}
          C: {excludes: [B]}
        """,
        prefix=True,
    )
    assert list(catalog.features) == [f"{prefix}f", f"{prefix}l"]
    assert list(catalog.items) == [f"{prefix}{key}" for key in "ABCP"]
    assert [item.name for item in catalog.items.values()] == ["A", "B", "C", "P"]
    assert catalog.features[f"{prefix}l"].linked == (f"{prefix}f",)
    assert catalog.items[f"{prefix}B"].available_for == (f"{prefix}P",)
    assert catalog.items[f"{prefix}B"].depends_on == (f"{prefix}A",)
    assert catalog.items[f"{prefix}C"].excludes == (f"{prefix}B",)
    assert catalog.items[f"{prefix}A"].versions[0].entitlements.keys() == {f"{prefix}f"}


def test_a_prefixed_id_is_never_too_long() -> None:
    """What gets too long is cut, and stays apart from what is cut alike."""
    prefix = make_prefix("An Extraordinarily Long Name of a Service " * 3, "version " * 20)
    ids = {add_prefix(prefix, "x" * 90 + ending) for ending in "abc"}
    assert len(ids) == 3
    assert all(is_id(id_) and id_.startswith("an-extraordinarily-long-name-of") for id_ in ids)


@pytest.mark.parametrize("service", ["機能", "…", "-"])
def test_a_service_without_letters_has_a_prefix(service: str) -> None:
    """A name of which no id can be made is its hash."""
    assert is_id(make_prefix(service, "2025"))


@pytest.mark.parametrize("head", ["saasName: Box\n", "version: '2025'\n", "saasName: Box\nversion: '2.0'\n", ""])
def test_a_prefix_needs_a_service_and_a_version(tmp_path: Path, head: str) -> None:
    """A pricing that does not say which it is has no prefix."""
    found = problems(tmp_path, head, feature("BOOLEAN", "true"), PLAN, prefix=True)
    assert {problem.code for problem in found} == {"missing-key"}


def _two(tmp_path: Path) -> list[Path]:
    text = "saasName: Box\nversion: {}\nfeatures: {{f: {{valueType: BOOLEAN, defaultValue: true}}}}\nplans: {}\n"
    return [
        write(tmp_path, text.format("'2024'", "{P: null, Q: null}"), "2024.yml"),
        write(tmp_path, text.format("'2025'", "{R: null, Q: null}"), "2025.yml"),
    ]


def test_ids_of_two_files_that_are_the_same_are_refused(tmp_path: Path) -> None:
    """Without a prefix, the later file is refused at its first such key, and both files are named."""
    with pytest.raises(ImportSourceError) as refused:
        import_pricings(_two(tmp_path))
    (problem,) = refused.value.problems
    assert (problem.file, problem.line, problem.column) == (str(tmp_path / "2025.yml"), 3, 12)
    assert problem.code == "duplicate-id"
    assert f"the feature `f`, the item `Q` exist already in {tmp_path / '2024.yml'}" in problem.message


def test_a_prefix_keeps_two_files_apart(tmp_path: Path) -> None:
    """With a prefix, pricings of several years stand in one catalog."""
    catalog = import_pricings(_two(tmp_path), prefix=True)
    assert list(catalog.items) == ["box-2024-P", "box-2024-Q", "box-2025-Q", "box-2025-R"]


def test_a_file_named_twice_is_refused(tmp_path: Path) -> None:
    """A prefix does not keep a pricing apart from itself."""
    path = _two(tmp_path)[0]
    with pytest.raises(ImportSourceError, match="exist already in"):
        import_pricings([path, path], prefix=True)
