"""Decisions with random reports on the status of features agree with a model of it, in every layer of the engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import event, given, seed, settings
from hypothesis import strategies as st

from tests.properties.documents import Document, metered_worlds, worlds
from tests.properties.engines import Subjects, World, answered, check_of
from tests.properties.inquiries import Inquirer
from tests.properties.status_reports import STATUSES, as_known, random_reports
from tests.reference.entitlement import decide
from tests.reference.status import concerned, status_of
from tiergate.engine import CachedEvaluator, Evaluator, ShapeEvaluator
from tiergate.engine.decision_inputs import DecisionBasis, LoggedStatus, basis_json, read_basis, reproduce
from tiergate.engine.feature_status import FeatureStatuses
from tiergate.engine.shapes.kept_decision import DecisionWriter
from tiergate.model import Reason, parse_instant
from tiergate.model.checks import REASON_PRECEDENCE
from tiergate.wire.decision import decision_json

if TYPE_CHECKING:
    from random import Random

    from tiergate.model import Check, Decision, Instant

SEEDS = st.integers(0, 2**32)
DRAWN = st.one_of(worlds(), metered_worlds())
UNUSED = {"feature_inactive", "feature_suspended"}


class Layers:
    """The engine in each composition, on the same reports and subjects."""

    def __init__(self, world: World) -> None:
        self.statuses = FeatureStatuses()
        self.world, self.subjects = world, Subjects(world.records)
        self.fresh, below, cached = (Evaluator(world.bundle, self.subjects, statuses=self.statuses) for _ in range(3))
        self.keeping, self.cached = ShapeEvaluator(below), CachedEvaluator(cached)
        self.keeping.read_ahead()
        self.writer = DecisionWriter(0, world.bundle.revision)

    def decide(self, check: Check, now: Instant) -> Decision:
        """The decision of all layers: they are the same, byte by byte."""
        decision = self.fresh.decide(check, now)
        for _ in range(2):
            assert self.cached.decide(check, now) == decision
            kept = self.keeping.find_kept(check, now)
            assert self.keeping.decide(check, now) == decision
            if kept is not None:
                assert (kept.start, kept.until) == (decision.start, decision.until)
                assert self.writer.write(kept, decision.until) == decision_json(decision)
        return decision

    def replay(self, check: Check, decision: Decision, now: Instant) -> Decision:
        """What a replay of the logged decision comes to."""
        status = None if decision.status is None else LoggedStatus.of(decision.status)
        basis = read_basis(basis_json(DecisionBasis(status=status)))
        record = self.subjects.find(check.subject)
        return reproduce(self.world.bundle, check, now, basis, record, publication=0).decision


def rules(random: Random, catalog: Document) -> tuple[dict[str, str], dict[str, set[str]]]:
    """Rules that forbid features by their status, and by which: written in several ways."""
    forbidden, text = {}, []
    for place, feature in enumerate(catalog["features"]):
        if random.random() < 0.5:
            continue
        among = set(random.sample(STATUSES, random.randrange(1, 4)))
        forbidden[feature["id"]] = among
        tests = " || ".join(f'context.status == "{status}"' for status in sorted(among))
        listed = ", ".join(f'"{status}"' for status in sorted(among))
        condition = random.choice([tests, f"[{listed}].contains(context.status)", f"!(!({tests}))"])
        resource = f'resource == Feature::"{feature["id"]}"'
        text.append(f'@id("r{place}") forbid (principal, action, {resource}) when {{ {condition} }};')
    return ({"house": "\n".join(text)} if text else {}), forbidden


def agree(drawn: tuple[Document, Document], seed_: int, checks: int = 6) -> None:
    """Compare decisions on one world, before and after its reports change."""
    catalog, known = drawn
    inquirer = Inquirer(catalog, known, seed_)
    random = inquirer.random
    text, forbidden = rules(random, catalog)
    layers = Layers(World(catalog, known, text))
    reference = inquirer.reference
    reports: dict[str, list[Document]] = {}
    for place, (now, ask) in enumerate(inquirer.asks(nows=3, checks=checks)):
        if place % (checks + 2) == 3:
            reports = random_reports(random, catalog, inquirer.marks)
            layers.statuses.replace(as_known(reports))
        mine = reports.get(ask["feature"], [])
        decision = layers.decide(check_of(ask), now)
        expected = status_of(mine, *concerned(reference, ask["subject"], now), now)
        reason = decide(reference, ask, now)["reason"]
        if reason != "unknown_subject" and expected["status"] in forbidden.get(ask["feature"], ()):
            reason = min(reason, "rule_denied", key=lambda it: REASON_PRECEDENCE[Reason(it)])
        assert decision.reason.value == reason, (ask, now)
        shown = answered(decision)
        if expected["status"] == "operational" or reason in UNUSED:
            assert "status" not in shown, (ask, now)
            assert "since" not in shown, (ask, now)
        else:
            assert shown["status"] == expected["status"], (ask, now)
            assert parse_instant(shown["since"]) == expected["since"], (ask, now)
        if place % 5 == 0:
            assert layers.replay(check_of(ask), decision, now) == decision
        event(f"{expected['status']}: {decision.reason == 'rule_denied'}")
        # As long as the decision is valid, so is the status: at each instant where a report begins or ends.
        edges = {report[key] for report in mine for key in ("start", "until") if key in report}
        for edge in edges | {edge - 1 for edge in edges}:
            if decision.start <= edge < decision.until:
                assert status_of(mine, *concerned(reference, ask["subject"], edge), edge) == expected, (ask, now, edge)


@given(DRAWN, SEEDS)
def test_the_engine_agrees_with_a_model_of_status(drawn: tuple[Document, Document], seed_: int) -> None:
    """Reasons, what is shown, how long it is valid, and what a replay comes to; as reports come and go."""
    agree(drawn, seed_)


@pytest.mark.slow
@seed(20_261_130)
@settings(max_examples=1_000)
@given(DRAWN, SEEDS)
def test_it_does_on_many_worlds(drawn: tuple[Document, Document], seed_: int) -> None:
    """The same, 1,000 times."""
    agree(drawn, seed_, checks=12)
