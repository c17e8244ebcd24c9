from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.unit.catalog.marked import load
from tests.unit.catalog.models import catalogs, records
from tests.unit.catalog.samples import CATALOG
from tests.unit.catalog.writing.test_export import FEWER
from tiergate.catalog import (
    PlainData,
    SubjectReader,
    TotalBounds,
    apply_merge_patch,
    customer_data,
    entitlements_data,
    feature_data,
    item_head_data,
    override_data,
    read_entitlement_body,
    read_entitlements_body,
    read_feature_body,
    read_item_body,
    read_override_body,
    read_subject_body,
    subscription_data,
    subscription_item_data,
    suspension_data,
    to_json_line,
    value_data,
)
from tiergate.errors import BodyError
from tiergate.model import UNLIMITED, AddedAmount, Amount, Feature, FeatureType, Level, OverrideMode

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tiergate.model import Catalog


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    """The design's example."""
    return load(tmp_path, CATALOG)


@pytest.fixture
def reader(catalog: Catalog) -> SubjectReader:
    """A reader of subjects of the example."""
    return SubjectReader(catalog.index(), TotalBounds.of(catalog))


def problems(read: Callable[[], object]) -> list[tuple[str, str]]:
    """The pointer and code of each problem; it is a failure if there is none."""
    with pytest.raises(BodyError) as caught:
        read()
    return [(problem.pointer, problem.code) for problem in caught.value.problems]


# ── What is printed reads back ───────────────────────────────────────────────────────────────────────────────────────


@FEWER
@given(st.data())
def test_everything_printed_reads_back_equal(data: st.DataObject) -> None:
    """Features, items, drafts, values, customers, subscriptions and what stands in them."""
    catalog = data.draw(catalogs())
    features = catalog.features
    for feature in features.values():
        assert read_feature_body(to_json_line(feature_data(feature)), features) == feature
    for item in catalog.items.values():
        head = replace(item, versions=(), rollouts=())
        assert read_item_body(to_json_line(item_head_data(item)), features, catalog.items).item == head
        for version in item.versions:
            entitlements = entitlements_data(version.entitlements, features)
            assert read_entitlements_body(to_json_line({"entitlements": entitlements}), features) == (
                version.entitlements
            )
            for id_, value in version.entitlements.items():
                assert read_entitlement_body(to_json_line(value_data(value, features[id_])), features[id_]) == value
    reader = SubjectReader(catalog.index(), TotalBounds.of(catalog))
    for record in data.draw(records(catalog)).values():
        customer = record.customer
        assert (
            read_subject_body(to_json_line(customer_data(customer, features, every_id=True)), reader.customer)
            == customer
        )
        for subscription in record.subscriptions:
            printed = to_json_line(subscription_data(subscription, features, every_id=True))
            assert read_subject_body(printed, reader.subscription) == subscription
            for held in subscription.items:
                assert read_subject_body(to_json_line(subscription_item_data(held)), reader.subscription_item) == held
        for override in customer.overrides:
            assert read_override_body(to_json_line(override_data(override, features)), reader) == override
        for suspension in customer.suspensions:
            assert read_subject_body(to_json_line(suspension_data(suspension)), reader.suspension) == suspension


@given(st.integers(0, 10**15 - 1), st.integers(0, 6))
def test_numbers_are_exact_both_ways(units: int, scale: int) -> None:
    """Every number that an edge can carry is printed and read without a binary float."""
    feature = read_feature_body(f'{{"id": "gb", "type": "quantity", "scale": {scale}}}', {})
    printed = to_json_line(value_data(Amount(units), feature))
    assert json.loads(printed, parse_float=Decimal) == Decimal(units).scaleb(-scale)
    assert read_entitlement_body(printed, feature) == Amount(units)


