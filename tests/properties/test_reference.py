"""Invariant 5: the engine agrees with the reference model on random catalogs, subjects and checks."""

from __future__ import annotations

from typing import Any

from hypothesis import event, given
from hypothesis import strategies as st

from tests.properties.documents import Document, worlds
from tests.properties.engines import World, answered, check_of
from tests.properties.inquiries import Inquirer
from tests.reference.entitlement import decide

SEEDS = st.integers(0, 2**32)


def sources(answer: Document) -> list[tuple[Any, ...]]:
    """What the sources of an answer are, without their values."""
    return sorted((it.get("item", ""), it.get("version", 0), it.get("override", "")) for it in answer["sources"])


@given(worlds(), SEEDS)
def test_the_engine_agrees_with_the_reference_model(world: tuple[Document, Document], seed: int) -> None:
    """Allowed, reason, entitlement and sources are what the reference model says."""
    inquirer, engine = Inquirer(*world, seed), World(*world).engine()
    for now, check in inquirer.asks(nows=5, checks=10):
        expected = decide(inquirer.reference, check, now)
        event(expected["reason"])
        decision = answered(engine.decide(check_of(check), now))
        for key in ("allowed", "reason", "entitlement"):
            assert decision[key] == expected[key], (check, now)
        assert sources(decision) == sources(expected), (check, now)
