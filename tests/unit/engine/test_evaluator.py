from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

import msgspec
import pytest

from tests.unit.engine.small import (
    ACME,
    NOW,
    SUB,
    Usage,
    bundle,
    catalog,
    check,
    engine,
    item,
    override,
    record,
    subscription,
)
from tiergate.bundle import Bundle
from tiergate.compiler import compile_catalog
from tiergate.engine import Evaluator, decide_all_features
from tiergate.errors import BundleError, CheckError, ReplicaError, UnknownFeatureError
from tiergate.model import (
    BEGINNING,
    FOREVER,
    UNLIMITED,
    Amount,
    Check,
    Decision,
    Entitlement,
    Feature,
    FeatureType,
    Level,
    OverrideMode,
    Reason,
    Subject,
    SubjectRecord,
    SubjectType,
    SubscriptionItem,
    Suspension,
    Switch,
)

AT_LEAST = OverrideMode.AT_LEAST
GOLD = record(subscription("gold"))
NOTHING = record(subscription())


def decided(known: SubjectRecord, asked: Check, now: int = NOW) -> Decision:
    """The decision of a check by acme."""
    return engine(of=known).decide(asked, now)


def reason(known: SubjectRecord, asked: Check, now: int = NOW) -> str:
    """Why it is what it is; whether it is allowed agrees."""
    decision = decided(known, asked, now)
    assert decision.allowed == (decision.reason is Reason.GRANTED)
    return decision.reason.value


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (check("analytics"), "granted"),
        (check("movies"), "granted"),
        (check("movies", amount=1, used=49), "granted"),
        (check("movies", amount=1, used=50), "limit_reached"),
        (check("movies", amount=50), "granted"),
        (check("movies", amount=51), "limit_reached"),
        (check("storage"), "granted"),
        (check("storage", amount=10), "granted"),
        (check("storage", amount=Decimal("10.5")), "limit_reached"),
        (check("storage", amount=Decimal("0.5")), "amount_invalid"),
        (check("storage", amount=Decimal("1.001")), "amount_invalid"),
        (check("storage", used=9), "granted"),
        (check("storage", used=Decimal("9.001")), "limit_reached"),
        (check("seats", amount=3), "granted"),
        (check("seats", amount=4), "cap_reached"),
        (check("seats", amount=2, user_used=1), "granted"),
        (check("seats", amount=2, user_used=2), "cap_reached"),
        (check("seats", amount=1, used=5), "limit_reached"),
        (check("api-limit"), "granted"),
        (check("api-limit", value=800), "granted"),
        (check("api-limit", value=801), "out_of_range"),
        (check("api-limit", value=1), "granted"),
        (check("support"), "granted"),
        (check("support", level="chat"), "granted"),
        (check("support", level="phone"), "level_too_low"),
        (check("draft"), "feature_inactive"),
    ],
)
def test_every_type_is_decided_at_its_limit(asked: Check, expected: str) -> None:
    """The limit itself is allowed, one unit more is not; for a customer, a subscription and a user alike."""
    for subject in (ACME, SUB, Subject("acme", user="ann"), Subject("sub", SubjectType.SUBSCRIPTION, "ann")):
        assert reason(GOLD, msgspec.structs.replace(asked, subject=subject)) == expected


@pytest.mark.parametrize("feature", ["analytics", "movies", "storage", "api-limit", "support"])
def test_who_is_given_nothing_is_not_entitled(feature: str) -> None:
    """Whatever the type."""
    assert reason(NOTHING, check(feature)) == "not_entitled"


@pytest.mark.parametrize("feature", ["analytics", "movies", "storage", "api-limit", "support"])
def test_without_a_live_subscription_nothing_is_allowed(feature: str) -> None:
    """Whatever the type."""
    assert reason(record(subscription("gold", end=NOW)), check(feature)) == "subscription_inactive"
    assert reason(record(), check(feature)) == "subscription_inactive"


