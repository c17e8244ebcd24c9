from __future__ import annotations

from typing import TYPE_CHECKING

from tests.unit.engine.small import ACME, NOW, bundle, engine, subscription
from tiergate.engine.explanation.what_if import changed_evaluator
from tiergate.model import Amount, Check, Reason

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tiergate.bundle import Bundle
    from tiergate.model import CatalogIndex, Value

LAST = Check(ACME, "movies", used=49)


class FewerMovies:
    """A bundle of which every version gives one movie less than 50."""

    def __init__(self, base: Bundle) -> None:
        self.base = base
        self.revision = base.revision
        self.index: CatalogIndex = base.index

    def definition(self, ref: str) -> Mapping[str, Value]:
        """What a version gives."""
        return {**self.base.definition(ref), "movies": Amount(49)}

    def text(self, path: str) -> str:
        """A file."""
        return self.base.text(path)

    def paths(self, prefix: str) -> Sequence[str]:
        """The paths."""
        return self.base.paths(prefix)


def test_an_alternative_decides_by_other_definitions() -> None:
    """The same subject, whose plan gives something else."""
    real = engine(subscription("gold"))
    other = changed_evaluator(real, bundle=FewerMovies(bundle()))
    assert real.evaluate(LAST, NOW).decision.allowed
    assert other.evaluate(LAST, NOW).decision.reason is Reason.LIMIT_REACHED


def test_an_alternative_decides_by_other_policies() -> None:
    """A rule that was left out forbids no more."""
    rules = '@id("never") forbid (principal, action, resource);'
    real = engine(subscription("gold"), compiled=bundle(rules=rules))
    (name,) = [it.id for it in real.slices.static if it.rule]
    other = changed_evaluator(real, slices=real.slices.otherwise({name: None}))
    assert real.evaluate(LAST, NOW).decision.reason is Reason.RULE_DENIED
    assert other.evaluate(LAST, NOW).decision.allowed


def test_an_alternative_leaves_its_engine_as_it_was() -> None:
    """What it decides is kept nowhere."""
    real = engine(subscription("gold"))
    other = changed_evaluator(real, bundle=FewerMovies(bundle()))
    for _ in range(3):
        assert not other.decide(LAST, NOW).allowed
        assert real.decide(LAST, NOW).allowed


def test_an_alternative_shows_rules_what_its_items_give() -> None:
    """A rule that reads the value of an item version reads the other one."""
    rules = """@id("few") forbid (principal, action, resource)
    when { Item::"plan/gold@3".hasTag("movies") && Item::"plan/gold@3".getTag("movies") == "49" };"""
    real = engine(subscription("gold"), compiled=bundle(rules=rules))
    other = changed_evaluator(real, bundle=FewerMovies(bundle(rules=rules)))
    assert real.evaluate(LAST, NOW).decision.allowed
    assert other.evaluate(LAST, NOW).decision.reason is Reason.RULE_DENIED
