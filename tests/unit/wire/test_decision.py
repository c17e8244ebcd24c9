from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from tests.unit.engine.small import NOW, check, engine, override, record, subscription
from tiergate.engine import Evaluator, decision_document, decision_json
from tiergate.model import FOREVER, UNLIMITED, Amount, Check, SubscriptionItem, parse_instant


def told(of: Evaluator, asked: Check, *, stale: bool = False) -> dict[str, Any]:
    """An answer as a client reads it."""
    found: dict[str, Any] = json.loads(decision_json(of.decide(asked, NOW), stale=stale), parse_float=Decimal)
    return found


def test_an_answer_is_what_the_design_shows() -> None:
    """Section 5, field by field and in its order."""
    of = engine(subscription("gold"))
    found = told(of, check("movies", used=12))
    assert found == {
        "allowed": True,
        "reason": "granted",
        "feature": "movies",
        "type": "quantity",
        "entitlement": {"value": 50, "unlimited": False, "unit": "movies/month", "used": 12, "remaining": 38},
        "sources": [{"item": "plan/gold", "version": 3, "quantity": 1, "subscription": "sub", "value": 50}],
        "policies": ["plan/gold@3/movies"],
        "publication": 17,
        "revision": of.revision,
        "stale": False,
    }
    assert list(found) == [
        "allowed", "reason", "feature", "type", "entitlement", "sources", "policies", "publication", "revision", "stale"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("asked", "entitlement"),
    [
        (check("analytics"), {"value": True}),
        (check("support"), {"value": "chat"}),
        (check("api-limit"), {"value": 800, "unlimited": False, "unit": "requests/min"}),
        (
            check("seats", used=9),
            {"value": 5, "unlimited": False, "used": 9, "remaining": 0, "caps": {"total": 8, "per_user": 3}},
        ),
        (
            check("storage", used=Decimal("9.5")),
            {"value": 10, "unlimited": False, "used": Decimal("9.5"), "remaining": Decimal("0.5")},
        ),
    ],
)
def test_an_entitlement_is_told_in_the_terms_of_its_type(asked: Check, entitlement: dict[str, Any]) -> None:
    """Numbers are exact, and nothing remains below zero."""
    assert told(engine(subscription("gold")), asked)["entitlement"] == entitlement


@pytest.mark.parametrize(
    ("asked", "entitlement"),
    [
        (check("analytics"), {"value": False}),
        (check("support"), {"value": None}),
        (check("api-limit"), {"value": 0, "unlimited": False, "unit": "requests/min"}),
        (check("movies", used=2), {"value": 0, "unlimited": False, "unit": "movies/month", "used": 2, "remaining": 0}),
    ],
)
def test_who_holds_nothing_is_told_so_in_the_same_terms(asked: Check, entitlement: dict[str, Any]) -> None:
    """Nothing, explicitly."""
    assert told(engine(subscription()), asked)["entitlement"] == entitlement


def test_unlimited_has_no_value_and_nothing_that_remains() -> None:
    """Nobody can take a large number for it."""
    of = engine(of=record(subscription("gold"), overrides=(override("movies", UNLIMITED),)))
    found = told(of, check("movies"))
    assert found["entitlement"] == {"unlimited": True, "unit": "movies/month", "used": 0}
    assert found["sources"] == [{"override": "o", "mode": "replace", "unlimited": True}]


def test_an_answer_says_until_when_it_holds() -> None:
    """Where something ends or begins by itself."""
    until = parse_instant("2027-01-01T00:00:00.001Z")
    of = engine(of=record(subscription("gold", end=until)))
    assert told(of, check("movies"))["valid_until"] == "2027-01-01T00:00:00.001Z"


def test_what_ends_after_every_calendar_does_not_end() -> None:
    """Nothing is said then."""
    last = parse_instant("9999-12-31T23:59:59.999Z")
    for until in (last, last + 1, FOREVER):
        assert "valid_until" not in told(engine(of=record(subscription("gold", end=until))), check("movies"))


def test_numbers_beyond_what_doubles_carry_are_exact() -> None:
    """A total may have more digits than an edge."""
    of = engine(of=record(subscription(SubscriptionItem("gold")), overrides=(override("storage", Amount(10**18 - 1)),)))
    body = decision_json(of.decide(check("storage"), NOW))
    assert b'"value":999999999999999.999,' in body


def test_stale_is_told_for_the_decision_or_by_the_caller() -> None:
    """Either is enough."""
    decision = engine(subscription("gold")).decide(check("movies"), NOW)
    assert not decision_document(decision).stale
    assert decision_document(decision, stale=True).stale
    assert decision_document(msgspec.structs.replace(decision, stale=True)).stale
