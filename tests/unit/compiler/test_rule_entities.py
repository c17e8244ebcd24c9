from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiergate.catalog import load_catalog
from tiergate.compiler import compile_catalog
from tiergate.errors import RulesError
from tiergate.model import Problem, Rules

CATALOG = load_catalog([Path(__file__).parents[3] / "examples" / "streaming" / "catalog.yaml"]).catalog
SCHEMA = """
entity Region in [Region] { countries: Set<String>, limit?: Long, only?: Set<Feature> } tags String;
entity Color enum ["red", "blue"];
"""
EU = {"uid": {"type": "Region", "id": "eu"}, "attrs": {"countries": ["de", "fr"], "limit": 300}, "parents": []}


def problems(text: str, rule: str | None = None) -> list[Problem]:
    """What is wrong with an entity file `own.entities.json`, and perhaps a rule."""
    policies = {} if rule is None else {"own": f'@id("own") forbid (principal, action, resource) when {{ {rule} }};'}
    try:
        compile_catalog(CATALOG, Rules(policies, {"own": SCHEMA}, {"own": text}))
    except RulesError as error:
        return list(error.problems)
    return []


def entity(id_: str = "eu", **changes: object) -> str:
    """One entity as JSON, with some keys changed."""
    return json.dumps(EU | {"uid": {"type": "Region", "id": id_}} | changes)


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        " [ ] ",
        f"[{entity()}]",
        f"[\n  {entity()},\n  {entity('de', parents=[{'type': 'Region', 'id': 'eu'}])}\n]\n",
        f"[{entity(uid={'__entity': {'type': 'Region', 'id': 'eu'}})}]",
        f"[{entity(tags={'currency': 'EUR'})}]",
        f"[{entity(attrs={'countries': [], 'only': [{'type': 'Feature', 'id': 'movies'}]})}]",
        f"[{entity(attrs={'countries': [], 'only': [{'__entity': {'type': 'Feature', 'id': 'movies'}}]})}]",
    ],
)
def test_entities_of_own_types_are_accepted(text: str) -> None:
    """A file may hold entities of the types that a schema file declares."""
    assert problems(text) == []


def test_a_rule_may_name_them() -> None:
    """A rule can read the data of the users' own entities."""
    condition = 'principal.hasTag("c") && !Region::"eu".countries.contains(principal.getTag("c"))'
    assert problems(f"[{entity()}]", condition) == []
    assert problems("[]", 'Color::"red" == Color::"blue"') == []


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ('Region::"ue" has limit', "the rules' entities contain no `Region` with the id `ue`, did you mean `eu`?"),
        ('Color::"green" == Color::"red"', "the rules' entities contain no `Color` with the id `green`"),
    ],
)
def test_a_rule_that_names_an_entity_which_is_not_there_is_refused(rule: str, message: str) -> None:
    """A literal of an own type must stand in an entity file, or among the choices of its type."""
    [found] = problems(f"[{entity(id_='eu')}]".replace("ue", "eu"), rule)
    assert (found.file, found.code) == ("own.cedar", "unknown-entity")
    assert found.sentence.startswith(message.partition(", did")[0])


