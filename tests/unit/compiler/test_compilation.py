from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tiergate.bundle import Bundle
from tiergate.catalog import load_catalog
from tiergate.cedar import BUILTIN_POLICIES, Schema, ValidationError, builtin_schema, builtin_text, validate
from tiergate.compiler import compilation, compile_catalog, policy_validation
from tiergate.compiler.policy_validation import validate_files
from tiergate.errors import CompileError
from tiergate.model import Amount, Catalog, Definition, Feature, FeatureType, Item, ItemKind, Rollout, Rules

if TYPE_CHECKING:
    from collections.abc import Mapping

STREAMING = Path(__file__).parents[3] / "examples" / "streaming" / "catalog.yaml"
LOADED = load_catalog([STREAMING])
RULE = '@id("own") forbid (principal, action, resource) when { principal.tags.contains("x") };'


def seats(*numbers: int) -> Catalog:
    """A catalog with a plan for each number of seats."""
    feature = Feature(id="seats", type=FeatureType.QUANTITY, unit="seats")
    items = [
        Item(
            id=f"plan-{place}",
            kind=ItemKind.PLAN,
            versions=(Definition(1, {"seats": Amount(number)}),),
            rollouts=(Rollout(1),),
        )
        for place, number in enumerate(numbers)
    ]
    return Catalog({"seats": feature}, {item.id: item for item in items})


@pytest.fixture
def validated(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Note the files that a compilation validates."""
    paths: list[str] = []

    def note(files: Mapping[str, bytes], schema: Schema) -> dict[str, list[ValidationError]]:
        paths.extend(files)
        return validate_files(files, schema)

    for module in (compilation, policy_validation):
        monkeypatch.setattr(module, "validate_files", note)
    return paths


def bend_templates(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the permits read an attribute that the context does not have."""
    bent = builtin_text("templates").replace("context.given", "context.gven")
    monkeypatch.setattr(compilation, "builtin_text", lambda name: bent if name == "templates" else builtin_text(name))


def test_the_files_of_a_bundle_are_sorted_and_complete() -> None:
    """What comes out is everything but the manifest."""
    assert list(compile_catalog(seats(1), Rules({"own": RULE}, {"own": ""}, {"own": "[]"}))) == [
        "catalog.json",
        "entities/features.json",
        "entities/items/plan/plan-0@1.json",
        "entities/rules/own.json",
        "policies/guards.cedar",
        "policies/items/plan/plan-0@1.cedar",
        "policies/overrides.cedar",
        "policies/reasons.cedar",
        "policies/rules/own.cedar",
        "policies/templates.cedar",
        "schema.cedarschema",
    ]


def test_what_is_written_by_hand_goes_into_the_bundle_as_it_is() -> None:
    """The schema and the hand-written policies are the ones in `policies/`."""
    files = compile_catalog(seats())
    assert files["schema.cedarschema"].decode() == builtin_schema()
    for name in BUILTIN_POLICIES:
        assert files[f"policies/{name}.cedar"].decode() == builtin_text(name)


def test_the_index_is_the_catalog_without_its_entitlements() -> None:
    """What a bundle says of features and items is what the catalog says of them."""
    bundle = Bundle.from_files(compile_catalog(LOADED.catalog))
    assert bundle.index == LOADED.catalog.index()
    assert bundle.index.features == LOADED.catalog.features
    for item in LOADED.catalog.items.values():
        for definition in item.versions:
            assert bundle.definition(f"{item.kind}/{item.id}@{definition.version}") == definition.entitlements


def test_a_number_that_changes_changes_exactly_its_lines() -> None:
    """One number is one line in one policy file, and one line in one entity file."""
    before, after = compile_catalog(seats(10, 20, 30)), compile_catalog(seats(10, 25, 30))
    changed = {path for path in before if before[path] != after[path]}
    assert changed == {"policies/items/plan/plan-1@1.cedar", "entities/items/plan/plan-1@1.json"}
    for path in changed:
        lines = list(zip(before[path].splitlines(), after[path].splitlines(), strict=True))
        assert [pair for pair in lines if pair[0] != pair[1]] == [
            (b'@value("20 seats")', b'@value("25 seats")')
            if path.startswith("policies")
            else (b'      "seats": "20"', b'      "seats": "25"')
        ]


BUILT_IN = [f"policies/{name}.cedar" for name in BUILTIN_POLICIES]


def test_permits_are_validated_by_their_shapes(validated: list[str]) -> None:
    """However many versions there are, Cedar validates what was written by hand, and the specimens of permits."""
    compile_catalog(seats(1, 2))
    assert validated == BUILT_IN


@pytest.mark.parametrize("schemas", [{}, {"own": "entity Region; type Size = Long;"}])
def test_every_file_of_permits_is_valid_where_its_shapes_are(schemas: dict[str, str]) -> None:
    """What no compilation validates any more file by file is valid file by file."""
    files = compile_catalog(LOADED.catalog, Rules({}, schemas))
    schema = Schema(files["schema.cedarschema"].decode())
    permits = {path: content for path, content in files.items() if path.startswith("policies/items/") and content}
    assert permits
    assert validate_files(permits, schema) == {}


def test_a_shape_that_is_not_valid_is_a_problem_of_every_permit(
    monkeypatch: pytest.MonkeyPatch, validated: list[str]
) -> None:
    """Should a template not be valid, each of its permits is named, as if no shapes were known."""
    bend_templates(monkeypatch)
    with pytest.raises(CompileError) as caught:
        compile_catalog(seats(1, 2))
    items = [f"policies/items/plan/plan-{number}@1.cedar" for number in range(2)]
    assert validated == [*BUILT_IN, *items]
    assert {it.code for it in caught.value.problems} == {"invalid-policy"}
    assert {it.message.split("`")[1] for it in caught.value.problems} == {"policies/templates.cedar", *items}


def test_a_policy_that_is_not_valid_is_a_problem_at_the_catalogs_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Should Cedar refuse a compiled permit, the problem names the entitlement that it was compiled from."""
    path = "policies/items/plan/gold@1.cedar"
    findings = {path: [ValidationError("policy2", "it is wrong"), ValidationError("", "all is")]}
    monkeypatch.setattr(compilation, "validate_permit_files", lambda *_: findings)
    with pytest.raises(CompileError) as caught:
        compile_catalog(LOADED.catalog, positions=LOADED.positions)
    lines = STREAMING.read_text(encoding="utf-8").splitlines()
    whole, one = caught.value.problems
    assert one.message == f"`{path}`: it is wrong"
    assert lines[one.line - 1][one.column - 1 :].startswith("50, support: phone")
    assert "analytics: true, movies: 50" in lines[whole.line - 1]


def test_the_hand_written_policies_are_valid() -> None:
    """Every file of `policies/` is strictly valid under the schema."""
    schema = Schema(builtin_schema())
    assert [finding for name in BUILTIN_POLICIES for finding in validate(builtin_text(name), schema)] == []


def test_another_process_compiles_the_same(tmp_path: Path) -> None:
    """The order in which this process happens to walk through sets does not reach the bundle."""
    program = (
        "import pathlib, sys; from tiergate.bundle import write_bundle; from tiergate.publish import compile_bundle;"
        "catalog, rules, folder = map(pathlib.Path, sys.argv[1:4]);"
        "print(write_bundle(compile_bundle([catalog], rules), folder))"
    )
    rules = STREAMING.parents[1] / "rules"
    revisions = {
        subprocess.run(
            [sys.executable, "-c", program, str(STREAMING), str(rules), str(tmp_path / seed)],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ["1", "2", "3"]
    }
    assert len(revisions) == 1
