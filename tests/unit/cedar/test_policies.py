from __future__ import annotations

import pytest

from tiergate.cedar import (
    EntityReference,
    Policy,
    PolicySyntaxError,
    ScopeOp,
    Uid,
    format_text,
    parse_policies,
    split_policies,
    with_id,
)

ANYTHING = "permit (principal, action, resource)"


def only(text: str) -> Policy:
    """The one policy of a text."""
    (policy,) = parse_policies(text)
    return policy


def test_policies_come_in_the_order_of_the_text() -> None:
    """The tenth after the ninth, templates among the others, each with its place and its id."""
    text = "".join(f'@id("p{place}") {ANYTHING};' for place in range(11))
    text += (
        '@id("t") permit (principal in ?principal, action, resource); @id("last") forbid (principal, action, resource);'
    )
    found = parse_policies(text)
    assert [policy.id for policy in found] == [*(f"p{place}" for place in range(11)), "t", "last"]
    assert [policy.place for policy in found] == list(range(13))
    assert [policy.template for policy in found] == [False] * 11 + [True, False]
    assert found[-1].effect == "forbid"


def test_no_text_holds_no_policies() -> None:
    """An empty file of rules is one."""
    assert parse_policies("") == parse_policies(" \n// nothing yet\n") == []


@pytest.mark.parametrize(
    "text", ["permit", "permit (principal, action);", f"{ANYTHING} when {{ 1 + }};", f"{ANYTHING}"]
)
def test_text_that_is_not_cedar_is_refused(text: str) -> None:
    """The message is Cedar's."""
    with pytest.raises(PolicySyntaxError, match=r"."):
        parse_policies(text)


def test_annotations_are_kept_with_their_values() -> None:
    """An annotation without a value is an empty one; a policy without `@id` has an empty id."""
    policy = only(f'@reason("feature_inactive") @note {ANYTHING};')
    assert policy.annotations == {"reason": "feature_inactive", "note": ""}
    assert policy.id == ""


ACME, PRO, TAG = Uid("Customer", "acme"), Uid("Item", "plan/pro"), Uid("Tag", "reports")


@pytest.mark.parametrize(
    ("written", "op", "entities", "entity_type"),
    [
        ("principal", ScopeOp.ANY, (), ""),
        ('principal == Customer::"acme"', ScopeOp.EQUAL, (ACME,), ""),
        ('principal in Item::"plan/pro"', ScopeOp.IN, (PRO,), ""),
        ("principal is Customer", ScopeOp.IS, (), "Customer"),
        ('principal is Customer in Item::"plan/pro"', ScopeOp.IS, (PRO,), "Customer"),
        ("principal in ?principal", ScopeOp.SLOT, (), ""),
        ("principal == ?principal", ScopeOp.SLOT, (), ""),
        ("principal is Customer in ?principal", ScopeOp.SLOT, (), ""),
    ],
)
def test_every_kind_of_scope_is_read(written: str, op: ScopeOp, entities: tuple[Uid, ...], entity_type: str) -> None:
    """What it compares with, and how."""
    scope = only(f"permit ({written}, action, resource);").principal
    assert (scope.op, scope.entities, scope.entity_type) == (op, entities, entity_type)


def test_an_action_scope_may_name_several() -> None:
    """A list, one action, or any."""
    use, consume = Uid("Action", "use"), Uid("Action", "consume")
    listed = only('permit (principal, action in [Action::"use", Action::"consume"], resource);').action
    assert (listed.op, listed.entities) == (ScopeOp.IN, (use, consume))
    one = only('permit (principal, action == Action::"use", resource);').action
    assert (one.op, one.entities) == (ScopeOp.EQUAL, (use,))
    none = only("permit (principal, action in [], resource);").action
    assert not none.can_match(use, (Uid("Action", "access"),))


@pytest.mark.parametrize(
    ("written", "matches"),
    [
        ("principal", True),
        ('principal == Customer::"acme"', True),
        ('principal == Customer::"other"', False),
        ('principal == Item::"plan/pro"', False),
        ('principal in Customer::"acme"', True),
        ('principal in Item::"plan/pro"', True),
        ('principal in Item::"plan/free"', False),
        ("principal is Customer", True),
        ("principal is User", False),
        ('principal is Customer in Item::"plan/pro"', True),
        ('principal is Customer in Item::"plan/free"', False),
        ('principal is User in Item::"plan/pro"', False),
        ("principal in ?principal", False),
    ],
)
def test_a_scope_matches_an_entity_or_one_of_its_ancestors(written: str, matches: bool) -> None:
    """`==` the entity alone, `in` its ancestors too; a slot, while nothing fills it, matches nothing."""
    scope = only(f"permit ({written}, action, resource);").principal
    assert scope.can_match(ACME, {PRO, TAG}) is matches


