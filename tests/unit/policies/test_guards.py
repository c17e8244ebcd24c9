from __future__ import annotations

from typing import Any

import pytest

from tests.unit.policies.requests import ACTIONS, ask
from tiergate.cedar import builtin_text, parse_policies
from tiergate.model import Reason

SUBJECTS = ('Customer::"acme"', 'Subscription::"sub"', 'User::"ann"')
CAP = {"limit": 10, "used": 9}


def forbidding(action: str, principal: str = SUBJECTS[0], **facts: Any) -> tuple[str, ...]:  # noqa: ANN401 - facts of every type
    """The guards that forbid a granted check, but for some facts."""
    outcome = ask("guards", action, principal, **facts)
    assert not outcome.errors
    assert not outcome.allowed
    return outcome.policies


@pytest.mark.parametrize("action", ACTIONS)
def test_nothing_forbids_what_is_granted(action: str) -> None:
    """Guards leave alone what they are not about."""
    assert forbidding(action) == ()


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize(
    ("facts", "guard"),
    [
        ({"active": False}, "guard/feature-inactive"),
        ({"suspended": True}, "guard/feature-suspended"),
        ({"live": False}, "guard/subscription-inactive"),
        ({"disabled": True}, "guard/override-denied"),
    ],
)
@pytest.mark.parametrize("principal", SUBJECTS)
def test_each_guard_forbids_every_action_to_everybody(
    action: str, facts: dict[str, Any], guard: str, principal: str
) -> None:
    """Whoever asks, whatever is asked for: that fact alone forbids, by that guard alone."""
    assert forbidding(action, principal, **facts) == (guard,)


@pytest.mark.parametrize("action", ACTIONS)
def test_an_override_holds_without_a_live_subscription(action: str) -> None:
    """Also one that takes the feature away: it denies for its own reason."""
    assert forbidding(action, live=False, overridden=True) == ()
    assert forbidding(action, live=False, disabled=True) == ("guard/override-denied",)


@pytest.mark.parametrize("action", ACTIONS)
def test_guards_that_apply_together_are_all_named(action: str) -> None:
    """The reason of the highest precedence can be chosen among them."""
    assert forbidding(action, active=False, suspended=True, live=False) == (
        "guard/feature-inactive",
        "guard/feature-suspended",
        "guard/subscription-inactive",
    )


@pytest.mark.parametrize(
    ("facts", "is_forbidden"),
    [
        ({"amount": 4, "minimum": 5}, True),
        ({"amount": 5, "minimum": 5}, False),
        ({"amount": 6, "minimum": 5}, False),
        ({"remainder": 0}, False),
        ({"remainder": 1}, True),
        ({"amount": 5, "minimum": 5, "remainder": 1}, True),
        ({"amount": 10**18, "minimum": 1}, False),
    ],
)
def test_an_amount_must_reach_the_minimum_and_leave_no_remainder(facts: dict[str, Any], is_forbidden: bool) -> None:
    """At the minimum exactly is enough."""
    assert forbidding("consume", **facts) == (("guard/amount-invalid",) if is_forbidden else ())


@pytest.mark.parametrize(("name", "guard"), [("userCap", "user-cap-reached"), ("totalCap", "total-cap-reached")])
@pytest.mark.parametrize(
    ("used", "amount", "is_forbidden"), [(9, 1, False), (10, 1, True), (0, 10, False), (0, 11, True), (9, 2, True)]
)
def test_a_cap_may_be_reached_and_not_passed(name: str, guard: str, used: int, amount: int, is_forbidden: bool) -> None:
    """Each cap by itself, beside the limit."""
    facts: dict[str, Any] = {name: CAP | {"used": used}, "amount": amount, "limit": 100}
    assert forbidding("consume", **facts) == ((f"guard/{guard}",) if is_forbidden else ())


def test_without_a_cap_nothing_is_capped() -> None:
    """A cap that is not there is not a cap of zero, however much was used."""
    assert forbidding("consume", used=10**18, amount=10**18) == ()


def test_the_largest_numbers_do_not_overflow() -> None:
    """What the edges let in can be added."""
    cap = {"limit": 10**18, "used": 10**18}
    assert forbidding("consume", used=10**18, amount=10**18, userCap=cap, totalCap=cap) == (
        "guard/total-cap-reached",
        "guard/user-cap-reached",
    )


def test_every_guard_forbids_for_a_reason_of_the_closed_set() -> None:
    """No guard permits, each says why in a word that clients know, and has its own id."""
    guards = parse_policies(builtin_text("guards"))
    assert {it.effect for it in guards} == {"forbid"}
    assert {Reason(it.annotations["reason"]) for it in guards} == {
        Reason.FEATURE_INACTIVE,
        Reason.FEATURE_SUSPENDED,
        Reason.SUBSCRIPTION_INACTIVE,
        Reason.OVERRIDE_DENIED,
        Reason.AMOUNT_INVALID,
        Reason.CAP_REACHED,
        Reason.NOT_ENTITLED,
        Reason.LIMIT_REACHED,
    }
    assert all(it.id.startswith("guard/") for it in guards)


@pytest.mark.parametrize(("held", "guard"), [(True, "guard/draws-exceeded"), (False, "guard/draws-not-entitled")])
def test_what_is_drawn_must_be_there(held: bool, guard: str) -> None:
    """Up to the last unit; who does not hold the feature itself is told that."""
    enough, short = ({"used": 7, "amount": amount, "ceiling": 10} for amount in (3, 4))
    assert forbidding("consume", held=held, draws=enough) == ()
    assert forbidding("consume", held=held, draws=short) == (guard,)


def test_no_sum_of_what_is_drawn_overflows() -> None:
    """At the largest numbers that facts give."""
    most = {"used": 2**62 - 1, "amount": 2**62, "ceiling": 2**62}
    assert forbidding("consume", draws=most) == ("guard/draws-exceeded",)
