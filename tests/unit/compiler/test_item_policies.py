from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiergate.cedar import Schema, builtin_schema, builtin_text, format_text, parse_policies, validate
from tiergate.compiler.item_policies import PermitWriter, read_shapes, write_specimens
from tiergate.model import UNLIMITED, Amount, Feature, FeatureType, Level, Switch, Value
from tiergate.model.features import ACTIONS
from tiergate.naming import ID

TEMPLATES = builtin_text("templates")
SHAPES = read_shapes(TEMPLATES)
VALUES: dict[FeatureType, Value] = {
    FeatureType.SWITCH: Switch(on=True),
    FeatureType.QUANTITY: Amount(50),
    FeatureType.RANGE: UNLIMITED,
    FeatureType.CUSTOM: Level("email"),
}
IDS = st.from_regex(ID, fullmatch=True)
LENGTHS = st.integers(1, 100).map(lambda length: "x" * length)


def feature_of(type_: FeatureType, id_: str = "seats") -> Feature:
    """A feature of a type."""
    return Feature(id=id_, type=type_, labels=("email",) if type_ is FeatureType.CUSTOM else ())


def permit(version: str, feature: Feature, value: Value) -> str:
    """One permit."""
    return PermitWriter({feature.id: feature}, SHAPES).write(version, {feature.id: value})


def filled(template: dict[str, Any], version: str, feature: str) -> dict[str, Any]:
    """A template's JSON with entities in its slots, and without annotations."""
    text = json.dumps({key: value for key, value in template.items() if key != "annotations"})
    for slot, kind, id_ in (("?principal", "Item", version), ("?resource", "Feature", feature)):
        text = text.replace(json.dumps({"slot": slot})[1:-1], f'"entity": {json.dumps({"type": kind, "id": id_})}')
    document: dict[str, Any] = json.loads(text)
    return document


@pytest.mark.parametrize("type_", FeatureType)
@given(item=IDS, version=st.integers(1, 10**6), feature=IDS)
def test_the_text_is_the_template_with_its_slots_filled(
    type_: FeatureType, item: str, version: int, feature: str
) -> None:
    """Parsed, a permit is exactly the link of its type's template: what the engine links is what the text says."""
    ref = f"addon/{item}@{version}"
    [written] = parse_policies(permit(ref, feature_of(type_, feature), VALUES[type_]))
    [template] = [it for it in parse_policies(TEMPLATES) if it.id == ACTIONS[type_]]
    assert not written.template
    assert {key: value for key, value in written.json.items() if key != "annotations"} == filled(
        template.json, ref, feature
    )


@pytest.mark.parametrize("type_", FeatureType)
@given(item=LENGTHS, version=st.sampled_from([1, 10, 100]), feature=LENGTHS)
def test_the_layout_is_that_of_cedars_formatter(type_: FeatureType, item: str, version: int, feature: str) -> None:
    """Whatever the length of the ids, formatting a permit changes nothing."""
    text = permit(f"plan/{item}@{version}", feature_of(type_, feature), VALUES[type_])
    assert format_text(text) == text


def test_several_permits_are_laid_out_as_one_file() -> None:
    """A file holds its permits in the order of the features' ids, apart by an empty line."""
    features = {id_: feature_of(type_, id_) for id_, type_ in zip("dcba", FeatureType, strict=True)}
    text = PermitWriter(features, SHAPES).write(
        "plan/pro@7", {id_: VALUES[feature.type] for id_, feature in features.items()}
    )
    assert [it.id for it in parse_policies(text)] == [f"plan/pro@7/{id_}" for id_ in "abcd"]
    assert format_text(text) == text
    assert text.endswith(";\n")


def test_a_version_that_gives_nothing_is_an_empty_file() -> None:
    """No entitlements are no permits."""
    assert PermitWriter({}, SHAPES).write("plan/pro@7", {}) == ""


def test_a_permit_has_its_id_and_its_value() -> None:
    """A reader of the file sees what is given, and finds it again in decisions."""
    [written] = parse_policies(permit("plan/pro@7", feature_of(FeatureType.QUANTITY), Amount(50)))
    assert written.annotations == {"id": "plan/pro@7/seats", "value": "50"}


def test_the_templates_are_valid_and_formatted() -> None:
    """The templates written by hand are valid under the schema, in the layout that permits are made from."""
    assert validate(TEMPLATES, Schema(builtin_schema())) == []
    assert format_text(TEMPLATES) == TEMPLATES


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("?resource", "?principal"), "not a template that permits can be made from"),
        (("principal in ?principal", "principal == ?principal"), "not a template that permits can be made from"),
        (('@id("choose")', '@id("use")'), "not a template that permits can be made from"),
        (('@id("choose")', '@id("pick")'), "not one template for each action"),
    ],
)
def test_templates_of_another_layout_are_refused(change: tuple[str, str], message: str) -> None:
    """Templates from which no permit could be made are an error, not a wrong permit."""
    with pytest.raises(ValueError, match=message):
        read_shapes(TEMPLATES.replace(*change))


@pytest.mark.parametrize("type_", FeatureType)
@given(item=IDS, version=st.integers(1, 10**6), feature=IDS)
def test_a_permit_differs_from_its_specimen_in_ids_and_annotations(
    type_: FeatureType, item: str, version: int, feature: str
) -> None:
    """So the specimen of a type stands for all permits of the type."""
    specimens = {it.id: it.json for it in parse_policies(write_specimens(SHAPES))}
    assert specimens.keys() == {f"plan/specimen@1/{it.value}" for it in FeatureType}
    specimen = specimens[f"plan/specimen@1/{type_.value}"]
    [written] = parse_policies(permit(f"charge/{item}@{version}", feature_of(type_, feature), VALUES[type_]))
    for policy in (specimen, written.json):
        policy.pop("annotations")
        for part in ("principal", "resource"):
            assert policy[part]["entity"].pop("id")
    assert written.json == specimen
