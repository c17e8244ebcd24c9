"""Invariant 3 where subjects change one by one: what a sidecar remembers never shows in what it answers."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.example_counts import part_of_examples
from tests.properties.documents import CUSTOMER_IDS, Document, subjects, worlds
from tests.properties.engines import Subjects, World, check_of, text_of
from tests.properties.inquiries import Inquirer
from tests.properties.rules import rule_files
from tests.serving import Clock, post
from tiergate.engine import CacheLimits, EngineOptions, Evaluator, decide_all_features, decision_json
from tiergate.model import FOREVER, Decision, Subject, SubjectRecord
from tiergate.sidecar.api.app import NativeApi
from tiergate.sidecar.check_service import CheckService
from tiergate.sidecar.fast_path import FastPath
from tiergate.sidecar.metrics import Metrics
from tiergate.sidecar.request_context import NO_CONTEXT
from tiergate.sidecar.state import Generation, State

if TYPE_CHECKING:
    from collections.abc import Iterator

TIGHT = CacheLimits(subjects=2, subject_bytes=20_000, slices=2, slice_bytes=400_000, decisions=3, decision_bytes=30_000)
NOTHING = CacheLimits(subjects=0, subject_bytes=0, slices=0, slice_bytes=0, decisions=0, decision_bytes=0)
NO_DEFAULTS: list[tuple[bytes, bytes]] = []


class Sidecar:
    """All of a sidecar that remembers, and an engine beside it that does not."""

    def __init__(self, world: World, limits: CacheLimits | None, cache_bytes: int, denied: str) -> None:
        self.clock = Clock()
        self.state = State(self.clock)
        self.limits = limits
        self.denied = denied
        service = CheckService(self.state, Metrics(), stale_deny=[denied])
        self.native = NativeApi(service, cache_bytes)
        self.quick = FastPath(service, "test", cache_bytes=cache_bytes)
        self.quick.learn(post("/v1/check", b""), self.native.checks.respond_now)
        self.subjects = Subjects(world.records)
        self.number = 0
        self.publish(world)

    def publish(self, world: World) -> None:
        """Put a bundle in force; the subjects stay as they are."""
        self.number += 1
        engine = EngineOptions(self.limits or CacheLimits()).build(world.bundle, self.subjects, self.number)
        self.forgetful = Evaluator(world.bundle, self.subjects, publication=self.number, limits=NOTHING)
        self.state.install(Generation(self.number, engine, self.number, world.bundle.revision, 0))

    def change(self, customer: str, record: SubjectRecord | None) -> None:
        """Write a customer anew, or delete it, as a change feed does: what it now has, nobody else has any more."""
        records = self.subjects.records
        taken = set() if record is None else {it.id for it in record.subscriptions}
        for other, held in list(records.items()):
            kept = tuple(it for it in held.subscriptions if it.id not in taken)
            if other != customer and len(kept) < len(held.subscriptions):
                self._write(other, msgspec.structs.replace(held, subscriptions=kept))
        self._write(customer, record)

    def _write(self, customer: str, record: SubjectRecord | None) -> None:
        before = self.subjects.records.pop(customer, None)
        if record is not None:
            self.subjects.records[customer] = record
        both = {it.id for known in (before, record) if known is not None for it in known.subscriptions}
        self.state.subject_changed(customer, both)

    def fresh(self, check: Document) -> Document:
        """What is right to answer now."""
        return self.answered(self.forgetful.evaluate(check_of(check), self.clock()).decision)

    def answered(self, decision: Decision) -> Document:
        """A decision as it is answered now, but for how long it holds."""
        found: Document = json.loads(decision_json(decision))
        if self.clock() >= self.state.stale_at:
            found["stale"] = True
            if found["feature"] == self.denied and found["reason"] not in {"unknown_subject", "evaluation_error"}:
                found |= {"allowed": False, "reason": "stale_data", "policies": []}
        return without_end(found)

    def check(self, check: Document) -> Document:
        """Ask one check, the quickest way there is."""
        raw = self.quick.answer(post("/v1/check", text_of(check)), NO_DEFAULTS)
        assert isinstance(raw, bytes)
        answer: Document = json.loads(raw.partition(b"\r\n\r\n")[2])
        return without_end(answer)

    async def batch(self, checks: list[Document]) -> list[Document]:
        """Ask a batch: at once where little needs deciding, else in turns."""
        body = text_of({"checks": checks})
        reply = self.native.batches.respond_now(body, NO_CONTEXT) or await self.native.batches.respond(body, NO_CONTEXT)
        return [without_end(result) for result in json.loads(reply.body)["results"]]

    async def listing(self, subject: Subject) -> dict[str, Any]:
        """List a subject's entitlements: allowed, reason and what is held, by feature."""
        query = {"subject": subject.id, "type": subject.type} | ({} if subject.user is None else {"user": subject.user})
        reply = await self.native.entitlements.respond(urlencode(query).encode())
        return {it["feature"]: judged(it) for it in json.loads(reply.body)["entitlements"]}

    def fresh_listing(self, subject: Subject) -> dict[str, Any]:
        """What is right to list now."""
        found = (self.answered(decision) for decision in decide_all_features(self.forgetful, subject, self.clock()))
        return {it["feature"]: judged(it) for it in found}


