from __future__ import annotations

import json
from typing import TYPE_CHECKING

from msgspec.structs import replace

from tests.unit.engine.small import ACME, NOW, bundle, check, engine, record, subscription
from tiergate.engine import Rechecks, ShapeEvaluator, decide_all_features, decision_json, find_all_features
from tiergate.engine.shapes.kept_decision import DecisionWriter, KeptDecision
from tiergate.model import FOREVER, Subscription, SubscriptionItem, SubscriptionStatus

if TYPE_CHECKING:
    from tiergate.model import Decision, Instant

RULE = '@id("live") permit(principal, action, resource) when { context.live };'


def shapes(*held: Subscription, rules: str = "") -> ShapeEvaluator:
    """An evaluator that keeps answers, and knows acme."""
    of = engine(of=record(*held), compiled=bundle(rules=rules) if rules else None)
    return ShapeEvaluator(of, rechecks=Rechecks(0))


def written(of: ShapeEvaluator, kept: KeptDecision | Decision | None, until: Instant = FOREVER) -> bytes:
    """The JSON of a kept decision."""
    assert isinstance(kept, KeptDecision)
    return DecisionWriter(of.evaluator.publication, of.evaluator.revision).write(kept, until)


def test_ids_of_subscriptions_are_escaped() -> None:
    """They may contain nearly every character; equal ones follow each other, or others come in between."""
    items = (SubscriptionItem("gold"), SubscriptionItem("extra", quantity=2))
    ids = ('"q"', "ü\\n", '"q"')
    of = shapes(*(Subscription(id_, "acme", SubscriptionStatus.ACTIVE, items) for id_ in ids))
    for feature in ("storage", "support", "analytics", "api-limit"):
        expected = of.decide(check(feature), NOW)
        assert {source.subscription for source in expected.sources} == {*ids}
        assert written(of, of.find_kept(check(feature), NOW)) == decision_json(expected)


def test_policies_of_rules_stand_beside_those_of_items() -> None:
    """Sorted together."""
    of = shapes(subscription("gold"), rules=RULE)
    expected = of.decide(check("analytics"), NOW)
    assert expected.policies == ("plan/gold@3/analytics", "rule/house/live")
    assert written(of, of.find_kept(check("analytics"), NOW)) == decision_json(expected)


def test_all_features_are_found_once_their_answers_are_kept() -> None:
    """In the same order, and each as it is decided."""
    of = shapes(subscription("gold"))
    decided = list(decide_all_features(of, ACME, NOW))
    assert list(find_all_features(of.evaluator, ACME, NOW)) == decided
    found = list(find_all_features(of, ACME, NOW))
    assert [written(of, it, decision.until) for it, decision in zip(found, decided, strict=True)] == [
        decision_json(decision) for decision in decided
    ]


def test_valid_until_is_written_where_it_changes() -> None:
    """One after the other, with and without."""
    of = shapes(subscription("gold"))
    of.decide(check("analytics"), NOW)
    kept = of.find_kept(check("analytics"), NOW)
    assert kept is not None
    writer = DecisionWriter(0, "")
    untils = (FOREVER, NOW, NOW + 1, NOW, FOREVER)
    texts = [None, "2023-11-14T22:13:20.000Z", "2023-11-14T22:13:20.001Z", "2023-11-14T22:13:20.000Z", None]
    assert [json.loads(writer.write(kept, until)).get("valid_until") for until in untils] == texts
    entries = [writer.write_entry(replace(kept, facts=replace(kept.facts, until=until))) for until in untils]
    assert [json.loads(entry).get("valid_until") for entry in entries] == texts


def test_caps_are_written_as_they_are_decided() -> None:
    """Last among what the subject has, in a decision and in a list."""
    of = shapes(subscription("gold"))
    expected = of.decide(check("seats"), NOW)
    kept = of.find_kept(check("seats"), NOW)
    assert isinstance(kept, KeptDecision)
    assert written(of, kept, expected.until) == decision_json(expected)
    entry = json.loads(DecisionWriter(0, "").write_entry(kept))
    shown = json.loads(decision_json(expected))["entitlement"]
    assert entry["entitlement"] == shown
    assert list(shown)[-1] == "caps"
