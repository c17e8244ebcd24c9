from __future__ import annotations

import json

import pytest

from tiergate.cedar import (
    BaseEntities,
    CedarResult,
    EntitySet,
    PolicyGroup,
    PolicySyntaxError,
    Schema,
    TemplateLink,
    Uid,
    authorize,
    authorize_text,
    builtin_schema,
    builtin_text,
    parse_policies,
)

SCHEMA = Schema(builtin_schema())
ACME = Uid("Customer", "acme")
FEATURE = {"uid": {"type": "Feature", "id": "f"}, "attrs": {"type": "switch", "unit": "", "scale": 0}, "parents": []}
CONTEXT = {
    "active": True,
    "suspended": False,
    "live": True,
    "held": True,
    "given": True,
    "overridden": False,
    "disabled": False,
}


def group(text: str) -> PolicyGroup:
    """A group of the policies of a text under their own ids."""
    return PolicyGroup.of((policy.id, policy) for policy in parse_policies(text))


def entities(*items: str, known: bool = True) -> EntitySet:
    """A feature, and a customer in some items."""
    parents = [{"type": "Item", "id": item} for item in items]
    customer = {"uid": {"type": "Customer", "id": "acme"}, "attrs": {}, "parents": parents}
    return BaseEntities(json.dumps([FEATURE] if known else []), SCHEMA).with_entities(json.dumps([customer]))


def ask(policies: PolicyGroup, *items: str, **context: bool) -> CedarResult:
    """May the customer use the feature?"""
    return authorize(policies, entities(*items), ACME, "use", "f", json.dumps(CONTEXT | context))


def test_a_permit_that_matches_allows() -> None:
    """And is named as the policy that decided."""
    text = '@id("b") permit (principal, action, resource); @id("a") permit (principal, action, resource);'
    assert ask(group(text)) == CedarResult(allowed=True, policies=("a", "b"), errors=())


def test_a_forbid_wins() -> None:
    """The forbidding policies alone are named."""
    text = '@id("a") permit (principal, action, resource); @id("b") forbid (principal, action, resource);'
    assert ask(group(text)) == CedarResult(allowed=False, policies=("b",), errors=())


def test_nothing_that_permits_is_a_denial_without_policies() -> None:
    """Cedar denies by default."""
    assert ask(group('@id("a") permit (principal, action, resource) when { context.disabled };')) == CedarResult(
        allowed=False, policies=(), errors=()
    )


def test_a_policy_that_errs_shows_beside_the_decision() -> None:
    """Cedar skips it and may allow; what to make of that is for the caller, who cannot miss it."""
    text = (
        '@id("a") permit (principal, action, resource);'
        '@id("b") forbid (principal, action, resource) when { resource.scale - 9223372036854775807 < -9 && '
        "9223372036854775807 + 1 + resource.scale > 0 };"
    )
    outcome = ask(group(text))
    assert outcome.allowed
    assert outcome.policies == ("a",)
    assert len(outcome.errors) == 1
    assert "`b`" in outcome.errors[0]


def test_a_missing_attribute_is_an_error() -> None:
    """What is not said of an entity is not false."""
    text = '@id("a") permit (principal, action, resource) when { principal.tags.contains("eu") };'
    assert len(ask(group(text)).errors) == 1


@pytest.mark.parametrize("context", ['{"a":', "[]", '{"a": 1.5}', '{"a": null}'])
def test_a_context_that_is_no_record_is_an_error(context: str) -> None:
    """No decision is reached, and that is an error too."""
    try:
        outcome = authorize(
            group('@id("a") permit (principal, action, resource);'), entities(), ACME, "use", "f", context
        )
    except ValueError:
        return
    assert not outcome.allowed
    assert outcome.errors


def test_a_rule_on_the_group_of_actions_bites() -> None:
    """Because the entities are built with the schema."""
    text = (
        '@id("a") permit (principal, action, resource);'
        '@id("b") forbid (principal, action in Action::"access", resource);'
    )
    assert ask(group(text)) == CedarResult(allowed=False, policies=("b",), errors=())


