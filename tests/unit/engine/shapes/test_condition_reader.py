from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.unit.engine.small import ANALYTICS, MOVIES, SEATS, SUPPORT
from tiergate.cedar import parse_policies
from tiergate.engine.cedar_context import context_terms
from tiergate.engine.shapes.condition_reader import ConditionReader, UnreadableConditionError

if TYPE_CHECKING:
    from tiergate.model import Feature


def read(condition: str, feature: Feature = SEATS) -> ConditionReader:
    """What a condition depends on in checks of a feature."""
    (policy,) = parse_policies(f"permit (principal, action, resource) when {{ {condition} }};")
    reader = ConditionReader(context_terms(feature, time=True))
    reader.read(policy)
    return reader


@pytest.mark.parametrize(
    ("condition", "tests"),
    [
        ("true", []),
        ("context.held", ["context_held"]),
        ("!context.held || context.held && context.live", ["context_held", "context_live"]),
        ("if context.held then context.live else context.given", ["context_held", "context_live", "context_given"]),
        ("context.used < 3", ["context_used < 3"]),
        ("context.used >= 3", ["context_used < 3"]),
        ("context.used > 3 || context.used <= 3", ["context_used <= 3"]),
        ("context.used != 3", ["context_used == 3"]),
        ("context.held == true", ["context_held == True"]),
        ("context.userCap.used < context.userCap.limit", ["context_userCap_used < context_userCap_limit"]),
        ("context.weekday > 5", ["context_weekday <= 5"]),
        ('context.now < datetime("1970-01-02")', ["context_now < 86400000"]),
        ('duration("1d") == duration("24h")', ["86400000 == 86400000"]),
        ("context has userCap && context has nothing && principal has customer && resource is Feature", []),
        ('principal.customer == "acme"', ["customer_id == 'acme'"]),
        ('principal.tags.contains("eu")', ["'eu' in tags"]),
        ('principal.tags.containsAny(["eu", "us"])', ["'eu' in tags or 'us' in tags"]),
        ('principal.tags.containsAll(["eu", "us"])', ["'eu' in tags and 'us' in tags"]),
        ("principal.tags.isEmpty()", ["not tags"]),
        ('["eu", "us"].contains(principal.customer)', ["customer_id in ('eu', 'us')"]),
        ('principal.hasTag("a\'b")', ['"a\'b" in attributes']),
        ("principal is User", ["principal.type == 'User'"]),
        ('principal == User::"bob"', ["principal == c0"]),
        ('principal in [Item::"plan/gold", User::"bob"]', ["ancestors.isdisjoint(c0)"]),
        ('principal.customer like "a*"', ["c0(customer_id)"]),
        ('resource in Tag::"reports" || context.held', ["('reports' in facts.feature.tags)", "context_held"]),
        ('resource in [Feature::"a", Tag::"b"]', ["(facts.feature.id == 'a') or ('b' in facts.feature.tags)"]),
        ('resource == Feature::"a"', ["facts.feature.id == 'a'"]),
        ('resource.unit == "GB" && context.held', ["facts.feature.unit == 'GB'", "context_held"]),
        ("resource.scale > 2", ["facts.feature.scale <= 2"]),
        (
            'principal is User && !principal.tags.contains("eu")',
            ["(principal.type == 'User') and (not ('eu' in tags))"],
        ),
        ('principal is User || principal.hasTag("a")', ["(principal.type == 'User') or ('a' in attributes)"]),
        ("principal is User && true", ["principal.type == 'User'"]),
        ("false && principal is User || true", []),
    ],
)
def test_a_condition_is_read_as_its_tests(condition: str, tests: list[str]) -> None:
    """In the order of the text, each once, and opposites as one."""
    reader = read(condition)
    assert list(reader.tests) == tests
    assert (list(reader.values), reader.reads_whole_principal) == ([], False)


def test_a_tag_that_may_be_missing_has_a_third_outcome() -> None:
    """Cedar fails where it is missing."""
    reader = read('principal.getTag("region") == "eu"')
    (test,) = reader.tests
    for attributes, outcome in (({"region": "eu"}, True), ({"region": "us"}, False), ({}, None)):
        scope = {"attributes": attributes}
        exec(reader.lines[-1], scope)
        assert eval(test, scope) is outcome


