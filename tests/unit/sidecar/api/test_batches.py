from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest

from tests.serving import Service, customer
from tiergate.engine import Rechecks, ShapeEvaluator
from tiergate.sidecar import time_slicing
from tiergate.sidecar.api import batches
from tiergate.sidecar.api.batches import CostEstimate
from tiergate.sidecar.request_context import NO_CONTEXT

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def service() -> Service:
    """A sidecar that uses kept answers, and has some."""
    service = Service(customer("acme"), customer("bob", "silver"))
    engine = service.state.view.generation.engine  # type: ignore[union-attr]
    assert isinstance(engine, ShapeEvaluator)
    engine.rechecks = Rechecks(0)
    for used in (0, 30, 50):
        for name in ("acme", "bob"):
            service.check(check(name, used))
    return service


def check(name: str, used: int) -> bytes:
    """A check."""
    return b'{"subject": "%b", "feature": "movies", "used": %d}' % (name.encode(), used)


def batch(count: int, first: int = 100, name: str = "acme") -> bytes:
    """A batch of checks that differ."""
    checks = (check(name, used) for used in range(first, first + count))
    return b'{"checks": [%b, {"subject": 7}, {"subject": "acme", "feature": "none"}]}' % b", ".join(checks)


def never_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have Cedar not be asked from now on."""

    def fail(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr("tiergate.engine.evaluator.Evaluator.ask_cedar", fail)


@pytest.mark.parametrize("at_once", [True, False])
def test_results_have_the_bytes_of_single_checks(
    service: Service, monkeypatch: pytest.MonkeyPatch, *, at_once: bool
) -> None:
    """At once and in time slices, from kept answers."""
    monkeypatch.setattr(time_slicing, "_SLICE_NS", -1)
    monkeypatch.setattr(batches, "_AT_ONCE_NS", 10**12)
    never_asked(monkeypatch)
    adapter = service.native.batches
    reply = adapter.respond_now(batch(5), NO_CONTEXT) if at_once else asyncio.run(adapter.respond(batch(5), NO_CONTEXT))
    assert reply is not None
    alone = [service.check(check("acme", used)).body for used in range(100, 105)]
    assert reply.body.startswith(b'{"results":[%b,' % b",".join(alone))
    assert [it.get("status") for it in json.loads(reply.body)["results"]] == [None] * 5 + [400, 404]


def test_a_subject_that_changes_between_slices_is_decided_again(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All results rest on one edition of it, also where kept answers give them."""
    monkeypatch.setattr(time_slicing, "_SLICE_NS", -1)

    async def main() -> bytes:
        task = asyncio.create_task(service.native.batches.respond(batch(9, 31), NO_CONTEXT))
        for _ in range(4):
            await asyncio.sleep(0)
        service.subjects.records["acme"] = customer("acme", "silver")
        service.state.subject_changed("acme", ["sub-acme"])
        return (await task).body

    results = json.loads(asyncio.run(main()))["results"][:9]
    assert [it["entitlement"]["value"] for it in results] == [30] * 9


def test_what_is_asked_once_is_not_cached(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is asked again is, however the batch was decided."""
    monkeypatch.setattr(batches, "_AT_ONCE_NS", 10**12)
    adapter, cache = service.native.batches, service.native.decisions.cache
    before = len(cache)
    adapter.respond_now(batch(5), NO_CONTEXT)
    asyncio.run(adapter.respond(batch(5, 200), NO_CONTEXT))
    assert len(cache) == before
    adapter.respond_now(batch(5, 200), NO_CONTEXT)
    asyncio.run(adapter.respond(batch(5), NO_CONTEXT))
    assert len(cache) == before + 10


def test_a_batch_that_will_take_long_is_not_begun(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other way would begin it again. Its number of checks decides, without those that are cached."""
    monkeypatch.setattr(batches, "_AT_ONCE_NS", 10_000)
    never_asked(monkeypatch)
    monkeypatch.setattr(service.service, "kept_finder", None)
    assert service.native.batches.respond_now(batch(50), NO_CONTEXT) is None


@pytest.mark.parametrize(
    ("teach", "fits"),
    [
        (lambda _: None, 100),
        (lambda it: [it.learn(100, 100 * 5_000) for _ in range(100)], 400),
        (lambda it: [it.learn(0, 10**9) for _ in range(100)], 100),
        (lambda it: [it.learn(10, 10 * 50_000) for _ in range(100)], 40),
        (lambda it: it.exceeded(0, 10**12), 80),
    ],
)
def test_an_estimate_follows_what_batches_took(teach: Callable[[CostEstimate], object], fits: int) -> None:
    """A single one that took very long changes little."""
    estimate = CostEstimate()
    teach(estimate)
    assert estimate.fits(fits)
    assert not estimate.fits(3 * fits)


def test_a_batch_is_tried_again_after_others_were_not() -> None:
    """What made one slow is not there for ever."""
    estimate = CostEstimate()
    estimate.exceeded(10, 10**9)
    answers = [estimate.fits(150) for _ in range(50)]
    assert (answers[0], answers[-1]) == (False, True)