def test_references_are_all_literal_entities_in_order() -> None:
    """In the scope, in conditions, in sets, records and calls; each with where it stands."""
    policy = only(
        'permit (principal in Item::"plan/pro", action == Action::"use", resource is Feature in Tag::"t")'
        ' when { resource in [Feature::"a", Feature::"b"] && { x: User::"u" }.x == principal }'
        ' unless { Item::"plan/pro@1".getTag("f") == "Tag::\\"no\\"" };'
    )
    scoped = [
        EntityReference(PRO, True),
        EntityReference(Uid("Action", "use"), True),
        EntityReference(Uid("Tag", "t"), True),
    ]
    assert policy.references() == [
        *scoped,
        EntityReference(Uid("Feature", "a"), in_scope=False),
        EntityReference(Uid("Feature", "b"), in_scope=False),
        EntityReference(Uid("User", "u"), in_scope=False),
        EntityReference(Uid("Item", "plan/pro@1"), in_scope=False),
    ]


def test_types_tested_anywhere_are_named() -> None:
    """By `is` in the scope and in conditions."""
    policy = only("permit (principal is User, action, resource is Feature) when { principal is Customer };")
    assert policy.entity_types() == {"User", "Feature", "Customer"}


@pytest.mark.parametrize(
    ("condition", "reads"),
    [
        ("context.held", False),
        ('context.now < datetime("2026-01-01")', True),
        ('context["now"] < datetime("2026-01-01")', True),
        ("context.weekday > 5", True),
        ("context has now", True),
        ("context has userCap && context.userCap.limit > 1", False),
        ("context has userCap.now", False),
        ("context == context", True),
        ("{ c: context }.c.held", True),
        ("(if true then context else context).held", True),
        ('principal.hasTag("now")', False),
        ('resource.type == "now"', False),
        ("resource has now && resource.now", False),
        ("context.held || (context.live && !(context.weekday == 1))", True),
        ("[context.weekday].contains(1)", True),
    ],
)
def test_reading_the_time_shows_wherever_it_stands(condition: str, reads: bool) -> None:
    """Any use of the context as a whole counts, because what follows cannot be known."""
    assert only(f"{ANYTHING} when {{ {condition} }};").reads_context({"now", "weekday"}) is reads


def test_a_policy_without_conditions_reads_nothing() -> None:
    """Neither the context nor tags."""
    policy = only(f"{ANYTHING};")
    assert not policy.reads_context({"now"})
    assert not policy.reads_tags()
    assert not policy.references()


@pytest.mark.parametrize(
    ("condition", "reads"),
    [
        ('principal.hasTag("a")', True),
        ('principal.hasTag("a") && principal.getTag("a") == "b"', True),
        ('!(Item::"plan/pro@1".hasTag("a"))', True),
        ('principal.tags.contains("a")', False),
        ("resource.scale > 1", False),
    ],
)
def test_reading_tags_shows(condition: str, reads: bool) -> None:
    """Cedar's tags, that is, not an attribute of that name."""
    assert only(f"{ANYTHING} when {{ {condition} }};").reads_tags() is reads


def test_text_is_split_at_the_ends_of_policies() -> None:
    """Each policy with its line; comments, strings over several lines and escaped quotes end nothing."""
    text = f"""\
// a comment; with a semicolon, and "a quote
@id("one") {ANYTHING} when {{ "a;\\"b;
c" == "d" }}; // after it

  // before the next
  @id("two")
  {ANYTHING} // inside; it
  when {{ true }};{ANYTHING};
"""
    parts = split_policies(text)
    assert [line for line, _ in parts] == [2, 6, 8]
    assert [only(part).id for _, part in parts] == ["one", "two", ""]


def test_text_is_split_even_where_it_is_not_cedar() -> None:
    """So that a syntax error can be given the line of its policy."""
    assert split_policies("permit oops;\n\nforbid (\n;\n trailing") == [
        (1, "permit oops;"),
        (3, "forbid (\n;"),
        (5, "trailing"),
    ]
    assert split_policies("") == split_policies("  // nothing\n") == []


@pytest.mark.parametrize(
    "before",
    [
        '@id("a") ',
        '@id ( "a" ) ',
        '@id // this one\n(\n"a"\n)\n',
        '@note("@id(\\"no\\")") @id("a")',
        '// @id("no")\n@id("a")',
    ],
)
def test_an_id_is_replaced_however_it_is_laid_out(before: str) -> None:
    """The annotation itself, and nothing that only looks like it."""
    text = with_id(f'{before} @note2("@id(\\"a\\")") {ANYTHING};', "rule/house/a")
    assert only(text).id == "rule/house/a"
    assert only(text).annotations["note2"] == '@id("a")'


def test_a_policy_without_an_id_stays_as_it_is() -> None:
    """There is nothing to replace."""
    assert with_id(f"{ANYTHING};", "b") == f"{ANYTHING};"


def test_text_is_formatted_by_cedar() -> None:
    """What is not Cedar cannot be."""
    assert format_text(f"{ANYTHING};") == "permit (principal, action, resource);\n"
    with pytest.raises(PolicySyntaxError):
        format_text("permit")


def test_an_entity_is_written_as_in_policies() -> None:
    """Type and quoted id."""
    assert str(ACME) == 'Customer::"acme"'