# ── Problems ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_all_problems_of_a_body_are_raised_with_pointers() -> None:
    """In the order of the text; a key that is unknown is pointed to as its value is."""
    body = (
        """{"id": "a b", "type": "quantity", "levels": [1, 3, 2], "caps": {"total": -1, "a/b~": 5}, "linked": ["x"]}"""
    )
    assert problems(lambda: read_feature_body(body, {})) == [
        ("/id", "bad-id"),
        ("/levels/2", "levels-order"),
        ("/caps/total", "bad-number"),
        ("/caps/total", "cap-not-metered"),
        ("/caps/a~1b~0", "unknown-key"),
    ]


def test_a_missing_key_is_a_problem_of_what_lacks_it(reader: SubjectReader) -> None:
    """The pointer is of the object."""
    body = '{"id": "s", "customer": "acme", "status": "active", "items": [{"item": "gold"}, {"quantity": 2}]}'
    assert problems(lambda: read_subject_body(body, reader.subscription)) == [("/items/1", "missing-key")]
    assert problems(lambda: read_feature_body("{}", {})) == [("", "missing-key"), ("", "missing-key")]


@pytest.mark.parametrize(
    ("body", "pointer", "code"),
    [
        ("", "", "bad-json"),
        ('{"id": "x", "caps": {"total" 5}}', "/caps/total", "bad-json"),
        ('{"id": "x", "tags": ["a", "b" "c"]}', "/tags/1", "bad-json"),
        ('{"id": "x", "caps": {"total": 5, "total": 6}}', "/caps/total", "duplicate-key"),
        ("[" * 30, "/0" * 24, "too-deep"),
        ("[1]", "", "wrong-type"),
        ("5", "", "wrong-type"),
    ],
)
def test_a_body_that_cannot_be_read_says_where(body: str, pointer: str, code: str) -> None:
    """Also inside what is no JSON."""
    assert (pointer, code) in problems(lambda: read_feature_body(body, {}))


def test_a_body_that_is_not_utf8_is_refused() -> None:
    """Bytes are read as UTF-8 and nothing else."""
    assert problems(lambda: read_feature_body(b'{"id": "\xff"}', {})) == [("", "not-utf-8")]
    assert read_feature_body('{"id": "x", "type": "switch", "name": "Ü"}'.encode(), {}).name == "Ü"


def test_a_problem_says_what_was_probably_meant(catalog: Catalog) -> None:
    """As a field of its own."""
    with pytest.raises(BodyError) as caught:
        read_entitlements_body('{"entitlements": {"moveis": 5}}', catalog.features)
    (problem,) = caught.value.problems
    assert (problem.pointer, problem.suggestion) == ("/entitlements/moveis", "movies")


def test_the_problems_of_a_body_are_bounded() -> None:
    """A hundred are named, and how many more there are."""
    body = json.dumps({"id": "x", "type": "switch", **{f"k{number}": 1 for number in range(150)}})
    found = problems(lambda: read_feature_body(body, {}))
    assert (len(found), found[-1]) == (101, ("", "more-problems"))


# ── What the address fixes ───────────────────────────────────────────────────────────────────────────────────────────


def test_what_the_address_says_can_be_left_out() -> None:
    """And may stand in the body, if it is the same."""
    for body in ('{"type": "switch"}', '{"id": "x", "type": "switch"}'):
        assert read_feature_body(body, {}, {"id": "x"}).id == "x"


def test_what_the_address_says_cannot_be_something_else() -> None:
    """The pointer is of the value."""
    assert problems(lambda: read_feature_body('{"type": "switch", "id": 5}', {}, {"id": "x"})) == [
        ("/id", "fixed-value")
    ]


# ── Features and items ───────────────────────────────────────────────────────────────────────────────────────────────


def test_a_feature_is_linked_to_features_that_exist() -> None:
    """Itself is none of them."""
    known = {id_: Feature(id=id_, type=FeatureType.SWITCH) for id_ in ("x", "y")}
    body = '{"id": "x", "type": "switch", "linked": ["y", "x", "z"]}'
    assert problems(lambda: read_feature_body(body, known)) == [
        ("/linked/1", "self-reference"),
        ("/linked/2", "unknown-feature"),
    ]