def test_two_policies_cannot_have_one_id() -> None:
    """Neither two policies nor a policy and a template."""
    policy, template = parse_policies(
        "permit (principal, action, resource); permit (principal in ?principal, action, resource);"
    )
    for pair in ([policy, policy], [policy, template], [template, template]):
        with pytest.raises(PolicySyntaxError, match="two policies have the id `a`"):
            PolicyGroup.of([("a", it) for it in pair])


def test_a_link_is_the_policy_that_its_template_would_be_with_its_slots_filled() -> None:
    """It decides under its own id, for those in its principal alone, and leaves the group as it was."""
    templates = group(builtin_text("templates"))
    linked = templates.linked(
        [TemplateLink("use", f"plan/{plan}@1/f", f"plan/{plan}@1", "f") for plan in ("pro", "free")]
    )
    assert ask(linked, "plan/pro@1") == CedarResult(allowed=True, policies=("plan/pro@1/f",), errors=())
    assert ask(linked, "plan/pro@2") == CedarResult(allowed=False, policies=(), errors=())
    assert ask(linked, "plan/pro@1", given=False) == CedarResult(allowed=False, policies=(), errors=())
    assert ask(templates, "plan/pro@1") == CedarResult(allowed=False, policies=(), errors=())


def test_no_links_change_nothing() -> None:
    """The same group comes back."""
    templates = group(builtin_text("templates"))
    assert templates.linked([]) is templates


def test_a_group_counts_its_policies() -> None:
    """Without templates."""
    assert len(group(builtin_text("guards"))) == builtin_text("guards").count("\nforbid (") == 9


def test_entities_of_a_check_may_stand_in_the_base_too_if_they_are_equal() -> None:
    """Another entity under the same name is refused."""
    base = BaseEntities(json.dumps([FEATURE]), SCHEMA)
    base.with_entities(json.dumps([FEATURE]))
    with pytest.raises(ValueError, match=r"."):
        base.with_entities(json.dumps([FEATURE | {"attrs": {"type": "range", "unit": "", "scale": 0}}]))


@pytest.mark.parametrize("listed", ["{", "{}", '[{"uid": {"type": "Nobody", "id": "x"}, "attrs": {}, "parents": []}]'])
def test_a_base_that_does_not_fit_the_schema_is_refused(listed: str) -> None:
    """No JSON, no list, no type of the schema."""
    with pytest.raises(ValueError, match=r"."):
        BaseEntities(listed, SCHEMA)


def test_plain_text_reaches_the_same_decision() -> None:
    """Named by `@id`, without any handle."""
    text = '@id("plan/pro@1/f") permit (principal in Item::"plan/pro@1", action == Action::"use", resource);'
    customer = {
        "uid": {"type": "Customer", "id": "acme"},
        "attrs": {"customer": "acme", "tags": []},
        "parents": [{"type": "Item", "id": "plan/pro@1"}],
    }
    request: dict[str, object] = {
        "principal": str(ACME),
        "action": 'Action::"use"',
        "resource": 'Feature::"f"',
        "context": CONTEXT
        | {"now": {"__extn": {"fn": "datetime", "arg": "2026-01-01"}}, "weekday": 4, "status": "operational"},
    }
    outcome = authorize_text(text, json.dumps([FEATURE, customer]), builtin_schema(), request)
    assert outcome == CedarResult(allowed=True, policies=("plan/pro@1/f",), errors=())


def test_plain_text_that_cannot_be_evaluated_is_an_error() -> None:
    """A request without what the schema asks for is denied, with an error."""
    request: dict[str, object] = {
        "principal": str(ACME),
        "action": 'Action::"use"',
        "resource": 'Feature::"f"',
        "context": {},
    }
    outcome = authorize_text("permit (principal, action, resource);", json.dumps([FEATURE]), builtin_schema(), request)
    assert not outcome.allowed
    assert outcome.errors
