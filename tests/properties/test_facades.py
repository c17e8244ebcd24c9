"""No facade decides: over random worlds, each protocol says what the check service says, and nothing else.

What is expected is translated here a second time, from the native API's answers.
"""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.properties.documents import Document, worlds
from tests.properties.engines import Subjects, World, text_of
from tests.properties.inquiries import Inquirer
from tests.properties.rules import rule_files
from tests.serving import Service, customer, get, post
from tests.wire import Answer, Connection
from tiergate.engine import EngineOptions
from tiergate.engine.own_access import AccessDecision
from tiergate.model import Reason
from tiergate.sidecar.request_context import NO_CONTEXT
from tiergate.sidecar.state import Generation

if TYPE_CHECKING:
    from collections.abc import Iterator
    from random import Random

    from tiergate.model import Check, Instant
    from tiergate.sidecar.access_decisions import ServedAccess
    from tiergate.sidecar.check_service import ServedDecision
    from tiergate.sidecar.state import StateView

FIRM = {
    "unknown_subject",
    "evaluation_error",
    "stale_data",
    "feature_inactive",
    "feature_suspended",
    "subscription_inactive",
    "override_denied",
    "rule_denied",
}
"""Reasons that no number turns."""

DISABLED = {"feature_inactive": "DISABLED", "feature_suspended": "DISABLED"}
UNKNOWN = {"unknown_subject": "UNKNOWN", "evaluation_error": "UNKNOWN", "stale_data": "UNKNOWN"}
LARGEST = 2**53 - 1


class Sidecar:
    """A sidecar that serves one world after the other, at any instant, over one connection."""

    def __init__(self, service: Service, connection: Connection) -> None:
        self.service = service
        self.connection = connection

    def serve(self, world: World, now: int) -> None:
        """Put a world in force at an instant."""
        self.service.number += 1
        engine = EngineOptions().build(world.bundle, Subjects(world.records), self.service.number)
        generation = Generation(self.service.number, engine, self.service.number, world.bundle.revision, 0)
        self.service.clock.now = now
        self.service.run(lambda: self.service.state.install(generation))

    def ask(self, request: bytes) -> tuple[int, Any]:
        """Ask, and read an answer's numbers exactly."""
        answer: Answer = self.connection.ask(request)
        return answer.status, json.loads(answer.body, parse_float=Decimal)


@pytest.fixture(scope="module")
def sidecar() -> Iterator[Sidecar]:
    """One sidecar for all worlds."""
    service = Service()
    with service.serve() as where, Connection(where.connect()) as connection:
        yield Sidecar(service, connection)


def context_of(ask: Document) -> Document:
    """The context that says what a check says."""
    about = ask["subject"] if isinstance(ask["subject"], dict) else {"id": ask["subject"]}
    prefix = "subscription:" if about.get("type") == "subscription" else ""
    context = {"targetingKey": prefix + about["id"], "irrelevant": [1]}
    context |= {"user": about["user"]} if "user" in about else {}
    return context | {name: value for name, value in ask.items() if name not in {"subject", "feature"}}


def flag_of(key: str, native: Document, features: Document) -> Document:
    """The flag that a native answer is."""
    allowed, reason, held = native["allowed"], native["reason"], native["entitlement"]
    feature = features[native["feature"]]
    firm, kind = reason in FIRM, native["type"]
    value: Any
    if key.endswith(":allowed"):
        value, variant = allowed, "allowed" if allowed else "denied"
    elif kind == "switch":
        value, variant = allowed, "on" if allowed else "off"
    elif kind == "custom":
        value = "" if firm or held["value"] is None else held["value"]
        variant = value or "none"
    else:
        value = 0 if firm else LARGEST if held["unlimited"] else min(held["value"], LARGEST)
        variant = "unlimited" if not firm and held["unlimited"] else f"{value:f}" if value % 1 else f"{int(value)}"
        assert bool(feature.get("scale")) or value == int(value)
    metadata = {"allowed": allowed, "reason": reason, "revision": native["revision"], "stale": native["stale"]}
    metadata |= {name: held[name] for name in ("unlimited", "unit", "used", "remaining") if name in held}
    if firm and "unlimited" in held:
        metadata["unlimited"] = False
    if firm and "used" in held:
        metadata["remaining"] = 0
    metadata |= {"resets_at": native["resets_at"]} if "resets_at" in native else {}
    said = DISABLED.get(reason) or UNKNOWN.get(reason) or "TARGETING_MATCH"
    return {"key": key, "value": value, "variant": variant, "reason": said, "metadata": metadata}


