from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiergate.catalog import load_catalog
from tiergate.compiler import compile_catalog
from tiergate.errors import RulesError
from tiergate.model import Problem, Rules

CATALOG = load_catalog([Path(__file__).parents[3] / "examples" / "streaming" / "catalog.yaml"]).catalog

EVERYTHING = "principal, action, resource"


def problems(text: str, **others: dict[str, str]) -> list[Problem]:
    """What is wrong with one rule file `own.cedar`."""
    try:
        compile_catalog(CATALOG, Rules({"own": text}, **others))
    except RulesError as error:
        return list(error.problems)
    return []


def rule(scope: str = EVERYTHING, condition: str = "true", effect: str = "forbid", id_: str = "own") -> str:
    """One rule on two lines."""
    return f'@id("{id_}")\n{effect} ({scope}) when {{ {condition} }};\n'


@pytest.mark.parametrize(
    ("scope", "condition"),
    [
        ('principal, action in Action::"access", resource', "true"),
        ('principal in Item::"plan/gold", action == Action::"consume", resource', "context.used > context.limit"),
        ('principal in Item::"plan/gold@1", action, resource == Feature::"analytics"', "true"),
        ('principal, action, resource in Tag::"insights"', "context.live"),
        ('principal == Customer::"anybody", action, resource', "true"),
        ('principal in Subscription::"sub_1", action, resource', "true"),
        ("principal is User, action, resource is Feature", 'principal.customer == "acme"'),
        (EVERYTHING, 'resource in [Feature::"movies", Feature::"support"] && principal != User::"eve"'),
        (EVERYTHING, 'principal.hasTag("region") && principal.getTag("region") == "eu"'),
        (EVERYTHING, 'Item::"plan/gold@1".hasTag("movies")'),
        (EVERYTHING, 'context.now > datetime("2026-01-01") && context.weekday == 7'),
        (EVERYTHING, 'resource.unit == "GB" && resource.scale == 3'),
    ],
)
def test_a_rule_in_the_language_is_accepted(scope: str, condition: str) -> None:
    """Whatever the language offers can be written."""
    assert problems(rule(scope, condition)) == []


@pytest.mark.parametrize(
    ("scope", "condition", "column", "code", "message"),
    [
        (
            'principal, action, resource == Feature::"analytcs"',
            "true",
            "Feature",
            "unknown-feature",
            "the catalog has no feature `analytcs`, did you mean `analytics`?",
        ),
        (EVERYTHING, 'resource == Feature::"xyz"', "Feature", "unknown-feature", "the catalog has no feature `xyz`"),
        (
            'principal in Item::"plan/golf", action, resource',
            "true",
            "Item",
            "unknown-item",
            "the catalog has no item `plan/golf`, did you mean `plan/gold`?",
        ),
        (
            'principal in Item::"gold", action, resource',
            "true",
            "Item",
            "unknown-item",
            "an item is written with its kind: `plan/gold`, not `gold`",
        ),
        (
            'principal in Item::"plan/gold@2", action, resource',
            "true",
            "Item",
            "unknown-item",
            "the catalog has no version `2` of `plan/gold`",
        ),
        (
            'principal, action, resource in Tag::"insight"',
            "true",
            "Tag",
            "unknown-tag",
            "no feature of the catalog has the tag `insight`, did you mean `insights`?",
        ),
        (
            'principal, action in Action::"acces", resource',
            "true",
            "Action",
            "unknown-action",
            "there is no action `acces`, did you mean `access`?",
        ),
        (
            EVERYTHING,
            'resource == Featur::"movies"',
            "Featur",
            "unknown-type",
            "there is no entity type `Featur`, did you mean `Feature`?",
        ),
        (
            "principal is Costumer, action, resource",
            "true",
            "Costumer",
            "unknown-type",
            "there is no entity type `Costumer`, did you mean `Customer`?",
        ),
        (
            EVERYTHING,
            'Customer::"acme".tags.contains("x")',
            "Customer",
            "unknown-subject",
            'a rule cannot read the data of `Customer::"acme"`, only that of `principal`',
        ),
    ],
)
def test_a_literal_that_names_nothing_is_refused(
    scope: str, condition: str, column: str, code: str, message: str
) -> None:
    """A misspelt id, which to Cedar only never matches, is a problem at its line and column."""
    text = "// A comment.\n\n" + rule(scope, condition)
    line = text.splitlines()[3]
    place = line.index(column + ("" if " is " in line else "::")) + 1
    assert [(it.line, it.column, it.code, it.sentence) for it in problems(text)] == [(4, place, code, message)]


