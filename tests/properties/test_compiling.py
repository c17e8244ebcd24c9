"""Invariant 4, and what the compiler promises of its text.

It is deterministic, says what the catalog says, and is the template of its feature's type.
"""

from __future__ import annotations

import json
import tempfile
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from tests.properties.documents import Document, metered_catalogs
from tests.properties.engines import text_of
from tests.reference.entitlement import versions
from tiergate.bundle import Bundle, encode_manifest
from tiergate.bundle.manifest import manifest_of
from tiergate.catalog import dump_catalog, load_catalog
from tiergate.cedar import BaseEntities, Schema, builtin_schema, builtin_text, format_text, parse_policies
from tiergate.compiler import compile_catalog
from tiergate.compiler.policy_validation import validate_files
from tiergate.model import Catalog, Rules
from tiergate.model.features import ACTIONS

if TYPE_CHECKING:
    from random import Random

Key = TypeVar("Key")
Kept = TypeVar("Kept")

RULES = Rules(
    {"b": '@id("b") permit (principal, action, resource);', "a": '@id("a") forbid (principal, action, resource);'},
    {"b": "entity B;", "a": "entity A in [B];"},
    {"b": '[{"uid": {"type": "B", "id": "b"}, "attrs": {}, "parents": []}]', "a": "[]"},
)
TEMPLATES = {it.id: it.json for it in parse_policies(builtin_text("templates"))}


def loaded(document: Document) -> Catalog:
    """The catalog that a document says."""
    return reloaded(text_of(document).decode(), "catalog.json")


def reloaded(text: str, name: str = "catalog.yaml") -> Catalog:
    """The catalog that a file with this text says."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, name)
        file.write_text(text, encoding="utf-8")
        return load_catalog([file]).catalog


def shuffled(known: dict[Key, Kept], random: Random) -> dict[Key, Kept]:
    """The same entries in another order."""
    entries = list(known.items())
    random.shuffle(entries)
    return dict(entries)


def revision(files: dict[str, bytes]) -> str:
    """The revision of files."""
    return manifest_of(files).revision


@given(metered_catalogs(), st.randoms(use_true_random=False))
def test_the_order_of_the_input_does_not_matter(document: Document, random: Random) -> None:
    """The same features, items, versions, entitlements and rules in another order are the same bytes."""
    catalog = loaded(document)
    items = {}
    for key, item in shuffled(catalog.items, random).items():
        definitions = [
            msgspec.structs.replace(it, entitlements=shuffled(it.entitlements, random)) for it in item.versions
        ]
        random.shuffle(definitions)
        items[key] = msgspec.structs.replace(item, versions=tuple(definitions))
    other = Catalog(shuffled(catalog.features, random), items, catalog.ladders, catalog.plans)
    rules = Rules(*(shuffled(it, random) for it in (RULES.policies, RULES.schemas, RULES.entities)))
    first, second = compile_catalog(catalog, RULES), compile_catalog(other, rules)
    assert first == second
    assert encode_manifest(manifest_of(first)) == encode_manifest(manifest_of(second))


@given(metered_catalogs())
def test_a_printed_catalog_compiles_to_the_same_revision(document: Document) -> None:
    """compile(parse(print(catalog))) is compile(catalog)."""
    catalog = loaded(document)
    assert revision(compile_catalog(reloaded(dump_catalog(catalog)))) == revision(compile_catalog(catalog))


@given(metered_catalogs(), st.sampled_from([Rules(), RULES]))
def test_every_policy_is_valid(document: Document, rules: Rules) -> None:
    """A compilation validates the shapes of permits; each of its files is valid by itself, under rules' schemas too."""
    files = compile_catalog(loaded(document), rules)
    schema = Schema(files["schema.cedarschema"].decode())
    policies = {path: it for path, it in files.items() if path.endswith(".cedar") and it}
    assert validate_files(policies, schema) == {}