@given(drawn=worlds(), data=st.data(), seed=st.integers(0, 2**32))
def test_flags_are_decisions(
    sidecar: Sidecar, drawn: tuple[Document, Document], data: st.DataObject, seed: int
) -> None:
    """Each flag, alone and among all, is the translation of the native answer to the same question."""
    inquirer = Inquirer(*drawn, seed)
    rules = data.draw(st.one_of(st.just({}), rule_files(*drawn)), label="rules")
    now = inquirer.now()
    sidecar.serve(World(*drawn, rules), now)
    features = inquirer.reference.features
    for _, ask in inquirer.asks(nows=1, checks=4):
        name, context = ask["feature"], context_of(ask)
        least = {key: value for key, value in ask.items() if key in {"subject", "feature", "used", "user_used"}}
        for key, question in ((name, least), (f"{name}:allowed", ask)):
            status, native = sidecar.ask(post("/v1/check", text_of(question)))
            assert status == 200, native
            body = text_of({"context": context})
            found = sidecar.ask(post(f"/ofrep/v1/evaluate/flags/{quote(key)}", body))
            assert found == (200, flag_of(key, native, features)), question
    about = ask["subject"] if isinstance(ask["subject"], dict) else {"id": ask["subject"]}
    query = "&".join(f"{'subject' if part == 'id' else part}={quote(value)}" for part, value in about.items())
    _, listed = sidecar.ask(get(f"/v1/entitlements?{query}"))
    _, flags = sidecar.ask(post("/ofrep/v1/evaluate/flags", text_of({"context": context_of({"subject": about})})))
    rest = {"revision": listed["revision"], "stale": listed["stale"]}
    expected = [
        flag_of(key, entry | rest, features)
        for entry in listed["entitlements"]
        for key in (entry["feature"], f"{entry['feature']}:allowed")
    ]
    assert flags["flags"] == expected


def question_of(ask: Document, random: Random) -> Document:
    """The evaluation that asks what a check asks; its numbers stand in one of three places."""
    about = ask["subject"] if isinstance(ask["subject"], dict) else {"id": ask["subject"]}
    kind = about.get("type", "customer")
    subject: Document = {"type": kind, "id": about["id"]}
    if "user" in about:
        subject = {"type": "user", "id": about["user"], "properties": {kind: about["id"]}}
    numbers = {name: value for name, value in ask.items() if name not in {"subject", "feature"}}
    places: list[Document] = [{}, {}, {}]
    random.choice(places).update(numbers)
    return {
        "subject": subject,
        "action": {"name": "access", "properties": places[0]},
        "resource": {"type": "feature", "id": ask["feature"], "properties": places[1]},
        "context": places[2],
    }


@given(drawn=worlds(), data=st.data(), seed=st.integers(0, 2**32))
def test_evaluations_are_decisions(
    sidecar: Sidecar, drawn: tuple[Document, Document], data: st.DataObject, seed: int
) -> None:
    """Each evaluation, alone, of several and as the result of a search, is the native decision."""
    inquirer = Inquirer(*drawn, seed)
    rules = data.draw(st.one_of(st.just({}), rule_files(*drawn)), label="rules")
    now = inquirer.now()
    sidecar.serve(World(*drawn, rules), now)
    asked = [ask for _, ask in inquirer.asks(nows=1, checks=4)]
    natives = [sidecar.ask(post("/v1/check", text_of(ask)))[1] for ask in asked]
    questions = [question_of(ask, inquirer.random) for ask in asked]
    expected = [{"decision": native.pop("allowed"), "context": native} for native in natives]
    for question, answer in zip(questions, expected, strict=True):
        assert sidecar.ask(post("/access/v1/evaluation", text_of(question))) == (200, answer)
    several = sidecar.ask(post("/access/v1/evaluations", text_of({"evaluations": questions})))
    assert several == (200, {"evaluations": expected})
    least = {**questions[0], "action": {"name": "access"}, "context": {}}
    found = sidecar.ask(post("/access/v1/search/resource", text_of({**least, "resource": {"type": "feature"}})))[1]
    permitted = [
        name
        for name in sorted(inquirer.features)
        if sidecar.ask(post("/access/v1/evaluation", text_of({**least, "resource": {"type": "feature", "id": name}})))[
            1
        ]["decision"]
    ]
    assert [it["id"] for it in found["results"]] == permitted


