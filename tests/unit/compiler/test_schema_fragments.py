from __future__ import annotations

import pytest

from tiergate.cedar import builtin_schema
from tiergate.compiler import compile_catalog
from tiergate.compiler.schema_fragments import Declaration, find_declarations
from tiergate.errors import RulesError
from tiergate.model import Catalog, Problem, Rules

EMPTY = Catalog({}, {})


def problems(*fragments: str) -> list[Problem]:
    """What is wrong with schema fragments called `a`, `b` and `c`."""
    try:
        compile_catalog(EMPTY, Rules(schemas=dict(zip("abc", fragments, strict=False))))
    except RulesError as error:
        return list(error.problems)
    return []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "// nothing yet\n",
        "entity Region;",
        "entity Region, Zone in [Region] { countries: Set<String>, cap?: Cap } tags Long;",
        '@doc("where") entity Region = { limit: Long };',
        'entity Color enum ["red", "blue"];',
        "namespace Shop { entity Region; type Money = { cents: Long }; entity Order in [Region] { total: Money }; }",
        "type Money = { cents: Long };\nentity Budget { left: Money, who: Customer };",
        "action buy, sell;",
        'entity P;\n@doc("a; b")\naction "read" in [view] appliesTo {principal: [User], resource: P}; action view;',
    ],
)
def test_a_fragment_may_declare_types_of_its_own(text: str) -> None:
    """Entity types and common types can be declared, and may build on Tiergate's."""
    assert problems(text) == []


def test_fragments_may_build_on_each_other() -> None:
    """A type of one file can be used in another, whatever their order."""
    assert problems("entity Zone in [Region];", "entity Region;") == []


@pytest.mark.parametrize(
    ("text", "line", "column", "code", "message"),
    [
        (
            "entity X;\nentity Feature;",
            2,
            8,
            "reserved-name",
            "`Feature` is a name of Tiergate and cannot be declared",
        ),
        ("entity A, Item;", 1, 11, "reserved-name", "`Item` is a name of Tiergate and cannot be declared"),
        ("type Cap = { limit: Long };", 1, 6, "reserved-name", "`Cap` is a name of Tiergate and cannot be declared"),
        ("entity Long;", 1, 8, "reserved-name", "`Long` is a name of Cedar and cannot be declared"),
        ("type datetime = String;", 1, 6, "reserved-name", "`datetime` is a name of Cedar and cannot be declared"),
        ('action "use";', 1, 1, "reserved-name", "`use` is an action of Tiergate and cannot be declared"),
        ("namespace S { action buy; }", 1, 22, "schema-action", "an action of your own cannot be in a namespace"),
        ("entity A;\nentity A;", 2, 8, "duplicate-name", "`A` is declared already"),
        ("entity A {\n  x: Strin,\n};", 2, 6, "unknown-type", "there is no type `Strin`"),
        ("entity A in [Regin];", 1, 14, "unknown-type", "there is no type `Regin`"),
        ("entity A;\nentity B {;\nentity C;", 2, 8, "bad-schema", "unexpected token `;`"),
        ("entity A;\nnamespace S { entity Feature; }", 2, 22, "bad-schema", "definition of `S::Feature` illegally"),
        ("entity A", 1, 8, "bad-schema", "unexpected end of input"),
        ("/* no */ entity A;", 1, 17, "bad-schema", "invalid token"),
        ("entity A" + "{x: Set<" * 60 + ";", 1, 1, "too-complex", "brackets are nested more than 50 deep"),
    ],
)
def test_a_fragment_that_is_no_addition_is_refused(text: str, line: int, column: int, code: str, message: str) -> None:
    """What would change Tiergate's meaning, or means nothing, is named at its place."""
    first = problems(text)[0]
    assert (first.file, first.line, first.column, first.code) == ("a.cedarschema", line, column, code)
    assert first.message.startswith(message)


def test_a_name_declared_in_two_files_is_refused_in_the_second() -> None:
    """Two files cannot declare the same name."""
    assert [(it.file, it.code) for it in problems("entity A;", "entity A;")] == [("b.cedarschema", "duplicate-name")]


def test_a_mistake_in_a_later_file_is_found_there() -> None:
    """The file that Cedar stumbles over is the one that is named."""
    [found] = problems("entity A;", "entity B { ] };")
    assert (found.file, found.line, found.column) == ("b.cedarschema", 1, 8)


def test_the_bundles_schema_holds_the_fragments_by_name() -> None:
    """The bundle has one schema: Tiergate's, then each fragment; where the rules stood is not part of it."""
    rules = Rules(schemas={"b": "entity B;", "a": "entity A;\n\n"})
    files = compile_catalog(EMPTY, rules, rules_folder="/home/ada/rules")
    expected = builtin_schema() + "\n// a.cedarschema\nentity A;\n\n// b.cedarschema\nentity B;\n"
    assert files["schema.cedarschema"].decode() == expected


def test_declarations_of_tiergates_own_schema_are_found() -> None:
    """The reserved names are read from the schema itself."""
    found = {(it.kind, it.name) for it in find_declarations(builtin_schema())}
    entities = {"Tag", "Item", "Feature", "Customer", "Subscription", "User"}
    actions = {"access", "use", "consume", "set", "choose"}
    assert found == {*(("entity", it) for it in entities), *(("action", it) for it in actions), ("type", "Cap")}


def test_declarations_are_found_with_namespaces_and_choices() -> None:
    """Annotations, attributes, comments and namespaces are told from names."""
    text = """@x("entity No;") // entity No;
namespace A::B { entity C, D { entity: Long } tags String; }
entity E enum ["f", "g"];"""
    assert find_declarations(text) == [
        Declaration("entity", "A::B::C", text.index("C, D")),
        Declaration("entity", "A::B::D", text.index("D {")),
        Declaration("entity", "E", text.index("E enum"), ("f", "g")),
    ]
