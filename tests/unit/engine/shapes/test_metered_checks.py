from __future__ import annotations

from msgspec.structs import replace

from tests.unit.engine.small import ACME, NOW, SUB, Usage, check, engine, record, subscription
from tiergate.engine import Rechecks, ShapeEvaluator
from tiergate.engine.shapes.kept_decision import DecisionWriter, KeptDecision
from tiergate.model import FOREVER, MeteredUsage, Subject

GOLD = record(subscription("gold", "extra"))
MOVIES = check("movies")


def shapes(usage: Usage) -> ShapeEvaluator:
    """An evaluator that keeps answers, and counts usage."""
    made = ShapeEvaluator(engine(of=GOLD, usage=usage), rechecks=Rechecks(0))
    made.read_ahead()
    return made


def asked(of: ShapeEvaluator, subject: Subject = ACME) -> KeptDecision | None:
    """What is found here once the same was asked several times."""
    for _ in range(3):
        of.decide(check("movies", subject), NOW)
        of.find_kept(check("movies", subject), NOW)
    return of._metered.find(check("movies", subject), NOW)


def by_steps(of: ShapeEvaluator) -> KeptDecision | None:
    """What the steps find."""
    of._metered.resolved.clear()
    return of.find_kept(MOVIES, NOW)


def test_a_metered_check_is_found_as_the_steps_find_it() -> None:
    """With the same facts, usage, and bytes."""
    of = shapes(Usage(used=3))
    found = asked(of)
    assert found is not None
    steps = by_steps(of)
    assert steps is not None
    assert replace(found, text=None) == replace(steps, text=None)
    writer = DecisionWriter(1, "r")
    assert (
        writer.write(found, FOREVER) == writer.write(steps, FOREVER) == writer.write(replace(found, text=None), FOREVER)
    )


def test_usage_that_moves_is_in_the_next_answer() -> None:
    """Up to a denial, whose answer has policies of its own."""
    usage = Usage(used=3)
    of = shapes(usage)
    writer = DecisionWriter(1, "r")
    first = asked(of)
    assert first is not None
    allowed = writer.write(first, FOREVER)
    usage.usage = MeteredUsage(10**6)
    of.decide(MOVIES, NOW)
    second = of._metered.find(MOVIES, NOW)
    assert second is not None
    assert (second.used, second.answer.allowed, second.text) == (10**6, False, first.text)
    denied = writer.write(second, FOREVER)
    assert denied == writer.write(replace(second, text=None), FOREVER) != allowed


def test_a_change_of_the_customer_ends_what_was_resolved() -> None:
    """And the end of the facts does."""
    of = shapes(Usage())
    assert asked(of) is not None
    of.forget(ACME)
    assert of._metered.find(MOVIES, NOW) is None
    found = asked(of)
    assert found is not None
    assert of._metered.find(MOVIES, found.facts.start - 1) is None


def test_other_subjects_are_left_to_the_steps() -> None:
    """Subscriptions and users."""
    assert asked(shapes(Usage()), SUB) is None
    assert asked(shapes(Usage()), Subject("acme", user="bob")) is None


def test_usage_beyond_the_numbers_of_cedar_is_left_to_the_steps() -> None:
    """Which report it."""
    usage = Usage()
    of = shapes(usage)
    assert asked(of) is not None
    for moved in (MeteredUsage(2**63), MeteredUsage(-(2**63) - 1), MeteredUsage(1, total_used=2**63)):
        usage.usage = moved
        assert of._metered.find(MOVIES, NOW) is None


def test_a_table_that_is_shed_forgets_them() -> None:
    """As all else that is cached."""
    of = shapes(Usage())
    assert asked(of) is not None
    while of.shed(10):
        pass
    assert of._metered.find(MOVIES, NOW) is None