@pytest.mark.parametrize(
    ("condition", "outcomes"),
    [
        ('principal.getTag("a") == "1" && principal.tags.contains("t")', [True, False, False, None, None]),
        ('principal.getTag("a") == "1" || principal.tags.contains("t")', [True, True, True, None, None]),
        ('!(principal.getTag("a") == "1") || principal.tags.contains("t")', [True, False, True, None, None]),
        ('principal.tags.contains("t") && principal.getTag("a") == "1"', [True, False, False, None, False]),
        ('principal.tags.contains("t") || principal.getTag("a") == "1"', [True, True, True, True, None]),
        ('!(principal.tags.contains("t") || principal.getTag("a") == "1")', [True, True, True, True, None]),
        ('principal.getTag("a") == "1" && false', [False, False, False, None, None]),
        ('principal.getTag("a") == "1" || true', [True, True, True, None, None]),
    ],
)
def test_a_part_about_the_principal_is_one_test(condition: str, outcomes: list[bool | None]) -> None:
    """With Cedar's short circuits, which may hide a failure. Of the opposite it is the same test."""
    reader = read(condition)
    (test,) = reader.tests
    found = []
    for tags, attributes in ((["t"], {"a": "1"}), ([], {"a": "1"}), (["t"], {"a": "2"}), (["t"], {}), ([], {})):
        scope = {"tags": tags, "attributes": attributes}
        exec("\n".join(line for line in reader.lines if line.startswith("n")), scope)
        found.append(eval(test, scope))
    assert found == outcomes


@pytest.mark.parametrize("condition", ["context.limit < 3", "context.userCap.used > 1", "context.used == 1"])
def test_what_always_fails_is_no_test(condition: str) -> None:
    """A switch has no such attribute."""
    reader = read(condition, ANALYTICS)
    assert (reader.tests, reader.values) == ({}, {})


@pytest.mark.parametrize(
    ("condition", "values", "whole"),
    [
        ("[1, 3].contains(context.rank)", ["context_rank"], False),
        ('context.rank == "3"', ["context_rank"], False),
        ("{a: context.held} == {a: true}", ["context_held"], False),
        ('[resource].contains(Feature::"seats")', ["facts.feature.id"], False),
        ('principal.tags == ["eu"]', ["tags"], False),
        ('decimal(principal.getTag("size")).lessThan(decimal("2.5"))', ["n2"], False),
        ("principal in resource", ["facts.feature.id"], True),
        ('Customer::"acme" in Item::"plan/gold"', [], True),
        ('Group::"x".owner == principal', [], True),
        ('Item::"plan/gold@3".getTag("movies") == "50"', [], False),
        ('action == Action::"choose"', [], False),
        ("principal.getTag(context.x) == principal", [], True),
    ],
)  # fmt: skip
def test_of_other_expressions_the_values_are_read(condition: str, values: list[str], whole: bool) -> None:
    """The least that they can depend on."""
    reader = read(condition, SUPPORT)
    assert (list(reader.values), reader.reads_whole_principal) == (values, whole)
    assert not reader.tests


def test_the_context_as_a_whole_is_all_its_values() -> None:
    """Without the time, which a slice that reads it has."""
    (policy,) = parse_policies("permit (principal, action, resource) when { context == {held: true} };")
    terms = context_terms(MOVIES, time=False)
    reader = ConditionReader(terms)
    reader.read(policy)
    assert len(reader.values) == len(terms)


@pytest.mark.parametrize(
    "condition",
    ["context == {held: true}", "[context.now].contains(context.now)", 'unknown("x")', 'context.now == "now"'],
)
def test_what_cannot_be_read_is_left_to_cedar(condition: str) -> None:
    """What reads the instant itself, and operators that are not known."""
    with pytest.raises(UnreadableConditionError):
        read(condition)


@pytest.mark.parametrize(
    ("pattern", "text", "matches"),
    [
        ("abc", "abc", True), ("abc", "abcd", False), ("*", "", True), ("a*", "a", True), ("a*a", "a", False),
        ("a*b*c", "a-b-c", True), ("a*b*c", "a-c-b", False), ("*b*", "abc", True), ("a*bc*cd", "abcd", False),
        (r"a\*", "a*", True), (r"a\*", "ab", False), ("a*", "a\nb", True), ("", "", True), ("", "a", False),
    ],
)  # fmt: skip
def test_a_pattern_matches_as_in_cedar(pattern: str, text: str, *, matches: bool) -> None:
    """A star is any text, also none; a star with a backslash is itself."""
    reader = read(f'principal.customer like "{pattern}"')
    function = reader.constants["c0"]
    assert callable(function)
    assert function(text) is matches