def said(feature: Document, value: Any) -> tuple[str, str]:  # noqa: ANN401 - a document's value
    """What `@value` and the entity's tag say of a value in a catalog file, written down independently of the model."""
    if isinstance(value, bool):
        return ("on", "true") if value else ("off", "false")
    if isinstance(value, str):
        return value, value
    sign, per, above = "", "", feature.get("metered", {})
    own = ""
    if isinstance(value, dict):
        if "add" in value:
            above = {}
        elif "limit" in value:
            above = value
            own = above_text(above)
        sign = "+" if "add" in value else ""
        per = f" per {value['per']}" if "per" in value else ""
        value = value["add"] if "add" in value else value["value"]
    if isinstance(value, str):
        return value, value
    number = sign + format(Decimal(value).normalize(), "f")
    unit = f" {feature['unit']}" if feature.get("unit") else ""
    shown = above_text(above) if above.get("limit") == "soft" or own else ""
    return f"{number}{unit}{per}{shown}", f"{number}{per}{own}"


def above_text(limit: Document) -> str:
    """What is said of use above a limit."""
    most = limit.get("overage_max")
    more = "" if most is None else f", at most {Decimal(most).normalize():f} above"
    return f", {limit['limit']} limit{more}"


@given(metered_catalogs())
def test_the_text_and_the_data_say_what_the_catalog_says(document: Document) -> None:
    """Every entitlement of the file is one permit and one tag, no more and no fewer, and each says its value."""
    files = compile_catalog(loaded(document))
    features = {it["id"]: it for it in document["features"]}
    for item in document["items"]:
        for version in versions(item):
            ref = f"{item['kind']}/{item['id']}@{version['version']}"
            expected = {key: said(features[key], value) for key, value in version["entitlements"].items()}
            policies = parse_policies(files[f"policies/items/{ref}.cedar"].decode())
            tags = json.loads(files[f"entities/items/{ref}.json"])[0]["tags"]
            assert [(it.id, it.annotations["value"]) for it in policies] == [
                (f"{ref}/{key}", expected[key][0]) for key in sorted(expected)
            ]
            assert tags == {key: tag for key, (_, tag) in expected.items()}


@given(metered_catalogs())
def test_every_permit_is_its_template_filled(document: Document) -> None:
    """Parsed, a permit is the template of its feature's type, with the item version and the feature in the slots."""
    catalog = loaded(document)
    files = compile_catalog(catalog)
    for path, text in files.items():
        if path.startswith("policies/items/"):
            ref = path.removeprefix("policies/items/").removesuffix(".cedar")
            for policy in parse_policies(text.decode()):
                feature = catalog.features[policy.id.removeprefix(f"{ref}/")]
                filled = {
                    "effect": "permit",
                    "principal": {"op": "in", "entity": {"type": "Item", "id": ref}},
                    "action": TEMPLATES[ACTIONS[feature.type]]["action"],
                    "resource": {"op": "==", "entity": {"type": "Feature", "id": feature.id}},
                    "conditions": TEMPLATES[ACTIONS[feature.type]]["conditions"],
                }
                assert {key: it for key, it in policy.json.items() if key != "annotations"} == filled


@given(metered_catalogs())
def test_cedar_agrees_with_the_layout_and_the_data(document: Document) -> None:
    """Cedar's formatter changes nothing, and its schema accepts the entity data, file by file and all together."""
    files = compile_catalog(loaded(document))
    schema = Schema(builtin_schema())
    entities: dict[str, Any] = {}
    for path, content in files.items():
        if path.startswith("policies/items/") and content:
            assert format_text(content.decode()) == content.decode()
        if path.startswith("entities/"):
            BaseEntities(content.decode(), schema)
            entities |= {json.dumps(it["uid"]): it for it in json.loads(content)}
    BaseEntities(json.dumps(list(entities.values())), schema)


@given(metered_catalogs())
def test_a_bundle_gives_back_the_catalog(document: Document) -> None:
    """Index and definitions, read from the files alone, are the catalog that was compiled."""
    catalog = loaded(document)
    bundle = Bundle.from_files(compile_catalog(catalog))
    assert bundle.index.features == catalog.features
    assert {
        key: {number: bundle.definition(f"{item.kind}/{key}@{number}") for number in item.versions}
        for key, item in bundle.index.items.items()
    } == {
        key: {definition.version: definition.entitlements for definition in item.versions}
        for key, item in catalog.items.items()
    }
