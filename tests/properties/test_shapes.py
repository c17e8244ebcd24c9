"""Invariant: a decision by a kept answer equals the one that Cedar makes afresh, in every field.

The controls bend the reader of conditions, and show that the same comparison finds it.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from tests.properties.documents import Document, metered_worlds, subjects, worlds
from tests.properties.engines import Subjects, World, check_of
from tests.properties.inquiries import Inquirer
from tests.properties.shape_rules import shape_rule_files
from tests.properties.status_reports import as_known, random_reports
from tiergate.engine import CacheLimits, Difference, Evaluator, Rechecks, ShapeEvaluator
from tiergate.engine.facts import combined
from tiergate.engine.feature_status import FeatureStatuses
from tiergate.engine.shapes import operand_reader, plain_checks, shape_evaluator
from tiergate.engine.shapes.answer_table import general_answer
from tiergate.engine.shapes.condition_reader import ConditionReader
from tiergate.engine.shapes.kept_decision import DecisionWriter
from tiergate.model import BEGINNING, FOREVER, MeteredUsage, Subject, SubjectType
from tiergate.wire.decision import decision_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tiergate.cedar import Policy
    from tiergate.model import Check, Feature, Instant

SEEDS = st.integers(0, 2**32)
NOTHING = CacheLimits(0, 0, 0, 0, 0, 0, 0, 0)
TIGHT = CacheLimits(subjects=2, slices=2, decisions=0, answers=5)


class Usage:
    """Random usage, the same for the same question; now and then none that Cedar can count."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def usage_of(self, subject: Subject, feature: Feature, now: Instant) -> MeteredUsage:
        """As `UsageSource`."""
        random = Random(f"{self.seed} {subject} {feature.id} {now}")
        drawn = None if feature.draws is None else self._drawn(random, now)
        return self._drawn(random, now)._replace(drawn=drawn)

    @staticmethod
    def _drawn(random: Random, now: Instant) -> MeteredUsage:
        used, user_used, total_used = (random.choice([0, 1, 9, 30, 50, 2**62, 2**63 - 1, 2**63]) for _ in range(3))
        granted = random.choice([0, 0, 0, 1, 30, 2**62])
        end = random.choice([FOREVER, now + 1, now + 10_000])
        return MeteredUsage(used, user_used, total_used, granted, random.choice([BEGINNING, now]), end)


class Pair:
    """An evaluator that keeps answers, and one that keeps nothing, of the same world."""

    def __init__(self, world: World, limits: CacheLimits | None, seed: int, *, one_in: int = 0) -> None:
        self.subjects, self.statuses = Subjects(world.records), FeatureStatuses()
        usage = Usage(seed)
        self.keeping = ShapeEvaluator(
            Evaluator(world.bundle, self.subjects, limits=limits, usage=usage, statuses=self.statuses),
            limits,
            rechecks=Rechecks(one_in),
        )
        self.keeping.read_ahead()
        self.writer, self.found = DecisionWriter(0, world.bundle.revision), 0
        self.fresh = Evaluator(world.bundle, self.subjects, limits=NOTHING, usage=usage, statuses=self.statuses)

    def differs(self, check: Check, now: Instant) -> bool:
        """Whether the two decisions differ in any field, or the kept one's own JSON does in any byte."""
        decision = self.fresh.decide(check, now)
        kept = self.keeping.find_kept(check, now)
        if kept is not None:
            self.found += 1
            made = (kept.reason, kept.start, kept.until, False)
            if made != (decision.reason, decision.start, decision.until, decision.volatile):
                return True
            if self.writer.write(kept, decision.until) != decision_json(decision):
                return True
        return self.keeping.decide(check, now) != decision

    def change(self, records: dict[str, Any]) -> None:
        """Change the records of some customers, and forget what is known of these."""
        for id_, record in records.items():
            before = self.subjects.records.get(id_)
            self.subjects.records[id_] = record
            self.keeping.forget(Subject(id_))
            for subscription in record.subscriptions + (() if before is None else before.subscriptions):
                self.keeping.forget(Subject(subscription.id, SubjectType.SUBSCRIPTION))


