"""The files that the peers of the race get: they contain the same facts, and so lead to the right answers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import cedarpy
import pytest

from benchmarks.race.facts import Question, draw_facts
from benchmarks.race.peers.cedar_agent import CedarAgent
from benchmarks.race.peers.cerbos import Cerbos
from benchmarks.race.peers.flagd import Flagd
from benchmarks.race.peers.opa import Opa
from benchmarks.race.peers.openfga import OpenFga
from benchmarks.race.peers.tiergate import Tiergate
from benchmarks.race.peers.unleash_edge import UnleashEdge
from tiergate.bundle import Bundle
from tiergate.catalog import TotalBounds, load_subjects
from tiergate.engine import Evaluator
from tiergate.model import Check, Subject
from tiergate.publish import compile_files

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from benchmarks.race.peer import Peer
    from tiergate.model import SubjectRecord

FACTS = draw_facts(features=3, plans=4, customers=30)
QUESTIONS = tuple(FACTS.boundary_questions(60))


def plans_of(question: Question) -> list[str]:
    """Return the ids of the customer's plans, as a caller would send them."""
    return [f"p{plan}" for plan in FACTS.subscriptions[question.customer]]


def answers_of_opa(peer: Peer) -> Callable[[Question], bool]:
    """Apply the rule of the policy to the written data."""
    data = json.loads((peer.home / "data.json").read_text("utf-8"))
    return lambda question: any(
        question.used < data["plans"][plan][f"f{question.feature}"]
        for plan in data["customers"][f"c{question.customer}"]
    )


def answers_of_cerbos(peer: Peer) -> Callable[[Question], bool]:
    """Apply the condition to the constants of the feature's policy."""

    def limits(question: Question) -> dict[str, int]:
        policy = json.loads((peer.home / "policies" / f"f{question.feature}.yaml").read_text("utf-8"))
        found: dict[str, int] = policy["resourcePolicy"]["constants"]["local"]["limits"]
        return found

    return lambda question: any(question.used < limits(question)[plan] for plan in plans_of(question))


def answers_of_flagd(peer: Peer) -> Callable[[Question], bool]:
    """Apply the clauses of the flags' targeting."""
    flags = json.loads((peer.home / "flags.json").read_text("utf-8"))["flags"]

    def applies(clause: object, question: Question) -> bool:
        match clause:
            case {"and": [{"in": [plan, {"var": "plans"}]}, {"<": [{"var": "used"}, int(limit)]}]}:
                return plan in plans_of(question) and question.used < limit
            case _:
                raise AssertionError(clause)

    def answer(question: Question) -> bool:
        flag = flags[f"f{question.feature}"]
        condition, then, otherwise = flag["targeting"]["if"]
        variant = then if any(applies(clause, question) for clause in condition["or"]) else otherwise
        return bool(flag["variants"][variant])

    return answer


def answers_of_unleash_edge(peer: Peer) -> Callable[[Question], bool]:
    """Apply the constraints of the toggles' strategies; the caller sends only the first plan."""
    toggles = json.loads((peer.home / "toggles.json").read_text("utf-8"))["features"]
    strategies = {toggle["name"]: toggle["strategies"] for toggle in toggles}

    def answer(question: Question) -> bool:
        constraints = [strategy["constraints"] for strategy in strategies[f"f{question.feature}"]]
        plan = plans_of(question)[0]
        return any(plan in plans["values"] and question.used < int(used["value"]) for plans, used in constraints)

    return answer


def answers_of_openfga(peer: Peer) -> Callable[[Question], bool]:
    """Follow the tuples from the customer to plans, and from these to features."""
    assert isinstance(peer, OpenFga)
    tuples = list(peer.tuples())
    subscribers = {(held["user"], held["object"]) for held in tuples if held["relation"] == "subscriber"}
    limits: dict[tuple[object, object], int] = {}
    for granted in tuples:
        match granted:
            case {"relation": "can_use", "condition": {"context": {"limit": int(limit)}}}:
                limits[granted["user"], granted["object"]] = limit
            case _:
                pass
    return lambda question: any(
        (f"customer:c{question.customer}", f"plan:p{plan}") in subscribers
        and question.used < limits[f"plan:p{plan}#subscriber", f"feature:f{question.feature}"]
        for plan in range(FACTS.plans)
    )


def answers_of_cedar_agent(peer: Peer) -> Callable[[Question], bool]:
    """Let Cedar decide."""
    policies = json.loads((peer.home / "policies.json").read_text("utf-8"))
    entities = json.loads((peer.home / "entities.json").read_text("utf-8"))
    text = "\n".join(policy["content"] for policy in policies)

    def answer(question: Question) -> bool:
        request = json.loads(peer.request.fill(question, FACTS)[1])
        return cedarpy.is_authorized(request, text, entities).allowed

    return answer


def answers_of_tiergate(peer: Peer) -> Callable[[Question], bool]:
    """Let the engine decide on the compiled files."""
    assert isinstance(peer, Tiergate)
    made = compile_files([peer.home / "catalog.yaml"])
    bundle = Bundle.from_files(made.files)
    records = load_subjects([peer.home / "subjects.ndjson"], bundle.index, TotalBounds.of(made.catalog))

    class Records:
        def find(self, subject: Subject) -> SubjectRecord | None:
            return records.get(subject.id)

    engine = Evaluator(bundle, Records())

    def answer(question: Question) -> bool:
        check = Check(Subject(f"c{question.customer}"), f"f{question.feature}", used=question.used)
        return engine.decide(check, 1_800_000_000_000).allowed

    return answer


@pytest.mark.parametrize(
    ("kind", "answers"),
    [
        (Tiergate, answers_of_tiergate),
        (Opa, answers_of_opa),
        (Cerbos, answers_of_cerbos),
        (Flagd, answers_of_flagd),
        (UnleashEdge, answers_of_unleash_edge),
        (OpenFga, answers_of_openfga),
        (CedarAgent, answers_of_cedar_agent),
    ],
)
def test_the_files_of_a_peer_lead_to_the_right_answers(
    kind: type[Peer], answers: Callable[[Peer], Callable[[Question], bool]], tmp_path: Path
) -> None:
    """An independent reading of the files answers every question at the limits as the facts do."""
    peer = kind(FACTS, tmp_path)
    peer.write_files()
    answer = answers(peer)
    assert [answer(question) for question in QUESTIONS] == [peer.expected(question) for question in QUESTIONS]
