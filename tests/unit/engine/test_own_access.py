from __future__ import annotations

from typing import Any

import pytest

from tests.serving import Subjects, bundle, customer
from tiergate.cedar import Uid
from tiergate.engine import Evaluator
from tiergate.engine.own_access import AccessQuestion, OwnAccess
from tiergate.model import Reason

RULES = (
    (
        "p.cedarschema",
        (
            "entity Person { level?: Long };\nentity Page { draft?: Bool, owner?: Person };\n"
            "action view;\n"
            "action read in [view] appliesTo { principal: [Person, Customer], resource: Page, context: {n?: Long} };"
        ),
    ),
    ("p.entities.json", '[{"uid": {"type": "Page", "id": "p1"}, "attrs": {"draft": true}, "parents": []}]'),
    (
        "p.cedar",
        (
            '@id("seniors") permit(principal is Person, action in Action::"view", resource)'
            " when { principal has level && principal.level > 3 };\n"
            '@id("gold") permit(principal in Item::"plan/gold", action == Action::"read", resource);\n'
            '@id("drafts") forbid(principal, action == Action::"read", resource)'
            " when { resource has draft && resource.draft };\n"
            '@id("many") forbid(principal, action == Action::"read", resource) when { context has n && context.n > 9 };'
        ),
    ),
)


@pytest.fixture(scope="module")
def access() -> OwnAccess:
    """The own actions of a bundle."""
    return Evaluator(bundle(rules=RULES), Subjects(customer("acme"))).access


def question(level: Any, name: str = "p2", action: str = "read", **more: Any) -> AccessQuestion:  # noqa: ANN401
    """A person's question."""
    person = {"level": level}
    return AccessQuestion(
        Uid("Person", "ann"), person, action, Uid("Page", name), more.get("page", {}), more.get("context", {})
    )


@pytest.mark.parametrize(
    ("asked", "reason", "policies"),
    [
        (question(4), Reason.GRANTED, ("rule/p/seniors",)),
        (question(3), Reason.NOT_ENTITLED, ()),
        (question(4, "p1"), Reason.RULE_DENIED, ("rule/p/drafts",)),
        (question(4, "p1", page={"draft": False}), Reason.GRANTED, ("rule/p/seniors",)),
        (question(4, page={"draft": True}), Reason.RULE_DENIED, ("rule/p/drafts",)),
        (question(4, context={"n": 10}), Reason.RULE_DENIED, ("rule/p/many",)),
        (question(4, context={"n": None, "x": 1.5, "__entity": {"type": "Page", "id": "p1"}}), Reason.GRANTED, None),
        (question(4, action="view"), Reason.NOT_ENTITLED, ()),
        (question(4, action="write"), Reason.NOT_ENTITLED, ()),
        (question("4"), Reason.EVALUATION_ERROR, None),
        (question(4, page={"draft": {"deep": [1]}}), Reason.EVALUATION_ERROR, None),
    ],
)
def test_rules_decide_by_attributes_and_properties(
    access: OwnAccess, asked: AccessQuestion, reason: Reason, policies: tuple[str, ...] | None
) -> None:
    """Properties come before attributes; what has no value in Cedar is left out; what errs is denied."""
    decision = access.decide(asked)

    assert (decision.reason, decision.allowed) == (reason, reason is Reason.GRANTED)
    assert policies is None or decision.policies == policies


def test_a_bundle_without_own_actions_has_none() -> None:
    """And denies."""
    access = Evaluator(bundle(), Subjects()).access
    assert (access.actions, access.resource_types, access.ids("Page")) == ({}, frozenset(), [])
    assert access.decide(question(4)).reason is Reason.NOT_ENTITLED