def test_false_and_zero_grant_nothing() -> None:
    """Given explicitly, they are as good as nothing."""
    none = record(subscription("none"))
    compiled = Bundle.from_files(
        compile_catalog(catalog(items=[item("none", {"analytics": Switch(on=False), "movies": Amount(0)})]))
    )
    for feature in ("analytics", "movies"):
        decision = engine(of=none, compiled=compiled).decide(check(feature), NOW)
        assert (decision.reason, len(decision.sources)) == ("not_entitled", 1)


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        (record(overrides=(override("movies", Amount(5)),)), "granted"),
        (record(overrides=(override("movies", Amount(5), AT_LEAST),)), "granted"),
        (record(overrides=(override("movies", UNLIMITED),)), "granted"),
        (record(overrides=(override("movies", Amount(0)),)), "not_entitled"),
        (record(overrides=(override("movies", None),)), "override_denied"),
        (record(overrides=(override("movies", Amount(5), until=NOW),)), "subscription_inactive"),
        (record(overrides=(override("analytics", Switch(on=True)),)), "subscription_inactive"),
        (record(subscription("gold"), overrides=(override("movies", None),)), "override_denied"),
        (record(subscription("gold"), overrides=(override("movies", Amount(0)),)), "not_entitled"),
        (record(subscription("gold"), suspensions=(Suspension("movies"),)), "feature_suspended"),
        (record(subscription("gold", overrides=(override("movies", None),))), "override_denied"),
        (record(subscription("gold", suspensions=(Suspension("movies"),))), "feature_suspended"),
        (record(subscription("gold", suspensions=(Suspension("movies"),), end=0)), "subscription_inactive"),
        (record(suspensions=(Suspension("movies"),)), "feature_suspended"),
        (
            record(subscription("gold"), overrides=(override("movies", None),), suspensions=(Suspension("movies"),)),
            "feature_suspended",
        ),
    ],
)
def test_overrides_and_suspensions_have_their_reasons(known: SubjectRecord, expected: str) -> None:
    """In the order of precedence."""
    assert reason(known, check("movies")) == expected


def test_an_unknown_subject_is_a_decision() -> None:
    """It holds nothing as far as anybody knows, and that may be repeated until the data changes."""
    for subject in (Subject("nobody"), Subject("acme", SubjectType.SUBSCRIPTION), Subject("sub")):
        decision = decided(GOLD, check("movies", subject, used=3))
        assert (decision.allowed, decision.reason) == (False, "unknown_subject")
        assert decision.entitlement == Entitlement(value=0, unlimited=False, unit="movies/month", used=3, remaining=0)
        assert (decision.start, decision.until, decision.volatile) == (BEGINNING, FOREVER, False)


def test_a_mistake_of_the_caller_is_no_decision() -> None:
    """An unknown feature, a field that does not fit; whoever asks."""
    for subject in (ACME, Subject("nobody")):
        with pytest.raises(UnknownFeatureError):
            engine(of=GOLD).decide(check("nothing", subject), NOW)
        with pytest.raises(CheckError):
            engine(of=GOLD).decide(check("movies", subject, amount=0), NOW)
        with pytest.raises(CheckError):
            engine(of=GOLD).evaluate(check("movies", subject, value=1), NOW)


def test_the_deciding_policies_are_named() -> None:
    """Those that permit, those that forbid, or those that say why nothing permitted."""
    both = record(subscription("gold", "extra"))
    assert decided(both, check("movies")).policies == ("addon/extra@1/movies", "plan/gold@3/movies")
    assert decided(both, check("movies", used=60)).policies == ("reason/limit-reached",)
    assert decided(both, check("draft")).policies == ("guard/feature-inactive",)
    given = record(subscription("gold"), overrides=(override("movies", Amount(1)),))
    assert decided(given, check("movies")).policies == ("override/consume",)


@dataclass
class Failing:
    """Subjects or a bundle that cannot be read."""

    error: Exception
    bundle: Bundle | None = None

    def find(self, subject: Subject) -> SubjectRecord | None:
        """Fail."""
        del subject
        raise self.error


