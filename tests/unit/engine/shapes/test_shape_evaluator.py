from __future__ import annotations

import pytest

from tests.unit.engine.small import (
    ACME,
    NOW,
    SUB,
    Subjects,
    Usage,
    bundle,
    check,
    engine,
    override,
    record,
    subscription,
)
from tiergate.engine import CachedEvaluator, CacheLimits, EngineOptions, Evaluator, Rechecks, ShapeEvaluator
from tiergate.engine.shapes import shape_evaluator
from tiergate.model import Amount, Customer, Reason, Subject, SubjectRecord

GOLD = record(subscription("gold"), tags=("eu",), attributes={"region": "eu"})


class Asked:
    """Counts how often Cedar is asked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        ask = Evaluator.ask_cedar

        def counted(*args: object) -> object:
            self.count += 1
            return ask(*args)  # type: ignore[arg-type]

        monkeypatch.setattr(Evaluator, "ask_cedar", counted)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    """Count how often Cedar is asked."""
    return Asked(monkeypatch)


def shapes(rules: str = "", *, one_in: int = 0, usage: Usage | None = None) -> ShapeEvaluator:
    """An evaluator that keeps answers, and knows acme."""
    compiled = bundle(rules=rules) if rules else None
    return ShapeEvaluator(engine(of=GOLD, compiled=compiled, usage=usage), rechecks=Rechecks(one_in))


def test_cedar_is_asked_once_for_checks_that_differ_in_numbers(asked: Asked) -> None:
    """And again where a test comes out otherwise."""
    of = shapes()
    for used in range(50):
        assert of.decide(check("movies", used=used), NOW).allowed
    assert asked.count == 1
    assert of.decide(check("movies", used=50), NOW).reason is Reason.LIMIT_REACHED
    assert of.decide(check("movies", used=5_000), NOW).policies == ("reason/limit-reached",)
    assert asked.count == 2


def test_features_and_subjects_share_answers(asked: Asked) -> None:
    """With the names of their own policies."""
    of = shapes()
    assert of.decide(check("movies"), NOW).policies == ("plan/gold@3/movies",)
    assert of.decide(check("movies", SUB), NOW).policies == ("plan/gold@3/movies",)
    assert asked.count == 1


def test_answers_with_errors_are_asked_for_each_time(asked: Asked) -> None:
    """And so are numbers beyond Cedar's range."""
    of = shapes('@id("far") forbid (principal, action == Action::"consume", resource)'
                " when { context.used * 1000000000000000000 < 0 };")  # fmt: skip
    for _ in range(3):
        assert of.decide(check("movies", used=10), NOW).reason is Reason.EVALUATION_ERROR
    assert asked.count == 3


def test_unreadable_rules_are_asked_for_each_time(asked: Asked) -> None:
    """Of other types of features nothing changes."""
    of = shapes(
        '@id("now") forbid (principal, action == Action::"use", resource) when { [context.now].contains(context.now) };'
    )
    for _ in range(3):
        assert of.decide(check("analytics"), NOW).reason is Reason.RULE_DENIED
        assert of.decide(check("movies"), NOW).allowed
    assert asked.count == 4


def test_a_rule_that_reads_the_time_is_answered_and_stays_volatile(asked: Asked) -> None:
    """Its decision is for its own instant."""
    of = shapes('@id("weekend") forbid (principal, action, resource) when { context.weekday > 5 };')
    for now in range(NOW, NOW + 3):
        decision = of.decide(check("analytics"), now)
        assert (decision.volatile, decision.start, decision.until) == (True, now, now + 1)
    assert asked.count == 1


def test_usage_that_cedar_cannot_count_is_an_error() -> None:
    """As without kept answers."""
    usage = Usage(1)
    of = shapes(usage=usage)
    assert of.decide(check("movies"), NOW).allowed
    usage.usage = usage.usage._replace(used=2**63)
    assert of.decide(check("movies"), NOW).reason is Reason.EVALUATION_ERROR