@pytest.mark.parametrize(
    ("text", "line", "column", "code", "message"),
    [
        ("", 1, 1, "bad-json", "is not a JSON list of entities: expecting '['"),
        ("{}", 1, 1, "bad-json", "is not a JSON list of entities: expecting '['"),
        ("[\n  {]", 2, 4, "bad-json", "is not a JSON list of entities: expecting property name"),
        ("[\n  1 2]", 2, 5, "bad-json", "is not a JSON list of entities: expecting ',' or ']'"),
        ("[1,]", 1, 4, "bad-json", "is not a JSON list of entities: expecting value"),
        ("[]\n[]", 2, 1, "bad-json", "is not a JSON list of entities: extra data"),
        ("[1", 1, 3, "bad-json", "is not a JSON list of entities: expecting ',' or ']'"),
        ("[1.5]", 1, 1, "bad-json", "is not a JSON list of entities: `1.5` is not a whole number"),
        ("[NaN]", 1, 1, "bad-json", "is not a JSON list of entities: `NaN` is not a whole number"),
        ("[9223372036854775808]", 1, 1, "bad-json", "is not a JSON list of entities: `9223372036854775808` is too"),
        ("[" + "9" * 5000 + "]", 1, 1, "bad-json", "is not a JSON list of entities: `9999"),
        ("[" * 100_000, 1, 1, "bad-json", "is not a JSON list of entities: maximum recursion depth"),
        ('[{"uid": 1, "uid": 2}]', 1, 1, "bad-json", "is not a JSON list of entities: duplicate key `uid`"),
        ("[\n3]", 2, 1, "bad-entity", "must be an entity"),
        ('[{"id": "eu"}]', 1, 2, "bad-entity", "must be an entity"),
        (f"[{entity(extra=1)}]", 1, 2, "bad-entity", "must be an entity"),
        (f"[{entity(uid='eu')}]", 1, 2, "bad-entity", "must be an entity"),
        (
            f"[{entity(uid={'type': 'Feature', 'id': 'x'})}]",
            1,
            2,
            "foreign-entity",
            'no schema file of the rules declares the type of `Feature::"x"`',
        ),
        (
            f"[{entity(uid={'type': 'Customer', 'id': 'x'})}]",
            1,
            2,
            "foreign-entity",
            "no schema file of the rules declares",
        ),
        (f"[{entity()},\n{entity()}]", 2, 1, "duplicate-entity", 'duplicate entity `Region::"eu"`'),
        (f"[\n {entity(attrs={})}]", 2, 2, "invalid-entity", '`Region::"eu"` does not fit the schema'),
        (f"[\n {entity(id_=chr(0xD800))}]", 2, 2, "invalid-entity", "`Region::"),
        (
            f"[{entity(parents=[{'type': 'Region', 'id': 'x'}])}]",
            1,
            2,
            "unknown-entity",
            "the rules' entities contain no",
        ),
        (
            f"[{entity(attrs={'countries': [], 'only': [{'type': 'Feature', 'id': 'movie'}]})}]",
            1,
            2,
            "unknown-feature",
            "the catalog has no feature `movie`, did you mean `movies`?",
        ),
    ],
)
def test_what_is_no_entity_is_refused_where_it_stands(
    text: str, line: int, column: int, code: str, message: str
) -> None:
    """Each mistake is named at its place in the author's file."""
    found = problems(text)
    assert {(it.file, it.line, it.column, it.code) for it in found} == {("own.entities.json", line, column, code)}
    assert found[0].sentence.startswith(message)


def test_an_entity_that_is_its_own_ancestor_is_refused() -> None:
    """A hierarchy must end."""
    circle = [
        entity("a", parents=[{"type": "Region", "id": "b"}]),
        entity("b", parents=[{"type": "Region", "id": "a"}]),
    ]
    [found] = problems(f"[{','.join(circle)}]")
    assert found.message == "the entities do not fit the schema together: is one its own parent?"


def test_entities_go_into_the_bundle_in_canonical_form() -> None:
    """The layout of an entity file does not change a revision, its content does."""
    texts = [f"[{entity()}]", json.dumps([EU], indent=4), f"[{entity(uid={'__entity': EU['uid']})}]"]
    written = {
        compile_catalog(CATALOG, Rules({}, {"own": SCHEMA}, {"own": text}))["entities/rules/own.json"] for text in texts
    }
    assert [json.loads(it) for it in written] == [[EU]]


@given(st.text(st.sampled_from(list('[]{}",:0-.e \\ud8tnul')), max_size=40))
def test_any_text_is_accepted_or_refused(text: str) -> None:
    """Whatever stands in an entity file, the compiler answers with files or with problems that have a place."""
    for it in problems(text):
        assert it.line >= 1


VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(["type", "id", "__entity"]), inner)
    ),
    max_leaves=6,
)


@given(st.sampled_from(["uid", "attrs", "parents", "tags", "countries"]), VALUES)
def test_any_value_in_an_entity_is_accepted_or_refused(key: str, value: object) -> None:
    """Whatever stands in the place of a part of an entity is never more than a problem."""
    changed = EU | ({"attrs": {"countries": value}} if key == "countries" else {key: value})
    for it in problems(json.dumps([changed])):
        assert it.line == 1