def test_every_place_of_a_misspelt_name_is_named() -> None:
    """The same mistake twice is two problems."""
    text = rule(condition='resource == Feature::"movie" || resource == Feature::"movie"')
    assert [(it.line, it.column) for it in problems(text)] == [(2, 57), (2, 89)]


@pytest.mark.parametrize(
    ("text", "line", "column", "code", "message"),
    [
        (
            "forbid (principal, action, resource);",
            1,
            1,
            "rule-without-id",
            'a rule needs an id: write `@id("…")` above',
        ),
        ("\n// c\n  @name\nforbid (principal, action, resource);", 3, 3, "rule-without-id", "a rule needs an id"),
        (rule(id_=""), 1, 1, "bad-id", "the id `` must be 1 to 100 letters"),
        (rule(id_="a b"), 1, 1, "bad-id", "the id `a b` must be 1 to 100 letters"),
        (
            rule(id_="a") + rule(id_="b") + rule(id_="a"),
            5,
            1,
            "duplicate-id",
            "another rule of this file has the id `a`",
        ),
        (rule("principal in ?principal, action, resource"), 1, 1, "rule-template", "a rule cannot be a template"),
        ('@reason("x")\n' + rule(), 1, 1, "reserved-annotation", "`@reason` is Tiergate's own"),
        (rule(condition="context.limt > 1"), 2, 53, "invalid-rule", "attribute `limt` in context for Action"),
        (rule() + rule(condition="context.live > 1", id_="b"), 3, 1, "invalid-rule", "unexpected type"),
        (
            rule('principal == Feature::"movies", action, resource'),
            1,
            1,
            "invalid-rule",
            "unable to find an applicable",
        ),
        (rule('principal, action == Action::"access", resource'), 1, 1, "invalid-rule", "unable to find an applicable"),
        (rule(condition='principal.getTag("a") == "b"'), 1, 1, "invalid-rule", "unable to guarantee safety of access"),
        (rule("principal, action, resource)"), 2, 37, "bad-syntax", "unexpected token `)`"),
        (rule() + rule(condition="context.live &&", id_="b"), 4, 61, "bad-syntax", "unexpected token `}`"),
        (rule(effect="forbit"), 2, 1, "bad-syntax", "invalid policy effect: forbit"),
        (rule(condition="lives(3)"), 2, 45, "bad-syntax", "`lives` is not a valid function"),
        (rule()[:-3], 1, 1, "bad-syntax", "unexpected end of input"),
        (rule(condition="'a' == 'b'"), 1, 1, "bad-syntax", "invalid token"),
        ("permit", 1, 1, "bad-syntax", "unexpected end of input"),
    ],
)
def test_what_is_no_rule_is_refused_where_it_stands(text: str, line: int, column: int, code: str, message: str) -> None:
    """Each mistake is named at its place in the author's file."""
    found = problems(text)
    assert {(it.file, it.line, it.column, it.code) for it in found} == {("own.cedar", line, column, code)}
    assert all(it.sentence.startswith(message) for it in found)


def test_all_problems_of_all_files_are_reported_at_once_in_order() -> None:
    """An author sees everything in one go, under the folder that they know."""
    files = {
        "b": rule(id_="!"),
        "a": rule(condition='resource == Feature::"x"') + rule('principal in Item::"x", action, resource'),
    }
    with pytest.raises(RulesError) as caught:
        compile_catalog(CATALOG, Rules(files), rules_folder="etc/rules")
    assert [(it.file, it.line, it.code) for it in caught.value.problems] == [
        ("etc/rules/a.cedar", 2, "unknown-feature"),
        ("etc/rules/a.cedar", 3, "duplicate-id"),
        ("etc/rules/a.cedar", 4, "unknown-item"),
        ("etc/rules/b.cedar", 1, "bad-id"),
    ]