def test_every_kept_answer_can_be_checked(asked: Asked) -> None:
    """One in one."""
    of = shapes(one_in=1)
    for used in range(5):
        of.decide(check("movies", used=used), NOW)
    assert (asked.count, of.rechecks.checked, of.rechecks.differences) == (5, 4, 0)


def test_at_a_difference_cedar_decides_alone(asked: Asked) -> None:
    """That decision is Cedar's, and all later ones."""
    of = shapes(one_in=1)
    of.decide(check("movies"), NOW)
    for shape in of._shapes.values():
        assert shape is not None
        for key, answer in shape.answers.items():
            shape.answers[key] = answer._replace(allowed=False)
    for _ in range(3):
        assert of.decide(check("movies"), NOW).allowed
    assert (asked.count, of.rechecks.checked, of.rechecks.differences, of.is_trusted) == (4, 1, 1, False)
    assert of.answers.count == 0


def test_slices_beyond_the_bound_go_to_cedar(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    """A shape is not worth it for a slice of one customer."""
    monkeypatch.setattr(shape_evaluator, "_MOST_SHAPES", 1)
    of = shapes()
    for _ in range(2):
        of.decide(check("movies"), NOW)
        of.decide(check("analytics"), NOW)
    assert asked.count == 3


def test_an_unknown_subject_and_a_forgotten_one() -> None:
    """Answers outlive a change of the data: they do not depend on it."""
    of = shapes()
    assert of.decide(check("movies", Subject("nobody")), NOW).reason is Reason.UNKNOWN_SUBJECT
    for _ in range(3):
        assert of.decide(check("movies", used=60), NOW).reason is Reason.LIMIT_REACHED
    source = of.evaluator.subjects._source
    source.records[0] = record(subscription("gold", overrides=(override("movies", Amount(100)),)))  # type: ignore[attr-defined]
    of.forget(ACME)
    assert of.decide(check("movies", used=60), NOW).policies == ("override/consume",)
    assert of.shed(100) in (True, False)
    assert of.answers.count == 0


def test_options_build_the_layers() -> None:
    """With kept answers or without."""
    of = engine(of=GOLD)
    source = of.subjects._source
    assert isinstance(EngineOptions(CacheLimits()).build(of.bundle, source), ShapeEvaluator)
    assert isinstance(EngineOptions(keep_answers=False).build(of.bundle, source, 3), CachedEvaluator)


def test_entities_of_the_users_own_may_lead_to_the_principal(asked: Asked) -> None:
    """What they say of one customer is not said of another."""
    compiled = bundle(
        rules='@id("banned") forbid (principal, action, resource)'
        ' when { Team::"a".members.contains(principal.customer) || Team::"a".lead == principal };',
        schema="entity Team { members: Set<String>, lead: Customer };",
        entities='[{"uid": {"type": "Team", "id": "a"}, "parents": [], "attrs": {"members": ["acme"],'
        ' "lead": {"__entity": {"type": "Customer", "id": "hooli"}}}}]',
    )
    source = Subjects(
        *(
            SubjectRecord(Customer(id_), (subscription("gold", id_=f"sub-{id_}"),))
            for id_ in ("acme", "hooli", "initech")
        )
    )
    of = ShapeEvaluator(Evaluator(compiled, source), rechecks=Rechecks(0))
    for _ in range(2):
        reasons = [of.decide(check("movies", Subject(id_)), NOW).reason for id_ in ("acme", "hooli", "initech")]
        assert reasons == [Reason.RULE_DENIED, Reason.RULE_DENIED, Reason.GRANTED]
    assert asked.count == 3


def test_shapes_are_read_ahead(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then the first checks read none, and Cedar was not asked yet."""
    of = shapes()
    of.read_ahead()
    assert asked.count == 0
    monkeypatch.setattr(shape_evaluator, "shape_of", None)
    assert of.decide(check("movies"), NOW).allowed
    assert of.decide(check("analytics"), NOW).allowed