def without_end(answer: Document) -> Document:
    """An answer without the end of its validity, which may be any before something changes."""
    return {key: value for key, value in answer.items() if key != "valid_until"}


def judged(answer: Document) -> Document:
    """What a list says of a feature."""
    return {key: answer[key] for key in ("allowed", "reason", "entitlement", "sources")}


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.Runner]:
    """One event loop for all examples."""
    with asyncio.Runner() as runner:
        yield runner


@settings(max_examples=part_of_examples(5))
@given(drawn=worlds(), data=st.data(), seed=st.integers(0, 2**32))
def test_a_sidecar_answers_as_one_that_remembers_nothing(
    loop: asyncio.Runner, drawn: tuple[Document, Document], data: st.DataObject, seed: int
) -> None:
    """Through changes of single subjects, moves between customers, deletions, publications, staleness and time."""
    catalog, first = drawn
    second = data.draw(subjects(catalog), label="changed subjects")
    plain, ruled = World(catalog, first), World(catalog, second, data.draw(rule_files(catalog, first), label="rules"))
    limits = data.draw(st.sampled_from([None, TIGHT]), label="limits")
    inquirers = [Inquirer(catalog, known, seed) for known in (first, second)]
    cache_bytes = data.draw(st.sampled_from([2**20, 12_000]), label="memo")
    sidecar = Sidecar(plain, limits, cache_bytes, inquirers[0].features[0])
    checks = [ask for inquirer in inquirers for _, ask in inquirer.asks(nows=1, checks=4)]
    random = inquirers[0].random

    async def ask() -> None:
        check = random.choice(checks)
        match random.choice(["check", "check", "check", "batch", "listing"]):
            case "check":
                assert sidecar.check(check) == sidecar.fresh(check)
            case "batch":
                asked = random.choices(checks, k=random.choice([2, 12]))
                assert await sidecar.batch(asked) == [sidecar.fresh(it) for it in asked]
            case _:
                subject = check_of(check).subject
                assert await sidecar.listing(subject) == sidecar.fresh_listing(subject)

    async def live() -> None:
        for _ in range(20):
            match random.choice(["change"] * 6 + ["publish", "time", "stale"]):
                case "change":
                    customer = random.choice(CUSTOMER_IDS)
                    sidecar.change(
                        customer, random.choice([None, plain.records.get(customer), ruled.records.get(customer)])
                    )
                case "publish":
                    sidecar.publish(random.choice([plain, ruled]))
                case "time":
                    sidecar.clock.now = random.choice(inquirers).now()
                case _:
                    sidecar.state.set_stale_at(random.choice([FOREVER, *[it.now() for it in inquirers]]))
            for _ in range(3):
                await ask()

    loop.run(live())
