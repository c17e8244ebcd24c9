"""Invariant 1: a check is allowed exactly up to what the answer says that the subject holds."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import event, given
from hypothesis import strategies as st

from tests.properties.documents import Document, worlds
from tests.properties.engines import World, answered, check_of
from tests.properties.inquiries import Inquirer

HINDRANCES = ("suspensions", "caps", "batch")


def unhindered(node: object) -> object:
    """A document without suspensions, caps and batch steps."""
    if isinstance(node, dict):
        return {key: unhindered(value) for key, value in node.items() if key not in HINDRANCES}
    return [unhindered(value) for value in node] if isinstance(node, list) else node


def numeric(catalog: Document, known: Document) -> bool:
    """Say whether a world has something with a limit."""
    del known
    return any(it["type"] in {"quantity", "range"} for it in catalog["features"])


unhindered_worlds = worlds().filter(lambda world: numeric(*world)).map(lambda world: tuple(map(unhindered, world)))


@given(unhindered_worlds, st.integers(0, 2**32))
def test_allowed_exactly_up_to_the_reported_entitlement(drawn: tuple[Document, Document], seed: int) -> None:
    """Without rules, suspensions, caps and batches: used + amount, or value, up to the limit that is reported."""
    engine, inquirer = World(*drawn).engine(), Inquirer(*drawn, seed)
    inquirer.features = [id_ for id_, it in inquirer.reference.features.items() if it["type"] in {"quantity", "range"}]
    for now, ask in inquirer.asks(nows=6, checks=8):
        answer = answered(engine.decide(check_of(ask), now))
        held = answer["entitlement"]
        if held["unlimited"]:
            event("unlimited")
            assert answer["allowed"]
            assert "value" not in held
            continue
        asked = ask["value"] if "value" in ask else Decimal(ask.get("used", 0)) + ask.get("amount", 1)
        if answer["type"] == "range" and "value" not in ask:
            asked = 0
        event(f"limit of 0: {not held['value']}")
        assert answer["allowed"] == (held["value"] > 0 and asked <= held["value"]), (ask, now)
        if answer["type"] == "quantity":
            assert held["remaining"] == max(0, held["value"] - Decimal(ask.get("used", 0)))
