"""Invariants 3 and 5 over HTTP: a sidecar on a real socket, its memo included, agrees with the reference model."""

from __future__ import annotations

import json
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.example_counts import part_of_examples
from tests.properties.documents import Document, worlds
from tests.properties.engines import Subjects, World, answered, check_of, text_of
from tests.properties.inquiries import Inquirer
from tests.properties.rules import rule_files
from tests.reference.entitlement import decide
from tests.serving import Service, get, post
from tests.wire import Answer, Connection
from tiergate.engine import EngineOptions, decide_all_features, decision_json
from tiergate.engine.decision_inputs import mark_stale
from tiergate.model import FOREVER, Subject, format_instant
from tiergate.model.features import COUNTED
from tiergate.sidecar.api import batches
from tiergate.sidecar.state import Generation
from tiergate.wire.decision import UNSET, EntitlementList, ListedEntitlement, ListedSubject, instant_text
from tiergate.wire.json import encode

if TYPE_CHECKING:
    from collections.abc import Iterator


class Sidecar:
    """A sidecar that serves one world after the other, at any instant, over one connection."""

    def __init__(self, service: Service, connection: Connection) -> None:
        self.service = service
        self.connection = connection

    def serve(self, world: World) -> None:
        """Put a world in force."""
        self.service.number += 1
        number = self.service.number
        engine = EngineOptions().build(world.bundle, Subjects(world.records), number)
        generation = Generation(number, engine, number, world.bundle.revision, 0)
        self.service.run(lambda: self.service.state.install(generation))

    def read(self, request: bytes) -> Any:  # noqa: ANN401 - JSON
        """Ask, and read an answer's numbers exactly."""
        answer: Answer = self.connection.ask(request)
        assert answer.status == 200, answer.body
        return json.loads(answer.body, parse_float=Decimal)


@pytest.fixture(scope="module")
def sidecar() -> Iterator[Sidecar]:
    """One sidecar for all worlds."""
    service = Service()
    with service.serve() as where, Connection(where.connect()) as connection:
        yield Sidecar(service, connection)


def judged(answer: Document) -> Document:
    """What the reference model has to say of an answer."""
    return {key: answer[key] for key in ("allowed", "reason", "entitlement")}


@given(drawn=worlds(), seed=st.integers(0, 2**32))
def test_a_sidecar_agrees_with_the_reference_model(
    sidecar: Sidecar, drawn: tuple[Document, Document], seed: int
) -> None:
    """One by one, asked again at other instants, and in batches: each answer is the reference model's."""
    inquirer = Inquirer(*drawn, seed)
    sidecar.serve(World(*drawn))
    asked = list(inquirer.asks(nows=2, checks=6))
    instants = [inquirer.now() for _ in range(2)]
    for now in [*instants, *instants]:
        sidecar.service.clock.now = now
        for _, ask in asked:
            answer = sidecar.read(post("/v1/check", text_of(ask)))
            assert judged(answer) == judged(decide(inquirer.reference, ask, now)), (ask, now)
    sidecar.service.clock.now = now = inquirer.now()
    checks = [ask for _, ask in asked] + [ask for _, ask in inquirer.asks(nows=1, checks=6)]
    results = sidecar.read(post("/v1/checks", text_of({"checks": checks})))["results"]
    for ask, answer in zip(checks, results, strict=True):
        assert judged(answer) == judged(decide(inquirer.reference, ask, now)), (ask, now)


@given(drawn=worlds(), data=st.data(), seed=st.integers(0, 2**32))
def test_a_sidecar_answers_under_rules_as_an_engine_that_keeps_nothing(
    sidecar: Sidecar, drawn: tuple[Document, Document], data: st.DataObject, seed: int
) -> None:
    """Rules that read the time or err are never remembered, at whatever instant the same is asked again."""
    inquirer = Inquirer(*drawn, seed)
    world = World(*drawn, data.draw(rule_files(*drawn), label="rules"))
    sidecar.serve(world)
    engine = world.engine()
    asked = [ask for _, ask in inquirer.asks(nows=1, checks=5)]
    instants = [inquirer.now() for _ in range(3)]
    for now in [*instants, *instants]:
        sidecar.service.clock.now = now
        for ask in asked:
            fresh = answered(engine.evaluate(check_of(ask), now).decision)
            assert judged(sidecar.read(post("/v1/check", text_of(ask)))) == judged(fresh), (ask, now)


@pytest.mark.parametrize("at_once", [True, False])
@given(drawn=worlds(), data=st.data(), seed=st.integers(0, 2**32))
def test_a_batch_has_the_bytes_of_decisions_made_afresh(
    sidecar: Sidecar, drawn: tuple[Document, Document], data: st.DataObject, seed: int, *, at_once: bool
) -> None:
    """Under rules, at once and in time slices, with and without kept answers."""
    inquirer = Inquirer(*drawn, seed)
    world = World(*drawn, data.draw(st.one_of(st.just({}), rule_files(*drawn)), label="rules"))
    sidecar.serve(world)
    engine, number = world.engine(), sidecar.service.number
    for _ in range(2):
        sidecar.service.clock.now = now = inquirer.now()
        asked = [ask for _, ask in inquirer.asks(nows=1, checks=10)]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(batches, "_AT_ONCE_NS", 10**12 if at_once else -1)
            body = sidecar.connection.ask(post("/v1/checks", text_of({"checks": asked}))).body
        expected = [replace(engine.decide(check_of(ask), now), publication=number) for ask in asked]
        assert body == b'{"results":[%b]}' % b",".join(map(decision_json, expected)), (asked, now)


