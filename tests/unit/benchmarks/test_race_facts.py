from __future__ import annotations

from benchmarks.race.facts import Facts, Question, draw_facts


def test_facts_are_the_same_each_time() -> None:
    """The facts come from a seed, so that every machine measures the same."""
    assert draw_facts(features=3, plans=4, customers=20) == draw_facts(features=3, plans=4, customers=20)


def test_customer_0_has_only_plan_0() -> None:
    """The change of plan 0 shows in the answers to this customer."""
    facts = draw_facts(features=3, plans=4, customers=20)
    assert facts.subscriptions[0] == (0,)
    assert (facts.features, facts.plans, facts.customers) == (3, 4, 20)


def test_the_largest_limit_of_all_plans_counts() -> None:
    """A customer may use one more as long as some plan gives more."""
    facts = Facts(limits=((10,), (20,)), subscriptions=((0, 1), (0,)))
    assert [facts.allowed(Question(0, 0, used)) for used in (0, 10, 19, 20)] == [True, True, True, False]
    assert [facts.allowed(Question(1, 0, used)) for used in (9, 10)] == [True, False]


def test_boundary_questions_are_on_both_sides_of_a_limit() -> None:
    """Each pair asks for one less than a limit of one of the customer's plans, and for the limit."""
    facts = draw_facts(features=3, plans=4, customers=20)
    questions = list(facts.boundary_questions(60))
    below, at = questions[::2], questions[1::2]
    assert len(below) == len(at) == 60
    for first, second in zip(below, at, strict=True):
        assert (first.customer, first.feature, first.used + 1) == (second.customer, second.feature, second.used)
        assert second.used in {facts.limits[plan][second.feature] for plan in facts.subscriptions[second.customer]}
        assert facts.allowed(first)
    assert {facts.allowed(question) for question in at} == {True, False}  # limits of larger and of smaller plans