def test_an_item_may_come_without_a_draft(catalog: Catalog) -> None:
    """An absent draft is not an empty one."""
    absent = read_item_body('{"id": "new", "kind": "plan"}', catalog.features, catalog.items)
    empty = read_item_body('{"id": "new", "kind": "plan", "entitlements": {}}', catalog.features, catalog.items)
    assert (absent.draft, empty.draft) == (None, {})
    assert absent.item == empty.item


def test_an_item_takes_entitlements_of_every_form(catalog: Catalog) -> None:
    """As in a file."""
    body = """{"id": "new", "kind": "addon", "private_to": "acme", "entitlements":
        {"storage": 1.5, "movies": {"add": 3}, "support": "chat", "api-limit": 100}}"""
    read = read_item_body(body, catalog.features, catalog.items)
    assert read.item.private_to == "acme"
    assert read.draft == {
        "api-limit": Amount(100),
        "movies": AddedAmount(3),
        "storage": Amount(1500),
        "support": Level("chat"),
    }


def test_versions_and_rollouts_of_an_item_are_not_edited(catalog: Catalog) -> None:
    """They come about by publishing; nothing else is said of them."""
    body = '{"id": "new", "kind": "plan", "version": 2, "versions": 5, "name": 3, "rollouts": []}'
    assert problems(lambda: read_item_body(body, catalog.features, catalog.items)) == [
        ("/version", "not-edited-here"),
        ("/versions", "not-edited-here"),
        ("/name", "wrong-type"),
        ("/rollouts", "not-edited-here"),
    ]


def test_the_draft_of_an_item_can_be_kept_out(catalog: Catalog) -> None:
    """Where it has an address of its own."""
    body = '{"id": "new", "kind": "plan", "entitlements": {"no": "such"}}'
    assert problems(lambda: read_item_body(body, catalog.features, catalog.items, with_draft=False)) == [
        ("/entitlements", "not-edited-here")
    ]


def test_what_others_name_need_not_be_among_the_items(catalog: Catalog) -> None:
    """It may be hidden from whoever edits."""
    hidden = {"gold": replace(catalog.items["gold"], excludes=("secret",), depends_on=("secret",))}
    assert read_item_body('{"id": "new", "kind": "plan", "depends_on": ["gold"]}', {}, hidden).item.id == "new"


def test_a_plan_that_others_name_stays_one(catalog: Catalog) -> None:
    """An add-on is available for plans alone."""
    body = '{"id": "gold", "kind": "addon"}'
    with pytest.raises(BodyError, match="`extra-movies` is available for `gold`, which must stay a plan"):
        read_item_body(body, catalog.features, catalog.items)


def test_what_an_item_names_must_exist_and_fit(catalog: Catalog) -> None:
    """By the rules of the file."""
    body = """{"id": "new", "kind": "addon", "available_for": ["extra-movies", "gold", "new"],
        "depends_on": ["golt"], "excludes": ["gold"]}"""
    assert problems(lambda: read_item_body(body, catalog.features, catalog.items)) == [
        ("/available_for/0", "not-a-plan"),
        ("/available_for/2", "self-reference"),
        ("/depends_on/0", "unknown-item"),
        ("/excludes/0", "contradiction"),
    ]


def test_an_edit_of_one_item_may_not_make_another_impossible(catalog: Catalog) -> None:
    """The plan of an add-on cannot begin to exclude it."""
    body = '{"id": "gold", "kind": "plan", "excludes": ["extra-movies"]}'
    with pytest.raises(BodyError, match="with this `gold`, nobody can have `extra-movies`"):
        read_item_body(body, catalog.features, catalog.items)


