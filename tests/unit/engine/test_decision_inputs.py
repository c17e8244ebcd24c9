"""Decisions that are made again, and records that none can have rested on."""

from __future__ import annotations

import pytest

from tests.unit.engine.small import NOW, bundle, check, engine, override, record, subscription
from tiergate.engine import decision_json
from tiergate.engine.decision_inputs import BasisError, DecisionBasis, basis_json, read_basis, reproduce
from tiergate.model import UNLIMITED, Amount, OverrideMode, Switch, Value

ADD, AT_LEAST = OverrideMode.ADD, OverrideMode.AT_LEAST


def test_a_decision_with_several_overrides_is_made_again() -> None:
    """The record of its basis holds all that acted, and the bytes are the same."""
    known = record(
        subscription(
            "gold", overrides=(override("movies", Amount(7), ADD, "a"), override("movies", Amount(60), id_="r"))
        ),
        overrides=(override("movies", Amount(90), AT_LEAST, "l"), override("movies", Amount(3), ADD, "m")),
    )
    first = engine(of=known).decide(check("movies"), NOW)
    assert first.entitlement.value == 93
    basis = read_basis(basis_json(DecisionBasis(record=known)))
    again = reproduce(bundle(), check("movies"), NOW, basis, known, publication=17)
    assert decision_json(again.decision) == decision_json(first)


@pytest.mark.parametrize(
    ("feature", "value"),
    [("analytics", Switch(on=True)), ("movies", UNLIMITED), ("movies", Amount(0)), ("support", Amount(1))],
)
def test_an_override_that_adds_what_cannot_be_added_is_refused(feature: str, value: Value) -> None:
    """A positive number is added, to a quantity or a range."""
    known = record(subscription("gold"), overrides=(override(feature, value, ADD),))
    with pytest.raises(BasisError):
        reproduce(bundle(), check(feature), NOW, DecisionBasis(record=known), known, publication=17)
