from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from tests.example_counts import part_of_examples
from tests.properties.documents import metered_catalogs, worlds
from tests.unit.catalog.marked import catalog_problems, load, load_people, subjects_problems
from tests.unit.catalog.models import catalogs, records
from tests.unit.catalog.samples import CATALOG, SUBJECTS
from tiergate.catalog import (
    catalog_schema,
    dump_catalog,
    dump_subject_lines,
    dump_subjects,
    subjects_line_schema,
    subjects_schema,
)
from tiergate.catalog.writing.printer import to_json

if TYPE_CHECKING:
    from tiergate.model import Catalog

CATALOG_FILE = Draft202012Validator(catalog_schema())
SUBJECTS_FILE = Draft202012Validator(subjects_schema())
SUBJECTS_LINE = Draft202012Validator(subjects_line_schema())

FEWER = settings(max_examples=part_of_examples(4))
"""Whole catalogs take long to draw."""


@pytest.mark.parametrize("schema", [catalog_schema(), subjects_schema(), subjects_line_schema()])
def test_a_schema_is_a_schema(schema: dict[str, Any]) -> None:
    """Each holds to the meta-schema of its dialect, every reference leads somewhere, every object is closed."""
    Draft202012Validator.check_schema(schema)
    for part in parts(schema):
        reference = part.get("$ref")
        assert reference is None or reference.removeprefix("#/$defs/") in schema["$defs"]
        if part.get("type") == "object":
            assert "additionalProperties" in part


def parts(schema: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - a schema is any JSON
    """Every object in a schema."""
    if isinstance(schema, list):
        return [part for entry in schema for part in parts(entry)]
    if not isinstance(schema, dict):
        return []
    return [schema, *(part for entry in schema.values() for part in parts(entry))]


@pytest.mark.parametrize("schema", [catalog_schema(), subjects_schema(), subjects_line_schema()])
def test_every_key_is_described(schema: dict[str, Any]) -> None:
    """An editor has something to say about each key."""
    for part in parts(schema):
        if part.get("additionalProperties") is not False:
            continue  # a condition
        for key, inner in part["properties"].items():
            target = inner.get("$ref", "").removeprefix("#/$defs/")
            assert "description" in inner or "description" in schema["$defs"].get(target, {}), key


def test_the_words_of_the_design_are_accepted(tmp_path: Path) -> None:
    """What the loader accepts in the design's own examples, the schemas accept."""
    catalog = load(tmp_path, CATALOG)
    people = load_people(tmp_path, catalog, SUBJECTS)
    CATALOG_FILE.validate(json.loads(dump_catalog(catalog, "json")))
    SUBJECTS_FILE.validate(json.loads(dump_subjects(people.values(), catalog.index(), "json")))
    for line in dump_subject_lines(people.values(), catalog.index()):
        SUBJECTS_LINE.validate(json.loads(line))


@FEWER
@given(catalogs())
def test_a_catalog_that_can_be_written_is_accepted(catalog: Catalog) -> None:
    """The schema refuses nothing that the model can say."""
    CATALOG_FILE.validate(json.loads(dump_catalog(catalog, "json")))


@FEWER
@given(st.data())
def test_subjects_that_can_be_written_are_accepted(data: st.DataObject) -> None:
    """The schemas refuse nothing that the model can say."""
    catalog = data.draw(catalogs())
    people = data.draw(records(catalog))
    SUBJECTS_FILE.validate(json.loads(dump_subjects(people.values(), catalog.index(), "json")))
    for line in dump_subject_lines(people.values(), catalog.index()):
        SUBJECTS_LINE.validate(json.loads(line))


@FEWER
@given(worlds())
def test_what_the_loaders_accept_the_schemas_accept(world: tuple[dict[str, Any], dict[str, Any]]) -> None:
    """Documents as people write them, with every spelling, pass both."""
    catalog, subjects = (to_json(document) for document in world)
    with TemporaryDirectory() as folder:
        loaded = load(Path(folder), catalog, "catalog.json")
        load_people(Path(folder), loaded, subjects, "subjects.json")
    CATALOG_FILE.validate(json.loads(catalog))
    SUBJECTS_FILE.validate(json.loads(subjects))


@FEWER
@given(metered_catalogs())
def test_metered_features_that_the_loader_accepts_the_schema_accepts(document: dict[str, Any]) -> None:
    """Soft limits, draws, and entitlements that say otherwise."""
    text = to_json(document)
    with TemporaryDirectory() as folder:
        load(Path(folder), text, "catalog.json")
    CATALOG_FILE.validate(json.loads(text))


def mappings(document: Any, path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], dict[str, Any]]]:  # noqa: ANN401
    """Every mapping of a document whose keys are fixed, with the keys that lead to it."""
    if isinstance(document, list):
        return [found for entry in document for found in mappings(entry, path)]
    if not isinstance(document, dict):
        return []
    inner = [found for key, entry in document.items() for found in mappings(entry, (*path, key))]
    return inner if path and path[-1] in {"entitlements", "attributes"} else [(path, document), *inner]


@FEWER
@given(worlds(), st.data())
def test_an_unknown_key_is_refused_by_both(world: tuple[dict[str, Any], dict[str, Any]], data: st.DataObject) -> None:
    """Wherever it stands, neither the loader nor the schema passes it over."""
    catalog, subjects = world
    document = data.draw(st.sampled_from([catalog, subjects]))
    with TemporaryDirectory() as folder:
        loaded = load(Path(folder), to_json(catalog), "catalog.json")
        _, mapping = data.draw(st.sampled_from(mappings(document)))
        mapping["idd"] = "x"
        text = to_json(document)
        if document is catalog:
            problems = catalog_problems(Path(folder), text, "catalog.json")
        else:
            problems = subjects_problems(Path(folder), loaded, text, "subjects.json")
    assert "unknown-key" in {problem.code for problem in problems}
    assert not (CATALOG_FILE if document is catalog else SUBJECTS_FILE).is_valid(json.loads(text))


