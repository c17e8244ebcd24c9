from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from tiergate.client import Answer, Entitlement, Source, read_answer, read_json

DECISION = """
{"allowed": true, "reason": "granted", "feature": "storage", "type": "quantity",
 "entitlement": {"value": 10.5, "unlimited": false, "unit": "GB", "used": 3, "remaining": 7.5},
 "sources": [{"item": "plan/gold", "version": 3, "quantity": 1, "subscription": "sub_1", "value": 10.5},
             {"override": "storage-1", "mode": "at_least", "value": 10.5, "per": "unit", "add": true}],
 "policies": ["plan/gold@3/storage"],
 "publication": 17, "revision": "sha256:ab", "valid_until": "2027-01-01T00:00:00.000Z", "stale": true}
"""


def test_an_answer_has_every_member_of_the_decision() -> None:
    """What the sidecar says is found in the answer, numbers exact and instants as such."""
    assert read_answer(read_json(DECISION)) == Answer(
        allowed=True,
        reason="granted",
        feature="storage",
        type="quantity",
        entitlement=Entitlement(value=Decimal("10.5"), unlimited=False, unit="GB", used=3, remaining=Decimal("7.5")),
        sources=(
            Source(item="plan/gold", version=3, quantity=1, subscription="sub_1", value=Decimal("10.5")),
            Source(override="storage-1", mode="at_least", value=Decimal("10.5"), per="unit", add=True),
        ),
        policies=("plan/gold@3/storage",),
        publication=17,
        revision="sha256:ab",
        valid_until=datetime(2027, 1, 1, tzinfo=UTC),
        stale=True,
    )


def test_members_that_are_absent_are_empty() -> None:
    """An unlimited entitlement has neither a value nor a remainder."""
    answer = read_answer(
        {"allowed": True, "reason": "granted", "feature": "f", "type": "quantity", "entitlement": {"unlimited": True}}
    )
    assert answer.entitlement == Entitlement(unlimited=True)
    assert (answer.sources, answer.valid_until) == ((), None)


def test_members_of_a_newer_sidecar_are_passed_over() -> None:
    """A member that this version does not know does no harm."""
    members = {
        "allowed": False,
        "reason": "brand_new",
        "feature": "f",
        "type": "switch",
        "entitlement": {"value": False},
    }
    assert read_answer({**members, "unheard-of": [1]}).reason == "brand_new"


@pytest.mark.parametrize("allowed", [True, False])
def test_an_answer_is_as_true_as_it_is_allowed(allowed: bool) -> None:
    """An answer can stand in an `if` by itself."""
    members = {"allowed": allowed, "reason": "r", "feature": "f", "type": "switch", "entitlement": {}}
    assert bool(read_answer(members)) is allowed


@pytest.mark.parametrize(
    "text",
    [
        "not json",
        "[1]",
        "{}",
        '{"allowed": 1, "reason": "r", "feature": "f", "type": "switch", "entitlement": {}}',
        '{"allowed": true, "reason": "r", "feature": "f", "type": "switch", "entitlement": []}',
        '{"allowed": true, "reason": "r", "feature": "f", "type": "switch", "entitlement": {"value": []}}',
        '{"allowed": true, "reason": "r", "feature": "f", "type": "switch", "entitlement": {"used": true}}',
        '{"allowed": true, "reason": "r", "feature": "f", "type": "switch", "entitlement": {}, "sources": 1}',
        '{"allowed": true, "reason": "r", "feature": "f", "type": "switch", "entitlement": {}, "sources": [1]}',
        '{"allowed": true, "reason": "r", "feature": "f", "type": "switch", "entitlement": {}, "valid_until": "soon"}',
        "[" * 100_000,
    ],
)
def test_what_is_no_decision_is_never_an_answer(text: str) -> None:
    """Anything but a decision is refused, so that nothing is taken for an allow."""
    with pytest.raises(ValueError, match=r"."):
        read_answer(read_json(text))
