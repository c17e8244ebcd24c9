from __future__ import annotations

import json

import pytest

from tiergate.compiler import compile_catalog
from tiergate.errors import RulesError
from tiergate.model import Catalog, Rules

EMPTY = Catalog({}, {})
SCHEMA = """\
entity Person in [Team];
entity Team;
entity Page { draft?: Bool };
action view;
action read, "write-to" in [view] appliesTo { principal: [Person, Customer], resource: Page, context: {n?: Long} };
"""
ENTITIES = '[{"uid": {"type": "Team", "id": "t"}, "attrs": {}, "parents": []}]'


def compiled(policies: str, schema: str = SCHEMA, **more: str) -> dict[str, bytes]:
    """A bundle of one rule file, and others."""
    entities = {"e": ENTITIES} if "Team" in schema else {}
    return compile_catalog(EMPTY, Rules({"a": policies, **more}, {"s": schema}, entities))


def codes(policies: str, schema: str = SCHEMA) -> list[str]:
    """The codes of what is wrong."""
    try:
        compiled(policies, schema)
    except RulesError as error:
        return [problem.code for problem in error.problems]
    return []


def test_own_actions_have_files_of_their_own() -> None:
    """An index, a schema, and the rules on them; other rules, and their schema, are as without."""
    own = '@id("x") permit(principal in Team::"t", action == Action::"read", resource) when {context has n};'
    other = '@id("y") forbid(principal, action, resource) when {principal.tags.contains("banned")};'
    files = compiled(own, b=other)
    without = compile_catalog(EMPTY, Rules({"b": other}, {"s": SCHEMA[: SCHEMA.index("action")]}, {"e": ENTITIES}))

    assert files["policies/access/a.cedar"].decode() == own
    assert "policies/rules/a.cedar" not in files
    assert json.loads(files["access.json"]) == {
        "view": {"principals": [], "resources": [], "in": []},
        "read": {"principals": ["Person", "Customer"], "resources": ["Page"], "in": ["view"]},
        "write-to": {"principals": ["Person", "Customer"], "resources": ["Page"], "in": ["view"]},
    }
    assert files["access.cedarschema"].decode().rstrip().endswith(SCHEMA.rstrip())
    assert files["schema.cedarschema"].decode().split() == without["schema.cedarschema"].decode().split()
    assert files["policies/rules/b.cedar"] == without["policies/rules/b.cedar"]
    assert not any("access" in path for path in without)


@pytest.mark.parametrize(
    ("policies", "expected"),
    [
        ('@id("x") permit(principal, action in Action::"view", resource);', []),
        ('@id("x") permit(principal, action == Action::"read", resource) when {resource.drafty};', ["invalid-rule"]),
        ('@id("x") permit(principal, action == Action::"read", resource == Page::"p");', ["unknown-entity"]),
        ('permit(principal, action == Action::"read", resource);', ["rule-without-id"]),
        (
            (
                '@id("x") permit(principal, action == Action::"read", resource);'
                '@id("y") forbid(principal, action, resource);'
            ),
            ["mixed-actions"],
        ),
        (
            '@id("x") permit(principal, action in [Action::"read", Action::"use"], resource);',
            ["mixed-actions", "unknown-action"],
        ),
    ],
)
def test_rules_on_own_actions_are_checked(policies: str, expected: list[str]) -> None:
    """Against the schema with them; and a file is about them, or about checks."""
    assert sorted(codes(policies)) == expected


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ("entity P; action a appliesTo {principal: P, resource: Feature};", ["schema-action"]),
        ("entity P; action a appliesTo {principal: Item, resource: P};", ["schema-action"]),
        ("entity P; action consume appliesTo {principal: P, resource: P};", ["reserved-name"]),
        ("entity P; action a, a appliesTo {principal: P, resource: P};", ["duplicate-name"]),
        ('entity P; action "no id!" appliesTo {principal: P, resource: P};', ["bad-id"]),
        ("entity P; action a appliesTo {principal: P, resource: P, context: {x: Lng}};", ["bad-schema"]),
        ("entity P; action a in [b];", ["bad-schema"]),
    ],
)
def test_declarations_are_checked(schema: str, expected: list[str]) -> None:
    """Types of principals and resources, names, and what Cedar says."""
    assert codes("", schema) == expected
