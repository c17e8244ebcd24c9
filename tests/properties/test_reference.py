"""Invariant 5: the engine agrees with the reference model on random catalogs, subjects and checks."""

from __future__ import annotations

from typing import Any

from hypothesis import event, given, settings
from hypothesis import strategies as st

from tests.properties.documents import asks, nows, questions, worlds
from tests.properties.engines import World, answered, check_of
from tests.reference.entitlement import Catalogue, decide


def sources(answer: dict[str, Any]) -> list[tuple[Any, ...]]:
    """What the sources of an answer are, without their values."""
    return sorted((it.get("item", ""), it.get("version", 0), it.get("override", "")) for it in answer["sources"])


@settings(max_examples=2 * settings.default.max_examples)  # type: ignore[union-attr]
@given(st.data())
def test_the_engine_agrees_with_the_reference_model(data: st.DataObject) -> None:
    """Allowed, reason, entitlement and sources are what the reference model says."""
    catalog, subjects = data.draw(worlds(), label="world")
    world, reference = World(catalog, subjects), Catalogue(catalog, subjects)
    engine = world.engine()
    for now in data.draw(st.lists(nows(catalog, subjects), min_size=1, max_size=3), label="nows"):
        for _ in range(5):
            check = data.draw(asks(catalog, subjects))
            held = decide(reference, check, now)["entitlement"]
            check |= data.draw(questions(reference.features[check["feature"]], held), label=f"check at {now}")
            expected = decide(reference, check, now)
            event(expected["reason"])
            decision = answered(engine.decide(check_of(check), now))
            assert {key: decision[key] for key in ("allowed", "reason", "entitlement")} == {
                key: expected[key] for key in ("allowed", "reason", "entitlement")
            }, check
            assert sources(decision) == sources(expected), check