@given(st.one_of(worlds(), metered_worlds()), st.data(), SEEDS)
def test_a_kept_answer_is_what_cedar_answers(drawn: tuple[Document, Document], data: st.DataObject, seed: int) -> None:
    """Through changes of subjects and of statuses, with rules of every operator, and a table that is too small."""
    catalog, known = drawn
    world = World(
        catalog, known, data.draw(st.one_of(st.just({}), *[shape_rule_files(catalog, known)] * 3), label="rules")
    )
    changed = World(catalog, data.draw(subjects(catalog), label="changed subjects")).records
    pair = Pair(world, data.draw(st.sampled_from([None, None, TIGHT]), label="limits"), seed)
    inquirer = Inquirer(catalog, known, seed)
    for place, (now, ask) in enumerate(inquirer.asks(nows=3, checks=10)):
        if place == 15:
            pair.change(inquirer.random.choice([changed, world.records]))
        if place % 12 == 6:
            pair.statuses.replace(as_known(random_reports(inquirer.random, catalog, inquirer.marks)))
        assert not pair.differs(check_of(ask), now), (ask, now)
    event(f"{bool(pair.keeping.answers.count)}: answers are kept")
    event(f"{bool(pair.found)}: decisions are found")


@given(st.one_of(worlds(), metered_worlds()), st.data(), SEEDS)
def test_rechecks_find_no_difference(drawn: tuple[Document, Document], data: st.DataObject, seed: int) -> None:
    """Every kept answer is asked of Cedar again."""
    world = World(*drawn, data.draw(shape_rule_files(*drawn), label="rules"))
    pair = Pair(world, None, seed, one_in=1)
    for now, ask in Inquirer(*drawn, seed).asks(nows=1, checks=16):
        pair.keeping.decide(check_of(ask), now)
    event(f"{min(pair.keeping.rechecks.checked, 9)}: rechecks")
    assert (pair.keeping.rechecks.differences, pair.keeping.is_trusted) == (0, True)


# ── controls ─────────────────────────────────────────────────────────────────────────────────────────────────────────

CATALOG: Document = {
    "apiVersion": "tiergate/v1",
    "features": [
        {"id": "seats", "type": "quantity", "unit": "seats", "batch": {"minimum": 4, "increment": 2}},
        {"id": "desks", "type": "quantity", "unit": "desks", "scale": 3},
        {"id": "support", "type": "custom", "levels": ["email", "phone"]},
        {"id": "beta", "type": "switch"},
    ],
    "items": [
        {"id": "small", "kind": "plan", "entitlements": {"seats": 6, "desks": 4, "support": "email", "beta": True}},
        {"id": "big", "kind": "plan", "entitlements": {"seats": 10, "desks": 10, "support": "phone", "beta": True}},
    ],
}
KNOWN: Document = {
    "apiVersion": "tiergate/v1",
    "customers": [
        {"id": "acme", "tags": ["eu"], "attributes": {"region": "eu"}},
        {"id": "globex", "attributes": {"region": "us"}},
        {"id": "hooli", "tags": ["eu"]},
        {"id": "initech"},
        {"id": "soylent"},
        {"id": "umbrella", "overrides": [{"feature": "seats", "mode": "disabled", "reason": "fraud"}]},
        {"id": "vandelay"},
    ],
    "subscriptions": [
        {"id": "s1", "customer": "acme", "status": "active", "items": [{"item": "small"}]},
        {"id": "s2", "customer": "globex", "status": "active", "items": [{"item": "big"}]},
        {"id": "s3", "customer": "hooli", "status": "active", "items": [{"item": "big"}]},
        {"id": "s4", "customer": "initech", "status": "active", "items": [{"item": "big"}]},
        {"id": "s5", "customer": "soylent", "status": "active", "items": [{"item": "small"}]},
    ],
}
USE = 'forbid (principal, action == Action::"use", resource) when'
TAG = USE + ' { principal.tags.contains("eu") };'
REGION = USE + ' { principal.hasTag("region") && principal.getTag("region") == "us" };'
ITEM = USE + ' { principal in Item::"plan/small" };'
TYPE = USE + " { principal is User };"
LATE = USE + ' { context.now > datetime("2026-03-01") };'
SCALE = 'forbid (principal, action == Action::"consume", resource) when { resource.scale == 3 };'
FAR = 'forbid (principal, action == Action::"consume", resource) when { context.used * 9223372036854775807 < 0 };'
FAILING = USE + ' { principal.getTag("region") == "us" };'
NOON = 1_772_323_200_000
"""2026-03-01T00:00:00Z"""


def grid() -> Iterator[tuple[int, Document]]:
    """Checks around every limit, of everybody."""
    asking = [*(it["id"] for it in KNOWN["customers"]), {"type": "customer", "id": "globex", "user": "bob"}]
    questions: list[Document] = [{"feature": "beta"}, {"feature": "support", "level": "phone"}, {"feature": "support"}]
    questions += [
        {"feature": name, "amount": amount, "used": used}
        for name in ("desks", "seats")
        for amount in (2, 4, 5)
        for used in (0, 1, 2, 3, 6, 7)
    ]
    for now in (NOON, NOON, NOON + 1):
        for question in questions:
            for subject in asking:
                yield now, {"subject": subject, **question}


