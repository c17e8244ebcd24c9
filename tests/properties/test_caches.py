"""Invariant 3: a cached answer equals a fresh one, at every instant, whatever has happened before."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from tests.properties.documents import Document, subjects, worlds
from tests.properties.engines import Subjects, World, check_of
from tests.properties.inquiries import Inquirer
from tests.properties.rules import rule_files
from tiergate.engine import CacheLimits, EngineOptions, Evaluator
from tiergate.model import Check, Decision, Subject, SubjectRecord, SubjectType

TIGHT = CacheLimits(subjects=2, subject_bytes=20_000, slices=2, slice_bytes=400_000, decisions=3, decision_bytes=30_000)
SEEDS = st.integers(0, 2**32)
NOTHING = CacheLimits(subjects=0, subject_bytes=0, slices=0, slice_bytes=0, decisions=0, decision_bytes=0)
FIELDS = [field for field in Decision.__struct_fields__ if field not in {"start", "until"}]


class Followed:
    """A long-lived engine, and the records that it ought to know."""

    def __init__(self, world: World, limits: CacheLimits | None) -> None:
        self.subjects = Subjects(world.records)
        self.engine = EngineOptions(limits or CacheLimits()).build(world.bundle, self.subjects)
        self.forgetful = Evaluator(world.bundle, self.subjects, limits=NOTHING)

    def put(self, records: dict[str, SubjectRecord]) -> None:
        """Change what is known of some customers, as a change feed would, and say so to the engine."""
        for id_, record in records.items():
            before = self.subjects.records.get(id_)
            self.subjects.records[id_] = record
            self.engine.forget(Subject(id_))
            listed = record.subscriptions + (() if before is None else before.subscriptions)
            for subscription in listed:
                self.engine.forget(Subject(subscription.id, SubjectType.SUBSCRIPTION))

    def compare(self, check: Check, now: int) -> None:
        """Hold the answer against that of an engine that keeps nothing, and against its own promises."""
        decision = self.engine.decide(check, now)
        fresh = self.forgetful.decide(check, now)
        for field in FIELDS:
            assert getattr(decision, field) == getattr(fresh, field), (field, check, now)
        assert decision.start <= now < decision.until


@given(worlds(), st.data(), SEEDS)
def test_a_cached_answer_equals_a_fresh_one(drawn: tuple[Document, Document], data: st.DataObject, seed: int) -> None:
    """Through expiries, suspensions, clock steps in both directions, changes, and caches that are too small."""
    catalog, first = drawn
    world = World(catalog, first, data.draw(st.one_of(st.just({}), st.just({}), rule_files(catalog, first))))
    second = data.draw(subjects(catalog), label="changed subjects")
    changed = World(catalog, second).records
    inquirer = Inquirer(catalog, first, seed)
    checks = [check_of(ask) for _, ask in inquirer.asks(nows=2, checks=3)]
    inquirer.marks += Inquirer(catalog, second, seed).marks
    followed = Followed(world, data.draw(st.sampled_from([None, TIGHT]), label="limits"))
    for _ in range(10):
        now = inquirer.now()
        if inquirer.random.random() < 0.2:
            followed.put(inquirer.random.choice([changed, world.records]))
        for check in inquirer.random.choices(checks, k=6):
            followed.compare(check, now)


@given(worlds(), SEEDS)
def test_an_answer_holds_as_long_as_it_says(drawn: tuple[Document, Document], seed: int) -> None:
    """From `start` to `until` no fresh answer differs, at any instant that anything mentions."""
    engine, inquirer = World(*drawn).engine(), Inquirer(*drawn, seed)
    for first, ask in inquirer.asks(nows=4, checks=3):
        check = check_of(ask)
        decision = engine.decide(check, first)
        near = {decision.start, decision.until - 1, *(mark + step for mark in inquirer.marks for step in (-1, 0))}
        for now in near:
            if decision.start <= now < decision.until:
                fresh = engine.evaluate(check, now).decision
                assert msgspec.structs.replace(fresh, start=decision.start, until=decision.until) == decision