def test_the_same_id_in_two_files_is_two_rules() -> None:
    """An id is unique in its file; the file's name is part of the rule's id."""
    compile_catalog(CATALOG, Rules({"a": rule(), "b": rule()}))


def test_a_file_without_rules_is_accepted() -> None:
    """Comments alone are no mistake."""
    assert problems("// later\n") == []
    assert problems("") == []


def test_other_annotations_are_the_authors_own() -> None:
    """`@description`, and whatever a company notes, stay with the rule."""
    assert problems('@description("why")\n@ticket("T-1")\n' + rule()) == []


def test_rules_go_into_the_bundle_as_they_were_written() -> None:
    """Neither comments nor layout of a rule are changed."""
    text = "  // Why.\n" + rule()
    assert compile_catalog(CATALOG, Rules({"own": text}))["policies/rules/own.cedar"] == text.encode()


@pytest.mark.parametrize("name", ["", "a b", "../a", ".hidden", "a/b", "ü"])
def test_a_file_whose_name_is_no_id_is_refused(name: str) -> None:
    """A file's name is part of its rules' ids, and of a path in the bundle."""
    with pytest.raises(RulesError, match="the file's name") as caught:
        compile_catalog(CATALOG, Rules({name: rule()}))
    assert caught.value.problems[0].code == "bad-id"


@pytest.mark.parametrize("count", [60, 1_000, 100_000])
@pytest.mark.parametrize(
    ("before", "core", "after"),
    [
        ("(", "true", ")"),
        ("[", "1", "]"),
        ("if true then true else ", "true", ""),
        ("1 + ", "1", ""),
        ("true && ", "true", ""),
    ],
)
def test_a_rule_that_would_exhaust_the_stack_is_refused(before: str, core: str, after: str, count: int) -> None:
    """A rule of absurd depth is a problem; it does not end the process."""
    found = problems(rule(condition=f"{before * count}{core}{after * count}"))
    assert {it.code for it in found} <= {"too-complex", "invalid-rule"}
    assert count == 60 or found[0].code == "too-complex"


@given(st.text(st.sampled_from(list('permit(c,)@id"\\{}?:= \n;/&|!.0é')), max_size=60))
def test_any_text_is_accepted_or_refused(text: str) -> None:
    """Whatever stands in a rule file, the compiler answers with files or with problems that have a place."""
    for it in problems(text):
        assert 1 <= it.line <= text.count("\n") + 1
        assert it.column >= 1


SPANS = st.text(st.sampled_from(list('Feature::"movies"\\n;{}()//')), max_size=8)


@given(st.lists(st.tuples(st.integers(0, 200), SPANS), min_size=1, max_size=3))
def test_a_damaged_rule_is_accepted_or_refused(edits: list[tuple[int, str]]) -> None:
    """A slip of the keyboard anywhere in a good rule is never more than a problem."""
    text = rule('principal in Item::"plan/gold", action == Action::"consume", resource == Feature::"movies"')
    for place, inserted in edits:
        text = text[:place] + inserted + text[place + 1 :]
    for it in problems(text):
        assert 1 <= it.line <= text.count("\n") + 1


def test_only_the_first_problems_have_suggestions() -> None:
    """A thousand mistakes do not cost a thousand searches through the catalog."""
    text = "".join(rule(condition='resource == Feature::"movie"', id_=f"r{number}") for number in range(60))
    assert sum("did you mean `movies`" in it.sentence for it in problems(text)) == 50


@pytest.mark.parametrize(("attribute", "meant"), [("usd", "used"), ("limt", "limit"), ("hold", "held"), ("zzz", "")])
def test_an_attribute_that_is_nearly_one_of_the_context_says_which(attribute: str, meant: str) -> None:
    """As every near miss."""
    (problem,) = problems(rule('principal, action == Action::"consume", resource', f"context.{attribute} == 1"))
    assert (problem.code, problem.suggestion) == ("invalid-rule", meant)