def differences(*rules: str) -> int:
    """How many of these checks the comparison finds to differ under some rules."""
    text = "\n".join(f'@id("r{place}") {rule}' for place, rule in enumerate(rules))
    pair = Pair(World(CATALOG, KNOWN, {"house": text} if rules else {}), None, 0)
    return sum(pair.differs(check_of(ask), now) for now, ask in grid())


def test_nothing_differs_without_a_defect() -> None:
    """The controls begin here; most decisions are found without Cedar."""
    assert not differences(TAG, REGION, ITEM, TYPE, LATE, SCALE, FAR, FAILING)


def without_tests(part: str) -> Callable[[ConditionReader, Policy], None]:
    """Return a reader that overlooks tests that contain a text."""
    read = ConditionReader.read

    def overlooking(reader: ConditionReader, policy: Policy) -> None:
        read(reader, policy)
        for collected in (reader.tests, reader.values):
            for code in [code for code in collected if part in code]:
                del collected[code]

    return overlooking


@pytest.mark.parametrize(
    ("part", "rules"),
    [
        ("context_disabled", []), ("context_remainder", []), ("context_amount <", []), ("<= context_ceiling", []),
        ("<= context_heldRank", []), ("in tags", [TAG]), ("== 'us'", [REGION]), ("ancestors", [ITEM]),
        ("principal.type", [TYPE]), ("context_now", [LATE]), ("feature.scale", [SCALE]),
    ],
)  # fmt: skip
def test_a_test_that_is_overlooked_is_found(part: str, rules: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The comparison sees what the reader leaves out."""
    monkeypatch.setattr(ConditionReader, "read", without_tests(part))
    assert differences(*rules)


@pytest.mark.parametrize(
    ("kind", "change", "rules"),
    [("<=", ("<=", "<"), []), ("in", ("c0", "set()"), [ITEM]), ("==", ("'us'", "'u'"), [REGION])],
)
def test_a_test_that_is_bent_is_found(
    kind: str, change: tuple[str, str], rules: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is wrong for a few checks alone: `<` in place of `<=` at the very limit."""
    readers = ConditionReader._TESTS
    operators = [op for op, read in readers.items() if read is readers[kind]]

    def bent(reader: ConditionReader, op: str, body: dict[str, Any]) -> Any:  # noqa: ANN401 - as the others
        test = readers[kind](reader, op, body)
        return test if isinstance(test, bool) else test._replace(code=test.code.replace(*change))

    monkeypatch.setattr(ConditionReader, "_TESTS", {**readers, **dict.fromkeys(operators, bent)})
    assert differences(*rules)


@pytest.mark.parametrize("rule", [REGION, FAILING.replace("{", '{ principal.tags.contains("eu") &&')])
def test_tests_that_are_combined_otherwise_are_found(rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is before `&&` decides whether what is behind it is evaluated."""
    monkeypatch.setattr(ConditionReader, "_both", lambda _, left, right: right if left.optional else left)
    assert differences(rule)


def test_plain_facts_that_are_bent_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is found without the steps is compared too."""
    monkeypatch.setattr(plain_checks, "combined", lambda *of: (max(combined(*of)[0] - 1, 0), False))
    assert differences()


def test_an_overflow_that_is_ignored_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A number beyond 64 bits fails in Cedar."""
    monkeypatch.setattr(operand_reader, "MOST", 2**200)
    assert differences(FAR)


def test_an_answer_with_an_error_that_is_kept_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its error is lost."""
    monkeypatch.setattr(
        shape_evaluator,
        "general_answer",
        lambda result, *rest: general_answer(result._replace(errors=()), *rest),
    )
    assert differences(FAILING)


def test_a_recheck_stops_kept_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """A defect is found at the first recheck that meets it, which Cedar decides, and then Cedar decides alone."""
    monkeypatch.setattr(ConditionReader, "read", without_tests("<= context_ceiling"))
    found: list[Difference] = []
    pair = Pair(World(CATALOG, KNOWN), None, 0)
    pair.keeping.rechecks = Rechecks(1, found.append)
    assert not any(pair.differs(check_of(ask), now) for now, ask in grid())
    assert (pair.keeping.rechecks.differences, len(found), pair.keeping.is_trusted) == (1, 1, False)