@pytest.mark.parametrize(
    "document",
    [
        {"apiVersion": "tiergate/v2"},
        {"features": []},
        {"apiVersion": "tiergate/v1", "features": [{"id": "a b", "type": "switch"}]},
        {"apiVersion": "tiergate/v1", "features": [{"id": "a", "type": "toggle"}]},
        {"apiVersion": "tiergate/v1", "features": [{"id": "a", "type": "switch", "unit": "GB"}]},
        {"apiVersion": "tiergate/v1", "features": [{"id": "a", "type": "range", "metered": {"reset": "day"}}]},
        {"apiVersion": "tiergate/v1", "features": [{"id": "a", "type": "custom"}]},
        {"apiVersion": "tiergate/v1", "features": [{"id": "a", "type": "custom", "levels": [1]}]},
        {"apiVersion": "tiergate/v1", "features": [{"id": "a", "type": "quantity", "levels": ["low"]}]},
        {"apiVersion": "tiergate/v1", "features": [{"id": "a", "type": "quantity", "caps": {"total": 1}}]},
        {"apiVersion": "tiergate/v1", "items": [{"id": "a", "kind": "plan"}]},
        {"apiVersion": "tiergate/v1", "items": [{"id": "a", "kind": "plan", "entitlements": {"x": None}}]},
        {"apiVersion": "tiergate/v1", "items": [{"id": "a", "kind": "plan", "entitlements": {"x": -1}}]},
        {"apiVersion": "tiergate/v1", "items": [{"id": "a", "kind": "plan", "entitlements": {"x": {"ad": 1}}}]},
        {
            "apiVersion": "tiergate/v1",
            "items": [{"id": "a", "kind": "plan", "entitlements": {"x": {"value": 1, "overage_max": 1}}}],
        },
        {"apiVersion": "tiergate/v1", "items": [{"id": "a", "kind": "plan", "entitlements": {}, "versions": []}]},
        {"apiVersion": "tiergate/v1", "items": [{"id": "a", "kind": "plan", "entitlements": {}, "available_for": []}]},
        {"apiVersion": "tiergate/v1", "ladders": [{"id": "a", "plans": ["b"]}]},
    ],
)
def test_what_an_editor_should_underline_is_refused(document: dict[str, Any]) -> None:
    """Mistakes that need no other part of the file are seen by the schema already."""
    assert not CATALOG_FILE.is_valid(document)


@pytest.mark.parametrize(
    "key",
    [
        {"metered": {}},
        {"metered": {"reset": "fortnight"}},
        {"metered": {"reset": {"every": 0, "of": "day"}}},
        {"metered": {"reset": "never", "anchor": "first_use"}},
        {"metered": {"reset": "never", "rollover": {"max": 1}}},
        {"metered": {"reset": "day", "overage_max": 1}},
        {"metered": {"reset": "day", "limit": "hard", "overage_max": 1}},
        {"metered": {"reset": "day", "limit": "soft", "overage_max": 0}},
        {"metered": {"reset": "day", "late": "3 weeks"}},
        {"metered": {"reset": "day", "rollover": {}}},
        {"metered": {"reset": "day"}, "draws": {"from": "b"}},
        {"metered": {"reset": "day"}, "draws": {"from": "b", "cost": 0}},
        {"draws": {"from": "b", "cost": 1}},
    ],
)
def test_a_metering_that_an_editor_should_underline_is_refused(key: dict[str, Any]) -> None:
    """Mistakes that need no other part of the file are seen by the schema already."""
    feature = {"id": "a", "type": "quantity"}
    good = {"metered": {"reset": "day", "limit": "soft", "overage_max": 1}, "draws": {"from": "b", "cost": 1}}
    assert CATALOG_FILE.is_valid({"apiVersion": "tiergate/v1", "features": [feature | good]})
    assert not CATALOG_FILE.is_valid({"apiVersion": "tiergate/v1", "features": [feature | key]})


@pytest.mark.parametrize(
    "change",
    [
        {"status": "trialing"},
        {"status": "canceled"},
        {"status": "gone"},
        {"start": "yesterday"},
        {"items": [{"item": "gold", "quantity": 0}]},
        {"overrides": [{"feature": "f"}]},
        {"overrides": [{"feature": "f", "value": {"value": 1}}]},
        {"overrides": [{"feature": "f", "value": {"value": 1, "limit": "hard", "overage_max": 1}}]},
        {"overrides": [{"feature": "f", "mode": "at_least", "value": {"value": 1, "limit": "soft"}}]},
        {"overrides": [{"feature": "f", "mode": "disabled", "value": True}]},
        {"suspensions": [{"reason": "x"}]},
    ],
)
def test_a_subscription_that_an_editor_should_underline_is_refused(change: dict[str, Any]) -> None:
    """Mistakes that need no other part of the file are seen by the schema already."""
    good = {"id": "s", "customer": "acme", "status": "active", "items": []}
    assert SUBJECTS_FILE.is_valid({"apiVersion": "tiergate/v1", "subscriptions": [good]})
    assert not SUBJECTS_FILE.is_valid({"apiVersion": "tiergate/v1", "subscriptions": [good | change]})
    assert not SUBJECTS_LINE.is_valid({"type": "subscription"} | good | change)