def test_subjects_that_cannot_be_read_are_a_denial() -> None:
    """Not an exception, not unknown, and not to be repeated."""
    for error in (ReplicaError("torn"), msgspec.ValidationError("no record")):
        decision = Evaluator(bundle(), Failing(error)).decide(check("movies", used=2), NOW)
        assert (decision.allowed, decision.reason, decision.volatile) == (False, "evaluation_error", True)
        assert decision.errors == (str(error),)
        assert decision.start <= NOW < decision.until


class Torn(Bundle):
    """A bundle whose definitions cannot be read."""

    def definition(self, ref: str) -> dict[str, object]:  # type: ignore[override]
        """Fail."""
        raise BundleError(ref, "is torn")


def test_a_bundle_that_cannot_be_read_is_a_denial() -> None:
    """And so is every check that needs it, while the others are decided."""
    torn = Torn.from_files({path: bundle().content(path) for path in bundle().paths()})
    of = engine(of=GOLD, compiled=torn)
    decision = of.decide(check("movies"), NOW)
    assert (decision.allowed, decision.reason, decision.volatile) == (False, "evaluation_error", True)
    assert "is torn" in decision.errors[0]
    assert engine(of=NOTHING, compiled=torn).decide(check("movies"), NOW).reason == "not_entitled"


def test_a_total_that_overflows_is_a_denial() -> None:
    """For that feature alone."""
    huge = [SubscriptionItem("huge", 5)]
    compiled = Bundle.from_files(
        compile_catalog(catalog(items=[item("huge", {"movies": Amount(10**18), "analytics": Switch(on=True)})]))
    )
    of = engine(subscription(*huge), compiled=compiled)
    assert of.decide(check("movies"), NOW).reason == "evaluation_error"
    assert of.decide(check("analytics"), NOW).reason == "granted"


def with_rules(rules: str, known: SubjectRecord = GOLD) -> Evaluator:
    """An engine under rules."""
    return engine(of=known, compiled=bundle(rules=rules))


def test_a_rule_that_forbids_denies() -> None:
    """With its id, and for a reason of its own."""
    decision = with_rules('@id("no") forbid (principal, action, resource in Tag::"reports");').decide(
        check("analytics"), NOW
    )
    assert (decision.reason, decision.policies) == ("rule_denied", ("rule/house/no",))


def test_a_guard_has_precedence_over_a_rule_and_a_rule_over_an_amount() -> None:
    """All that forbid are named."""
    of = with_rules('@id("no") forbid (principal, action in Action::"access", resource);')
    draft = of.decide(check("draft"), NOW)
    assert (draft.reason, draft.policies) == ("feature_inactive", ("guard/feature-inactive", "rule/house/no"))
    amount = of.decide(check("storage", amount=Decimal("0.5")), NOW)
    assert (amount.reason, amount.policies) == ("rule_denied", ("guard/amount-invalid", "rule/house/no"))


def test_a_rule_may_permit_what_nothing_else_does() -> None:
    """Beyond the limit, and without any entitlement; a guard still forbids."""
    burst = '@id("burst") permit (principal, action == Action::"consume", resource) when { context.used < 60 };'
    assert with_rules(burst).decide(check("movies", used=59), NOW).policies == ("rule/house/burst",)
    assert with_rules(burst).decide(check("movies", used=60), NOW).reason == "limit_reached"
    assert with_rules(burst, NOTHING).decide(check("movies"), NOW).reason == "granted"
    assert with_rules(burst, record()).decide(check("movies"), NOW).reason == "subscription_inactive"


OVERFLOWS = "resource.scale + 9223372036854775807 + 1 > 0"


