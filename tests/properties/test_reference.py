"""Invariant 5: the engine agrees with the reference model on random catalogs, subjects and checks."""

from __future__ import annotations

from decimal import Decimal
from random import Random
from typing import TYPE_CHECKING, Any

from hypothesis import event, given
from hypothesis import strategies as st

from tests.properties.documents import Document, metered_worlds, worlds
from tests.properties.engines import Subjects, World, answered, check_of
from tests.properties.inquiries import Inquirer
from tests.reference.entitlement import decide
from tiergate.engine import Evaluator, ShapeEvaluator
from tiergate.engine.sources import NO_USAGE, UsageSource
from tiergate.model import BEGINNING, FOREVER, MeteredUsage

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tiergate.model import Feature, Instant, Subject

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


class Usage:
    """Random usage, the same for the same question, with the numbers of the reference model beside it."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.features: Mapping[str, Feature] = {}

    def usage_of(self, subject: Subject, feature: Feature, now: Instant) -> MeteredUsage:
        """As `UsageSource`."""
        drawn = None if feature.draws is None else self._of(subject, self.features[feature.draws.source], now)
        return self._of(subject, feature, now)._replace(drawn=drawn)

    def _of(self, subject: Subject, feature: Feature, now: Instant) -> MeteredUsage:
        random, unit = Random(f"{self.seed} {subject} {feature.id} {now}"), 10**feature.scale
        used, user_used, total_used = (random.choice([0, 0, 1, 9, 30, 50, 60]) * unit for _ in range(3))
        granted = random.choice([0, 0, 0, 1, 20 * unit])
        end = random.choice([FOREVER, now + 1, now + 10_000])
        return MeteredUsage(used, user_used, total_used, granted, random.choice([BEGINNING, now]), end)

    def counted(self, usage: MeteredUsage, feature: Feature) -> Document:
        """The same for the reference model."""
        names = ("used", "user_used", "total_used", "granted")
        found: Document = {name: Decimal(getattr(usage, name)).scaleb(-feature.scale) for name in names}
        if usage.drawn is not None and feature.draws is not None:
            found["drawn"] = self.counted(usage.drawn, self.features[feature.draws.source])
        return found


@given(metered_worlds(), SEEDS, st.booleans())
def test_they_agree_on_metered_features(world: tuple[Document, Document], seed: int, counts: bool) -> None:
    """With soft limits, granted units and drawing, whether usage is counted here or the check says it."""
    inquirer, loaded, source = Inquirer(*world, seed), World(*world), Usage(seed)
    features = source.features = loaded.bundle.index.features
    subjects = Subjects(loaded.records)
    usage: UsageSource = source if counts else NO_USAGE
    layers = [Evaluator(loaded.bundle, subjects, usage=usage)]
    keeping = ShapeEvaluator(Evaluator(loaded.bundle, subjects, usage=usage))
    for now, ask in inquirer.asks(nows=5, checks=10):
        check, feature = check_of(ask), features[ask["feature"]]
        known = source.usage_of(check.subject, feature, now) if counts and feature.metered is not None else None
        expected = decide(inquirer.reference, ask, now, None if known is None else source.counted(known, feature))
        event(f"{expected['reason']}, metered: {known is not None}, draws: {feature.draws is not None}")
        for decided in (*(layer.decide(check, now) for layer in layers), keeping.decide(check, now)):
            decision = answered(decided)
            for key in ("allowed", "reason", "entitlement"):
                assert decision[key] == expected[key], (ask, now)
            assert sources(decision) == sources(expected), (ask, now)
            if known is not None and decided.reason != "unknown_subject":
                assert known.valid_from <= decided.start <= now < decided.until <= known.valid_until
