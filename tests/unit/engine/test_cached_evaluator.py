from __future__ import annotations

from tests.unit.engine.small import (
    ACME,
    NOW,
    SUB,
    Subjects,
    Usage,
    bundle,
    check,
    engine,
    record,
    subscription,
)
from tiergate.engine import CachedEvaluator, CacheLimits
from tiergate.model import Subject, SubjectRecord, SubjectType

GOLD = record(subscription("gold"))


def cached(
    *, of: SubjectRecord, limits: CacheLimits | None = None, rules: str = "", usage: Usage | None = None
) -> CachedEvaluator:
    """A cache over an evaluator that knows acme with this record."""
    compiled = bundle(rules=rules) if rules else None
    return CachedEvaluator(engine(of=of, limits=limits, compiled=compiled, usage=usage), limits)


def test_what_is_decided_by_the_time_is_not_cached() -> None:
    """A rule reads it."""
    of = cached(of=GOLD, rules='@id("weekend") forbid (principal, action, resource) when { context.weekday > 5 };')
    for _ in range(3):
        of.decide(check("analytics"), NOW)
    assert len(of.decisions) == 0


def test_what_is_decided_by_metered_usage_is_kept_until_it_moves() -> None:
    """The same usage gives the very same decision, another one is decided anew."""
    usage = Usage(used=49)
    of = cached(of=GOLD, usage=usage)
    decisions = [of.decide(check("movies"), NOW) for _ in range(3)]
    assert decisions[2] is of.decide(check("movies"), NOW)

    usage.usage = usage.usage._replace(used=50)

    assert (decisions[2].reason, of.decide(check("movies"), NOW).reason) == ("granted", "limit_reached")


def test_what_is_decided_by_metered_usage_is_kept_until_its_window_ends() -> None:
    """Though nothing is used meanwhile."""
    usage = Usage()
    usage.usage = usage.usage._replace(window_start=NOW - 5, window_end=NOW + 5)
    of = cached(of=GOLD, usage=usage)
    decisions = [of.decide(check("movies"), NOW) for _ in range(3)]
    assert (decisions[2].start, decisions[2].until) == (NOW - 5, NOW + 5)
    assert of.decide(check("movies"), NOW + 4) is decisions[2]
    assert of.decide(check("movies"), NOW + 5) is not decisions[2]


def asked_for(of: CachedEvaluator) -> int:
    """How often the subjects were asked for."""
    source = of.evaluator.subjects._source
    assert isinstance(source, Subjects)
    return source.asked


def test_an_answer_is_kept_while_it_holds() -> None:
    """From the second time on the very same decision comes back, without any look at the data."""
    of = cached(of=GOLD)
    for _ in range(3):
        of.decide(check("movies", used=1), NOW)
    before = asked_for(of)
    assert of.decide(check("movies", used=1), NOW) is of.decide(check("movies", used=1), NOW)
    assert of.decide(check("movies", used=2), NOW) is not of.decide(check("movies", used=1), NOW)
    assert asked_for(of) == before


def test_a_kept_answer_ends_at_its_instant() -> None:
    """In both directions of the clock."""
    of = cached(of=record(subscription("gold", start=NOW, end=NOW + 10)))
    for _ in range(3):
        told = [of.decide(check("movies"), now).reason for now in (NOW - 1, NOW, NOW + 9, NOW + 10, NOW, NOW - 1)]
        assert told == [
            "subscription_inactive", "granted", "granted", "subscription_inactive", "granted", "subscription_inactive"
        ]  # fmt: skip


def test_a_subject_that_is_forgotten_is_looked_up_anew() -> None:
    """With its users; other subjects stay."""
    of = cached(of=GOLD)
    ann = Subject("acme", user="ann")
    for _ in range(3):
        for subject in (ACME, ann, SUB):
            assert of.decide(check("movies", subject), NOW).allowed
    source = of.evaluator.subjects._source
    assert isinstance(source, Subjects)
    source.records[0] = record(subscription(id_="sub"))
    of.forget(ACME)
    assert [of.decide(check("movies", subject), NOW).allowed for subject in (ACME, ann, SUB)] == [False, False, True]
    of.forget(SUB)
    assert not of.decide(check("movies", SUB), NOW).allowed


def test_users_of_one_subject_share_what_is_known_of_it() -> None:
    """The record is looked up for the first of them."""
    of = cached(of=GOLD)
    of.decide(check("movies"), NOW)
    of.decide(check("movies"), NOW)
    before = asked_for(of)
    for user in ("ann", "bob", "eve"):
        assert of.decide(check("movies", Subject("acme", user=user)), NOW).allowed
    assert asked_for(of) == before


def test_nothing_is_kept_where_nothing_may_be() -> None:
    """Answers are the same."""
    of = cached(of=GOLD, limits=CacheLimits(0, 0, 0, 0, 0, 0))
    for _ in range(3):
        assert of.decide(check("movies"), NOW).allowed
    assert (len(of.decisions), len(of.evaluator.subjects.cache), len(of.evaluator.slices.cache)) == (0, 0, 0)


def test_a_customer_and_a_subscription_of_one_id_are_two() -> None:
    """In the caches as elsewhere."""
    known = record(subscription("gold", id_="acme"), subscription("gold", id_="other"))
    of = cached(of=known)
    for _ in range(3):
        assert of.decide(check("movies"), NOW).entitlement.value == 100
        assert of.decide(check("movies", Subject("acme", SubjectType.SUBSCRIPTION)), NOW).entitlement.value == 50