@pytest.mark.parametrize("effect", ["permit", "forbid"])
def test_an_error_in_any_policy_denies(effect: str) -> None:
    """A policy that errs is skipped by Cedar: a forbid would not forbid. The answer is not repeated."""
    rules = f'@id("errs") {effect} (principal, action, resource) when {{ {OVERFLOWS} }};'
    rules += '@id("yes") permit (principal, action, resource);'
    decision = with_rules(rules).decide(check("analytics"), NOW)
    assert (decision.allowed, decision.reason, decision.volatile) == (False, "evaluation_error", True)
    assert "rule/house/errs" in decision.errors[0]
    assert decision.entitlement == Entitlement(value=True)
    assert (decision.start, decision.until) == (NOW, NOW + 1)


def test_a_rule_that_reads_the_time_is_asked_each_time() -> None:
    """Such an answer is never kept."""
    of = with_rules(
        '@id("weekend") forbid (principal, action == Action::"use", resource) when { context.weekday > 5 };'
    )
    friday = 1_795_219_199_999
    for _ in range(3):
        assert of.decide(check("analytics"), friday).reason == "granted"
        assert of.decide(check("analytics"), friday + 1).reason == "rule_denied"
    assert of.decide(check("analytics"), friday).volatile
    assert not of.decide(check("movies"), friday).volatile


def test_usage_that_is_metered_counts_where_the_check_says_none() -> None:
    """Of the subject, of its user, of everybody; the decision has the usage that it rests on."""
    usage = Usage(used=49)
    of = engine(of=GOLD, usage=usage)
    decision = of.decide(check("movies"), NOW)
    assert (decision.reason, decision.entitlement.used, decision.usage) == ("granted", 49, usage.usage)
    usage.usage = usage.usage._replace(used=50)
    assert of.decide(check("movies"), NOW).reason == "limit_reached"
    assert of.decide(check("movies", used=0), NOW).reason == "granted"
    assert engine(of=GOLD, usage=Usage(user_used=3)).decide(check("seats"), NOW).reason == "cap_reached"
    assert engine(of=GOLD, usage=Usage(total_used=7)).decide(check("seats"), NOW).reason == "granted"
    assert engine(of=GOLD, usage=Usage(total_used=8)).decide(check("seats"), NOW).reason == "cap_reached"


def test_a_feature_that_is_not_metered_has_no_usage() -> None:
    """Whatever the source would say."""
    decision = engine(of=GOLD, usage=Usage(used=10**6)).decide(check("storage"), NOW)
    assert (decision.reason, decision.entitlement.used, decision.volatile) == ("granted", 0, False)


def test_every_entitlement_is_listed_with_its_least_check() -> None:
    """In the order of the features' ids."""
    listed = list(decide_all_features(engine(of=GOLD), ACME, NOW))
    assert [it.feature for it in listed] == sorted(bundle().index.features)
    assert {it.feature for it in listed if not it.allowed} == {"draft"}


def test_an_evaluation_keeps_what_the_decision_rested_on() -> None:
    """And is made afresh, with the same result."""
    of = engine(of=GOLD)
    evaluation = of.evaluate(check("movies", used=3), NOW)
    assert evaluation.decision == of.decide(check("movies", used=3), NOW)
    assert evaluation.facts is not None
    assert evaluation.facts.total == 50
    assert str(evaluation.principal) == 'Customer::"acme"'
    assert of.evaluate(check("movies", Subject("nobody")), NOW).facts is None


def test_a_decision_says_by_what_it_was_made() -> None:
    """Publication and revision."""
    decision = decided(GOLD, check("movies"))
    assert (decision.publication, decision.revision) == (17, bundle().revision)


def test_features_may_have_many_tags_and_levels() -> None:
    """Ids and labels arrive in Cedar as they are."""
    labels = tuple(f'level "{place}" \\ é' for place in range(50))
    feature = Feature(id="f", type=FeatureType.CUSTOM, labels=labels, tags=tuple(f"t{place}" for place in range(50)))
    from_item = item("gold", {"f": Level(labels[30])})
    compiled = Bundle.from_files(compile_catalog(catalog([feature], [from_item])))
    of = engine(of=GOLD, compiled=compiled)
    assert of.decide(check("f", level=labels[30]), NOW).allowed
    assert not of.decide(check("f", level=labels[31]), NOW).allowed