# ── Subjects ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_override_without_an_id_gets_a_free_one(reader: SubjectReader) -> None:
    """Of its feature, with the number that is given, and a further one where somebody has taken that."""
    body = '{"feature": "movies", "value": "unlimited", "reason": "sorry"}'
    assert read_override_body(body, reader).id == "movies-1"
    read = read_override_body(body, reader, {"movies-1", "movies-2", "support-1"}, number=3)
    assert (read.id, read.mode, read.value) == ("movies-3", OverrideMode.REPLACE, UNLIMITED)
    assert read_override_body(body, reader, {"movies-3", "movies-3-2"}, number=3).id == "movies-3-3"


def test_an_override_does_not_take_the_id_of_another(reader: SubjectReader) -> None:
    """The pointer is of the id."""
    body = '{"feature": "movies", "value": 5, "id": "own"}'
    assert problems(lambda: read_override_body(body, reader, {"own"})) == [("/id", "duplicate-id")]


def test_a_private_item_is_held_by_its_customer_alone(catalog: Catalog) -> None:
    """Another customer's subscription to it is refused."""
    private = replace(catalog.items["gold"], private_to="acme")
    mine = replace(catalog, items=catalog.items | {"gold": private})
    reader = SubjectReader(mine.index(), TotalBounds.of(mine))
    body = '{"id": "s", "customer": "%s", "status": "active", "items": [{"item": "gold"}]}'
    assert read_subject_body(body % "acme", reader.subscription).customer == "acme"
    assert problems(lambda: read_subject_body(body % "globex", reader.subscription)) == [("/items/0", "private-item")]


# ── Partial edits ────────────────────────────────────────────────────────────────────────────────────────────────────

JSON = st.recursive(
    st.booleans() | st.integers() | st.sampled_from(["", "a", "b"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=12,
)
PATCHES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["", "a", "b"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=12,
)


def merge(target: Any, patch: Any) -> Any:  # noqa: ANN401 - any JSON
    """The pseudocode of RFC 7396, section 2."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merge(result.get(name), value)
    return result


@given(st.dictionaries(st.sampled_from("abc"), JSON), st.dictionaries(st.sampled_from("abc"), PATCHES))
def test_a_patch_is_a_json_merge_patch(target: dict[str, PlainData], patch: dict[str, Any]) -> None:
    """As RFC 7396 says it."""
    assert json.loads(apply_merge_patch(json.dumps(patch), target)) == merge(target, patch)


def test_a_patch_keeps_numbers_exact() -> None:
    """Whatever their size and form."""
    assert apply_merge_patch('{"a": 1.10, "b": 1e30, "c": 123456789012345678901234567890}', {"d": Decimal("0.1")}) == (
        '{"d":0.1,"a":1.10,"b":1E+30,"c":123456789012345678901234567890}'
    )


@pytest.mark.parametrize(("patch", "code"), [("[]", "wrong-type"), ('{"a": 1, "a": 2}', "duplicate-key")])
def test_a_patch_is_one_object(patch: str, code: str) -> None:
    """What could be read in two ways is not read."""
    assert code in dict(map(reversed, problems(lambda: apply_merge_patch(patch, {}))))  # type: ignore[arg-type]


def test_a_patch_edits_a_feature_and_says_what_becomes_wrong() -> None:
    """The pointers are those of the patch."""
    feature = read_feature_body('{"id": "gb", "type": "quantity", "scale": 1, "unit": "GB", "levels": [1, 2.5]}', {})
    read = read_feature_body(
        apply_merge_patch('{"unit": null, "name": "Storage"}', feature_data(feature)), {}, {"id": "gb"}
    )
    assert read == replace(feature, unit="", name="Storage")
    wrong = apply_merge_patch('{"scale": 0, "levels": [1, null]}', feature_data(feature))
    assert problems(lambda: read_feature_body(wrong, {})) == [("/levels/1", "wrong-type")]
