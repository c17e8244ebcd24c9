from __future__ import annotations

from typing import Any

import pytest

from tests.unit.policies.requests import ACTIONS, ask, permits
from tiergate.cedar import Schema, builtin_schema, builtin_text, parse_policies, validate

LIMITS: list[tuple[str, dict[str, Any], bool]] = [
    ("use", {}, True),
    ("consume", {"used": 9, "amount": 1}, True),
    ("consume", {"used": 10, "amount": 1}, False),
    ("consume", {"used": 0, "amount": 10}, True),
    ("consume", {"used": 0, "amount": 11}, False),
    ("consume", {"used": 10**18, "amount": 10**18, "unlimited": True, "limit": 0}, True),
    ("consume", {"used": 10**18, "amount": 10**18, "limit": 2**62}, True),
    ("consume", {"used": 12, "amount": 3, "soft": True, "ceiling": 15}, True),
    ("consume", {"used": 12, "amount": 4, "soft": True, "ceiling": 15}, False),
    ("consume", {"used": 10**18, "amount": 10**18, "soft": True, "ceiling": 2**62}, True),
    ("consume", {"used": 10, "amount": 5, "allowance": 10, "limit": 15}, True),
    ("set", {"value": 0}, True),
    ("set", {"value": 10}, True),
    ("set", {"value": 11}, False),
    ("set", {"value": 10**18, "unlimited": True, "limit": 0}, True),
    ("choose", {"rank": 1, "heldRank": 2}, True),
    ("choose", {"rank": 2, "heldRank": 2}, True),
    ("choose", {"rank": 3, "heldRank": 2}, False),
]
"""What each type asks for against what is held, at the limit and just beyond; whether it is allowed."""


@pytest.mark.parametrize(("action", "facts", "allowed"), LIMITS)
def test_an_entitlement_permits_up_to_what_is_held(action: str, facts: dict[str, Any], allowed: bool) -> None:
    """Once it is given by items and grants something."""
    outcome = ask("permits", action, **facts)
    assert not outcome.errors
    assert outcome.allowed is allowed


@pytest.mark.parametrize(("action", "facts", "allowed"), LIMITS)
def test_an_override_permits_up_to_what_is_held(action: str, facts: dict[str, Any], allowed: bool) -> None:
    """Exactly as an entitlement does, whatever items give."""
    outcome = ask("overrides", action, overridden=True, given=False, **facts)
    assert not outcome.errors
    assert outcome.allowed is allowed
    assert outcome.policies == ((f"override/{action}",) if allowed else ())


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("principal", ['Customer::"acme"', 'Subscription::"sub"', 'User::"ann"'])
def test_whoever_is_in_the_item_has_its_entitlement(action: str, principal: str) -> None:
    """A customer, a subscription, and a user in one of them; nobody else."""
    assert ask("permits", action, principal).allowed
    assert not ask("permits", action, 'User::"bob"').allowed


@pytest.mark.parametrize("action", ACTIONS)
def test_an_entitlement_permits_only_what_items_give(action: str) -> None:
    """Not what an override alone gives, and nothing that grants nothing."""
    assert not ask("permits", action, given=False).allowed
    assert not ask("permits", action, given=False, overridden=True).allowed
    assert not ask("permits", action, held=False).allowed


@pytest.mark.parametrize("action", ACTIONS)
def test_an_override_permits_only_where_one_is_in_force(action: str) -> None:
    """And only if its value grants something."""
    assert not ask("overrides", action, overridden=False).allowed
    assert not ask("overrides", action, overridden=True, held=False).allowed


@pytest.mark.parametrize("action", ACTIONS)
def test_a_template_with_its_slots_filled_is_valid(action: str) -> None:
    """Strictly, against the schema, for its one action."""
    assert validate(permits(action), Schema(builtin_schema())) == []


def test_there_is_one_template_and_one_permit_of_overrides_for_each_action() -> None:
    """Templates go by the action's name."""
    templates, overrides = parse_policies(builtin_text("templates")), parse_policies(builtin_text("overrides"))
    assert [it.id for it in templates] == list(ACTIONS)
    assert [it.id for it in overrides] == [*(f"override/{action}" for action in ACTIONS), "grant/consume"]
    for it in templates + overrides[:-1]:
        assert it.effect == "permit"
        assert [uid.id for uid in it.action.entities] == [it.id.removeprefix("override/")]


def test_an_override_asks_for_the_same_as_an_entitlement() -> None:
    """But for the fact that says who gives it."""
    templates, overrides = parse_policies(builtin_text("templates")), parse_policies(builtin_text("overrides"))
    for template, override in zip(templates, overrides[:-1], strict=True):
        assert str(template.json["conditions"]).replace("given", "overridden") == str(override.json["conditions"])


@pytest.mark.parametrize(("used", "allowed"), [(4, True), (5, False)])
def test_granted_units_may_be_used_where_nothing_else_gives_any(used: int, allowed: bool) -> None:
    """By a permit that is silent where an item or an override gives the feature."""
    granted: dict[str, Any] = {"given": False, "allowance": 0, "limit": 5, "used": used}
    outcome = ask("overrides", "consume", **granted)
    assert (outcome.allowed, outcome.policies) == (allowed, ("grant/consume",) if allowed else ())
    assert ask("overrides", "consume", **granted | {"given": True}).policies == ()
    assert ask("overrides", "consume", **granted | {"held": False}).policies == ()
    assert ask("overrides", "consume", **granted | {"overridden": True}).policies in ((), ("override/consume",))