@settings(max_examples=part_of_examples(4))
@given(drawn=worlds(), seed=st.integers(0, 2**32))
def test_a_listing_says_what_the_reference_model_says(
    sidecar: Sidecar, drawn: tuple[Document, Document], seed: int
) -> None:
    """Every feature of the catalog is listed, with what the subject holds of it."""
    inquirer = Inquirer(*drawn, seed)
    sidecar.serve(World(*drawn))
    for customer in inquirer.customers:
        sidecar.service.clock.now = now = inquirer.now()
        listed = sidecar.read(get(f"/v1/entitlements?subject={quote(customer)}"))["entitlements"]
        assert {it["feature"] for it in listed} == set(inquirer.features)
        for entry in listed:
            expected = decide(inquirer.reference, {"subject": customer, "feature": entry["feature"]}, now)
            assert judged(entry) == judged(expected), (customer, now)


def listed(world: World, subject: Subject, now: int, stale_at: int, publication: int) -> bytes:
    """Write a list of decisions that are made afresh, without anything that is kept."""
    is_stale = now >= stale_at
    decisions = list(decide_all_features(world.engine(), subject, now))
    steady = [decision.until for decision in decisions if not decision.volatile]
    until = min(steady, default=FOREVER) if is_stale else min([*steady, stale_at])
    entries = [
        ListedEntitlement(
            feature=it.feature,
            type=UNSET if it.type is None else it.type.value,
            scale=world.bundle.index.features[it.feature].scale if it.type in COUNTED else UNSET,
            allowed=it.allowed,
            reason=it.reason.value,
            entitlement=it.entitlement,
            sources=it.sources,
            valid_until=UNSET if it.volatile else instant_text(it.until),
        )
        for it in (mark_stale(decision, denied=False) if is_stale else decision for decision in decisions)
    ]
    return encode(
        EntitlementList(
            subject=ListedSubject(subject.type.value, subject.id, UNSET if subject.user is None else subject.user),
            entitlements=entries,
            publication=publication,
            revision=world.bundle.revision,
            valid_until=instant_text(until),
            stale=is_stale,
        )
    )


@given(drawn=worlds(), data=st.data(), seed=st.integers(0, 2**32))
def test_a_listing_has_the_bytes_of_decisions_made_afresh(
    sidecar: Sidecar, drawn: tuple[Document, Document], data: st.DataObject, seed: int
) -> None:
    """Under rules, of customers, subscriptions and users, fresh and stale, with and without kept answers."""
    inquirer = Inquirer(*drawn, seed)
    state = sidecar.service.state
    world = World(*drawn, data.draw(st.one_of(st.just({}), rule_files(*drawn)), label="rules"))
    sidecar.serve(world)
    for now, ask in inquirer.asks(nows=2, checks=3):
        subject = check_of(ask).subject
        query = f"subject={quote(subject.id, safe='')}&type={subject.type}"
        query += "" if subject.user is None else f"&user={quote(subject.user, safe='')}"
        sidecar.service.clock.now = now
        for stale_at in (FOREVER, now + 1, now):
            sidecar.service.run(partial(state.set_stale_at, stale_at))
            body = sidecar.connection.ask(get(f"/v1/entitlements?{query}")).body
            # A publication is a number of this sidecar's, and nothing of the world.
            assert body == listed(world, subject, now, stale_at, sidecar.service.number), (ask, now, stale_at)
        sidecar.service.run(partial(state.set_stale_at, FOREVER))


@given(drawn=worlds(), data=st.data(), seed=st.integers(0, 2**32))
def test_a_check_is_explained_as_it_is_decided(
    sidecar: Sidecar, drawn: tuple[Document, Document], data: st.DataObject, seed: int
) -> None:
    """Byte by byte, under rules, fresh and stale, now and, asked beforehand, at any other instant."""
    inquirer = Inquirer(*drawn, seed)
    state, clock = sidecar.service.state, sidecar.service.clock
    sidecar.serve(World(*drawn, data.draw(rule_files(*drawn), label="rules")))
    for now, ask in inquirer.asks(nows=2, checks=4):
        clock.now = now
        before = sidecar.connection.ask(post("/v1/explain", text_of(ask | {"at": format_instant(now)})))
        clock.now = inquirer.now()
        elsewhere = sidecar.connection.ask(post("/v1/explain", text_of(ask | {"at": format_instant(now)})))
        clock.now = now
        for stale_at in (FOREVER, now + 1, now):
            sidecar.service.run(partial(state.set_stale_at, stale_at))
            decided = sidecar.connection.ask(post("/v1/check", text_of(ask)))
            explained = sidecar.connection.ask(post("/v1/explain", text_of(ask)))
            assert explained.body.startswith(b'{"decision":%b,"sentences":[' % decided.body), (ask, now)
            if stale_at == FOREVER:
                assert explained.body == before.body == elsewhere.body
        sidecar.service.run(partial(state.set_stale_at, FOREVER))
