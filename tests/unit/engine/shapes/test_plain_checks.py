from __future__ import annotations

import pytest
from msgspec.structs import replace

from tests.unit.engine.small import ACME, MOVIES, NOW, SUB, Usage, bundle, check, engine, override, record, subscription
from tiergate.engine import Rechecks, ShapeEvaluator
from tiergate.engine.shapes.plain_checks import PlainChecks, has_plain_checks
from tiergate.errors import CheckError
from tiergate.model import Amount, Combine, FeatureStatus, Subject, SubjectRecord, Suspension

GOLD = record(subscription("gold", "extra"))
PLAIN = ("analytics", "api-limit", "movies", "seats", "storage", "support")


def shapes(of: SubjectRecord = GOLD, *, rules: str = "", usage: Usage | None = None) -> ShapeEvaluator:
    """An evaluator that keeps answers, read ahead, and knows acme."""
    below = engine(of=of, compiled=bundle(rules=rules) if rules else None, usage=usage)
    made = ShapeEvaluator(below, rechecks=Rechecks(0))
    made.read_ahead()
    return made


@pytest.mark.parametrize("feature", PLAIN)
def test_a_plain_check_is_found_as_the_steps_find_it(feature: str) -> None:
    """With the same facts, once its answer is kept."""
    of = shapes()
    plain = of._plain[feature]
    assert plain.find(check(feature), NOW) is None
    of.decide(check(feature), NOW)
    found = plain.find(check(feature), NOW)
    of._plain.clear()
    assert found is not None
    assert found == of.find_kept(check(feature), NOW)


@pytest.mark.parametrize(
    ("of", "subject"),
    [
        (record(subscription("gold"), overrides=(override("analytics", Amount(1)),)), ACME),
        (record(subscription("gold"), suspensions=(Suspension("analytics"),)), ACME),
        (GOLD, SUB),
        (GOLD, Subject("acme", user="bob")),
        (GOLD, Subject("nobody")),
    ],
)
def test_other_subjects_are_left_to_the_steps(of: SubjectRecord, subject: Subject) -> None:
    """Those with overrides or suspensions, subscriptions, users and the unknown."""
    made = shapes(of)
    made.decide(check("movies", subject), NOW)
    assert made._plain["movies"].find(check("movies", subject), NOW) is None


def test_other_features_are_left_to_the_steps() -> None:
    """Drafts, suspended ones, those that take the greatest of subscriptions, and metered ones that are counted here."""
    changes = ({"status": FeatureStatus.DRAFT}, {"suspensions": (Suspension(""),)}, {"across": Combine.MAX})
    assert [has_plain_checks(replace(MOVIES, **change)) for change in ({}, *changes)] == [True, False, False, False]
    assert tuple(shapes()._plain) == PLAIN
    assert tuple(shapes(usage=Usage())._plain) == ("analytics", "api-limit", "storage", "support")


@pytest.mark.parametrize(
    ("rule", "left"),
    [
        ('forbid (principal == Customer::"acme", action, resource) when { context.live };', set(PLAIN)),
        ('forbid (principal, action == Action::"use", resource) when { context.weekday > 9 };', {"analytics"}),
        ('forbid (principal, action == Action::"use", resource) when { principal == resource };', {"analytics"}),
        ('forbid (principal, action, resource) when { principal.tags.contains("x") };', set()),
    ],
)
def test_rules_can_leave_checks_to_the_steps(rule: str, left: set[str]) -> None:
    """Where the slice depends on who asks, reads the time, or has a test that is not understood; tags are."""
    assert {*PLAIN} - {*shapes(rules=f'@id("r") {rule}')._plain} == left


def test_a_field_that_does_not_fit_is_an_error() -> None:
    """The same as of the evaluator."""
    of = shapes()
    of.decide(check("movies"), NOW)
    with pytest.raises(CheckError) as raised:
        of._plain["movies"].find(check("movies", level="chat"), NOW)
    assert raised.value.field == "level"


def test_a_total_beyond_every_range_is_left_to_the_evaluator() -> None:
    """It reports it."""
    of = shapes()
    of.decide(check("movies"), NOW)
    plain: PlainChecks = of._plain["movies"]
    assert plain.find(check("movies"), NOW) is not None
    many = subscription(*[replace(it, quantity=2**62) for it in subscription("gold").items])
    huge = shapes(record(many))
    huge.decide(check("movies"), NOW)
    assert huge._plain["movies"].find(check("movies"), NOW) is None


def test_a_difference_ends_plain_checks_too() -> None:
    """No answer of this bundle is trusted any more."""
    of = shapes()
    of.rechecks = Rechecks(1)
    of.decide(check("movies"), NOW)
    shape = of._plain["movies"]._answers
    (key,) = shape
    shape[key] = shape[key]._replace(allowed=False)
    assert of.find_kept(check("movies"), NOW) is None
    assert of.decide(check("movies"), NOW).allowed
    assert (of.is_trusted, of._plain) == (False, {})