@settings(max_examples=10)
@given(seed=st.integers(0, 2**32), allowed=st.booleans(), reason=st.sampled_from(Reason))
def test_a_facade_follows_the_check_service_anywhere(seed: int, reason: Reason, *, allowed: bool) -> None:
    """Whatever decision the service is made to give, however absurd, is the one that the protocol shows."""
    service = Service(customer("acme"))
    decide = service.service.decide

    def absurd(view: StateView, check: Check, now: Instant, *, once: bool = False) -> ServedDecision:
        served = decide(view, check, now, once=once)
        return served._replace(decision=replace(served.decision, allowed=allowed, reason=reason))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(service.service, "decide", absurd)
        said = json.loads(_flag(service, f"movies{':allowed' if seed % 2 else ''}"))
        evaluated = json.loads(_evaluation(service))
    assert (evaluated["decision"], evaluated["context"]["reason"]) == (allowed, reason)
    assert (said["metadata"]["allowed"], said["metadata"]["reason"]) == (allowed, reason)
    assert said["value"] == (allowed if seed % 2 else 0 if reason in FIRM else 50)


@pytest.mark.parametrize("reason", [Reason.GRANTED, Reason.RULE_DENIED, Reason.UNKNOWN_SUBJECT])
def test_access_follows_the_check_service_anywhere(reason: Reason) -> None:
    """Also about a resource of the rules' own types: alone, of several, and in a search."""
    schema = "entity page; entity person; action read appliesTo {principal: person, resource: page, context: {}};"
    entities = '[{"uid": {"type": "page", "id": "p"}, "attrs": {}, "parents": []}]'
    service = Service(rules=(("r.cedarschema", schema), ("r.entities.json", entities)))
    decide = service.service.access.decide

    def absurd(*asked: Any) -> ServedAccess:  # noqa: ANN401 - as given
        decision = AccessDecision(allowed=reason is Reason.GRANTED, reason=reason)
        return decide(*asked)._replace(decision=decision)

    body: Document = {"subject": {"type": "person", "id": "x"}, "action": {"name": "read"}}
    body["resource"] = {"type": "page", "id": "p"}
    with pytest.MonkeyPatch.context() as patch, service.serve() as where, Connection(where.connect()) as connection:
        patch.setattr(service.service.access, "decide", absurd)
        single = connection.ask(post("/access/v1/evaluation", body)).json()
        several = connection.ask(post("/access/v1/evaluations", {"evaluations": [body]})).json()["evaluations"]
        found = connection.ask(post("/access/v1/search/resource", body)).json()["results"]
    assert (single["decision"], single["context"]["reason"]) == (reason is Reason.GRANTED, reason)
    assert several == [single]
    assert found == ([{"type": "page", "id": "p"}] if reason is Reason.GRANTED else [])


def _flag(service: Service, key: str) -> bytes:
    reply = service.native.ofrep.flags.respond_now(key, b'{"context": {"targetingKey": "acme"}}', NO_CONTEXT)
    assert reply is not None
    return reply.body


def _evaluation(service: Service) -> bytes:
    body = {"subject": {"type": "customer", "id": "acme"}, "action": {"name": "access"}}
    body["resource"] = {"type": "feature", "id": "movies"}
    reply = service.native.authzen.single.respond_now(json.dumps(body).encode(), NO_CONTEXT)
    assert reply is not None
    return reply.body
