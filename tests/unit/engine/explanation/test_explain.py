from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.unit.engine.small import NOW, bundle, check, engine, override, record, subscription
from tiergate.cedar import authorize_text, parse_policies
from tiergate.engine import explain
from tiergate.errors import UnknownFeatureError
from tiergate.model import Amount, Check, Subject, SubjectRecord, SubscriptionItem

if TYPE_CHECKING:
    from tiergate.engine import Explanation

RULES = """
// @id("not-this")
@description("mentions @id(\\"b\\")")
@id ( "a" )
forbid (principal, action, resource) when { context.weekday > 7 };
@id("b") forbid (principal == Customer::"other", action, resource);
"""
GOLD = record(subscription(SubscriptionItem("gold", 2), "extra"))


def explained(asked: Check, known: SubjectRecord = GOLD, rules: str = RULES) -> Explanation:
    """An explanation under rules."""
    return explain(engine(of=known, compiled=bundle(rules=rules)), asked, NOW)


def test_every_policy_that_could_matter_is_shown_with_its_text() -> None:
    """The deciding ones first, the others by their ids."""
    found = explained(check("movies"))
    assert [it.id for it in found.policies if it.decided] == ["addon/extra@1/movies", "plan/gold@3/movies"]
    assert [it.id for it in found.policies[2:]] == [
        "grant/consume",
        "guard/amount-invalid",
        "guard/draws-exceeded",
        "guard/draws-not-entitled",
        "guard/feature-inactive",
        "guard/feature-suspended",
        "guard/override-denied",
        "guard/subscription-inactive",
        "guard/total-cap-reached",
        "guard/user-cap-reached",
        "override/consume",
        "rule/house/a",
    ]
    for shown in found.policies:
        (policy,) = parse_policies(shown.text)
        assert policy.id == shown.id


def test_the_facts_are_shown_as_cedar_saw_them() -> None:
    """With the time, whether anything read it or not, and with all that is held."""
    found = explained(check("movies", used=3), rules="")
    assert (found.context["limit"], found.context["used"], found.context["now"]) == (110, 3, "2023-11-14T22:13:20.000Z")
    assert found.held == {"addon/extra@1": 1, "plan/gold@3": 2}
    assert (found.principal, found.action) == ('Customer::"acme"', "consume")


def test_a_denial_that_nothing_forbade_shows_its_reason() -> None:
    """Beside the policies of the slice, none of which decided."""
    found = explained(check("movies", used=110))
    assert [it.id for it in found.policies if it.decided] == ["reason/limit-reached"]
    assert "limit_reached" in found.policies[0].text


def test_an_unknown_subject_has_nothing_to_show() -> None:
    """But the decision."""
    found = explained(check("movies", Subject("nobody")))
    assert found.decision.reason == "unknown_subject"
    assert (found.policies, found.held, found.export.files) == ((), {}, {})


def test_a_mistake_is_no_explanation() -> None:
    """As it is no decision."""
    with pytest.raises(UnknownFeatureError):
        explained(check("nothing"))


@pytest.mark.parametrize(
    ("known", "asked", "expected"),
    [
        (GOLD, check("movies"), "granted"),
        (GOLD, check("movies", used=110), "limit_reached"),
        (GOLD, check("draft"), "feature_inactive"),
        (GOLD, check("movies", Subject("acme", user="ann")), "granted"),
        (GOLD, check("seats", amount=4), "cap_reached"),
        (GOLD, check("api-limit", value=1_001), "out_of_range"),
        (GOLD, check("support", level="phone"), "level_too_low"),
        (record(subscription()), check("storage"), "not_entitled"),
        (record(), check("storage"), "subscription_inactive"),
        (record(overrides=(override("movies", None),)), check("movies"), "override_denied"),
        (record(overrides=(override("movies", Amount(1)),)), check("movies"), "granted"),
    ],
)
@pytest.mark.parametrize(
    "rules", ["", RULES, RULES + '@id("c") forbid (principal, action in Action::"access", resource);']
)
def test_what_is_exported_decides_the_same_by_itself(
    known: SubjectRecord, asked: Check, expected: str, rules: str
) -> None:
    """In Cedar's plain interface, from the files alone: decision, deciding policies, and the reasons."""
    found = explained(asked, known, rules)
    if '@id("c")' not in rules:
        assert found.decision.reason == expected
    files = found.export.files
    request = json.loads(files["request.json"])
    outcome = authorize_text(files["policies.cedar"], files["entities.json"], files["schema.cedarschema"], request)
    if not outcome.allowed and not outcome.policies:
        outcome = authorize_text(files["reasons.cedar"], files["entities.json"], files["schema.cedarschema"], request)
        outcome = outcome._replace(allowed=False)
    assert (outcome.allowed, outcome.policies, outcome.errors) == (found.decision.allowed, found.decision.policies, ())
    assert json.loads(files["context.json"]) == request["context"]
