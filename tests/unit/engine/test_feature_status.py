from __future__ import annotations

import json

import pytest

from tests.unit.engine.shapes.test_metered_checks import asked, shapes
from tests.unit.engine.small import ACME, NOW, Usage, bundle, check, engine, record, subscription
from tiergate.engine import CachedEvaluator, explain, reasoning_sentences
from tiergate.engine.explanation.trace import build_reasoning
from tiergate.engine.feature_status import FeatureStatuses, reports_of, status_window
from tiergate.model import (
    BEGINNING,
    FOREVER,
    FeatureReports,
    ReportedStatus,
    Status,
    StatusAudience,
    StatusWindow,
    Subject,
)

DOWN = ReportedStatus(status=Status.DOWN, start=NOW - 5, until=NOW + 5)
DEGRADED = ReportedStatus(status=Status.DEGRADED, start=NOW - 9)
LATER = ReportedStatus(status=Status.DEGRADED, start=NOW - 2)
WORKS = ReportedStatus(status=Status.MAINTENANCE, start=NOW + 7)
OVER = ReportedStatus(status=Status.DOWN, start=NOW - 99, until=NOW - 7)
EU = ReportedStatus(status=Status.PARTIAL, start=NOW - 1, audience=StatusAudience(tags=("eu",), items=("pro",)))
RULE = '@id("down") forbid (principal, action, resource) when { context.status == "down" };'


@pytest.mark.parametrize(
    ("reports", "expected"),
    [
        ((), None),
        ((EU,), None),
        ((DEGRADED,), StatusWindow(Status.DEGRADED, NOW - 9, NOW - 9)),
        ((DEGRADED, DOWN), StatusWindow(Status.DOWN, NOW - 5, NOW - 5, NOW + 5)),
        ((WORKS,), StatusWindow(until=NOW + 7)),
        ((OVER, DEGRADED), StatusWindow(Status.DEGRADED, NOW - 9, NOW - 7)),
        ((LATER, DEGRADED), StatusWindow(Status.DEGRADED, NOW - 9, NOW - 2)),
        ((ReportedStatus(status=Status.DOWN, start=NOW, until=NOW),), None),
    ],
)  # fmt: skip
def test_the_worst_open_report_is_the_status(
    reports: tuple[ReportedStatus, ...], expected: StatusWindow | None
) -> None:
    """Since its earliest report, and until something begins or ends. None of it is of whom it does not concern."""
    window = status_window(reports, ("us",), ("plan/prose@1",), NOW)
    assert window == expected
    if window is not None:
        assert status_window(reports_of(window), (), (), NOW) == window


@pytest.mark.parametrize(("tags", "refs"), [(("eu",), ()), ((), ("addon/pro@12",)), (("us", "eu"), ("plan/pro@1",))])
def test_a_report_concerns_its_audience(tags: tuple[str, ...], refs: tuple[str, ...]) -> None:
    """By a tag, or by an item of any version."""
    window = status_window((EU,), tags, refs, NOW)
    assert window is not None
    assert window.status is Status.PARTIAL


def test_reports_that_are_the_same_stay_the_same_object() -> None:
    """So that what rests on them stays valid."""
    statuses = FeatureStatuses([FeatureReports("movies", (DOWN,)), FeatureReports("storage", (DEGRADED,))])
    before = statuses.reports
    again = (ReportedStatus(status=Status.DOWN, start=NOW - 5, until=NOW + 5),)
    statuses.replace([FeatureReports("movies", again), FeatureReports("storage", ())])
    assert statuses.reports["movies"] is before["movies"]
    assert "storage" not in statuses.reports


def test_an_answer_of_metered_usage_follows_the_status() -> None:
    """What was resolved before a report is not used after it, nor afterwards what was resolved with it."""
    of = shapes(Usage(used=3))
    plain = asked(of)
    assert plain is not None
    of.evaluator.statuses.replace([FeatureReports("movies", (DOWN,))])
    assert of._metered.find(check("movies"), NOW) is None
    reported = asked(of)
    assert reported is not None
    assert (reported.facts.status, reported.until) == (StatusWindow(Status.DOWN, NOW - 5, NOW - 5, NOW + 5), NOW + 5)
    of.evaluator.statuses.replace([])
    assert of._metered.find(check("movies"), NOW) is None


def test_a_cached_decision_follows_the_status() -> None:
    """It is valid until the report ends, and only for these reports."""
    of = CachedEvaluator(engine(of=record(subscription("gold")), compiled=bundle(rules=RULE)))
    assert [of.decide(check("analytics"), NOW).reason.value for _ in range(3)] == ["granted"] * 3
    of.evaluator.statuses.replace([FeatureReports("analytics", (DOWN,))])
    assert [of.decide(check("analytics"), NOW).reason.value for _ in range(3)] == ["rule_denied"] * 3
    assert of.decide(check("analytics"), NOW + 4) is of.decide(check("analytics"), NOW)
    assert of.decide(check("analytics"), NOW + 5).reason == "granted"
    assert of.decide(check("storage"), NOW).until == FOREVER


def test_a_rule_reads_the_status_of_the_feature_that_is_checked() -> None:
    """The context has it only where a rule does."""
    of = engine(of=record(subscription("gold")), compiled=bundle(rules=RULE))
    of.statuses.replace([FeatureReports("analytics", (DEGRADED,))])
    assert json.loads(of.evaluate(check("analytics"), NOW).context)["status"] == "degraded"
    assert json.loads(of.evaluate(check("storage"), NOW).context)["status"] == "operational"
    free = engine(of=record(subscription("gold")))
    free.statuses.replace([FeatureReports("analytics", (DEGRADED,))])
    assert "status" not in json.loads(free.evaluate(check("analytics"), NOW).context)


def test_draft_and_suspended_features_show_no_status() -> None:
    """The reason says that; somebody unknown sees what concerns everybody."""
    of = engine(of=record(subscription("gold")))
    of.statuses.replace([FeatureReports("draft", (DEGRADED,)), FeatureReports("analytics", (DEGRADED, EU))])
    assert of.decide(check("draft"), NOW).shown_status is None
    shown = of.decide(check("analytics", Subject("nobody")), NOW).shown_status
    assert shown == StatusWindow(Status.DEGRADED, NOW - 9, NOW - 9)


def test_an_explanation_says_the_status() -> None:
    """In its decision, in its context and in a sentence, with what ends it."""
    of = engine(of=record(subscription("gold")))
    of.statuses.replace([FeatureReports("analytics", (DOWN,))])
    explanation = explain(of, check("analytics"), NOW)
    feature = of.index.features["analytics"]
    reasoning = build_reasoning(explanation, feature, of.subjects.record_of(ACME), ACME)
    assert reasoning.decision.status == reasoning.context["status"] == "down"
    assert reasoning.decision.since
    assert any("does not work for anybody" in sentence for sentence in reasoning_sentences(reasoning))
    assert [change.what for change in reasoning.changes] == ["a report on the status of the feature begins or ends"]
    assert explanation.decision.start > BEGINNING
