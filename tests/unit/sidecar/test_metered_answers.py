"""Answers about metered features are kept like all others: until usage moves, or its window ends."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from tests.serving import NOW, Service, Subjects, bundle, customer, post
from tests.unit.sidecar.test_fast_path import repeated
from tiergate.engine import Evaluator, ShapeEvaluator
from tiergate.model import Feature, Instant, MeteredUsage, Subject
from tiergate.sidecar.state import Generation

CATALOG = """
apiVersion: tiergate/v1
features:
  - {id: movies, type: quantity, metered: {reset: month}}
  - {id: calls, type: quantity, metered: {reset: month}}
  - {id: credits, type: quantity, metered: {reset: month}}
  - {id: images, type: quantity, metered: {reset: month}, draws: {from: credits, cost: 2}}
  - {id: seats, type: quantity}
items:
  - {id: gold, kind: plan, entitlements: {movies: 50, calls: 100, credits: 10, images: unlimited, seats: 5}}
"""
MOVIES = post("/v1/check", {"subject": "acme", "feature": "movies"})
SEATS = post("/v1/check", {"subject": "acme", "feature": "seats"})


class Meter:
    """Usage by feature, the same for everybody; counts how often it is read."""

    def __init__(self) -> None:
        self.used = dict.fromkeys(("movies", "calls", "credits", "images"), 0)
        self.end = NOW + 1_000
        self.reads = 0

    def usage_of(self, subject: Subject, feature: Feature, now: Instant) -> MeteredUsage:  # noqa: ARG002
        """As `UsageSource`."""
        self.reads += 1
        drawn = None if feature.draws is None else MeteredUsage(self.used[feature.draws.source])
        return MeteredUsage(self.used[feature.id], window_end=self.end, drawn=drawn)


def metered() -> tuple[Service, Meter]:
    """A sidecar that meters."""
    service, meter = Service(customer("acme"), catalog=CATALOG, caches_at_once=True), Meter()
    compiled = bundle(CATALOG)
    engine = ShapeEvaluator(Evaluator(compiled, Subjects(customer("acme")), usage=meter))
    service.state.install(Generation(9, engine, 2, compiled.revision, NOW))
    return service, meter


def answer(service: Service, feature: str, **fields: object) -> dict[str, Any]:
    """The answer to a check by acme."""
    body = json.dumps({"subject": "acme", "feature": feature, **fields}).encode()
    found: dict[str, Any] = json.loads(service.check(body).body)
    return found


def entitlements(service: Service) -> tuple[bytes, dict[str, Any]]:
    """The entity tag of acme's list, and its entries by feature."""
    reply = asyncio.run(service.native.entitlements.respond(b"subject=acme"))
    return dict(reply.extra)[b"etag"], {it["feature"]: it for it in json.loads(reply.body)["entitlements"]}


def test_a_repeat_of_a_metered_feature_reads_no_usage() -> None:
    """It is as much of a repeat as that of any other feature."""
    service, meter = metered()
    service.quick.learn(MOVIES, service.native.checks.respond_now)
    service.quick.learn(SEATS, service.native.checks.respond_now)

    assert (repeated(service, MOVIES), repeated(service, SEATS)) == (1, 1)
    before = meter.reads
    assert (repeated(service, MOVIES), repeated(service, SEATS)) == (3, 3)
    assert meter.reads == before


def test_usage_that_moves_ends_the_answers_that_rest_on_it_alone() -> None:
    """Of the feature, and not of another one of the same customer."""
    service, meter = metered()
    before = [answer(service, name)["entitlement"]["used"] for name in ("movies", "calls")]
    meter.used |= {"movies": 7, "calls": 8}
    service.state.usage_changed("acme", [], ["movies"])
    reads = meter.reads
    after = [answer(service, name)["entitlement"]["used"] for name in ("movies", "calls")]

    assert (before, after) == ([0, 0], [7, 0])  # nobody said that calls have moved
    assert meter.reads > reads


def test_usage_of_a_source_ends_the_answers_of_what_draws_on_it() -> None:
    """Whoever announces it need not know what draws."""
    service, meter = metered()
    before = answer(service, "images", amount=5)["reason"]
    meter.used["credits"] = 1
    service.state.usage_changed("acme", [], ["credits"])

    assert (before, answer(service, "images", amount=5)["reason"]) == ("granted", "limit_reached")


def test_an_answer_ends_with_its_window() -> None:
    """Though nothing moved; the answer says when."""
    service, meter = metered()
    first = answer(service, "movies")
    meter.used["movies"], meter.end = 0, NOW + 5_000
    service.clock.now = NOW + 1_000
    later = answer(service, "movies")

    assert first["resets_at"] == first["valid_until"] == "2023-11-14T22:13:21.000Z"
    assert later["resets_at"] == "2023-11-14T22:13:25.000Z"


def test_a_list_is_kept_until_some_usage_moves() -> None:
    """Its tag then differs, and it shows what is above a limit without any amount."""
    service, meter = metered()
    tag, _ = entitlements(service)
    reads = meter.reads
    again, _ = entitlements(service)
    assert (again, meter.reads) == (tag, reads)

    meter.used["calls"] = 103
    service.state.usage_changed("acme", [], ["calls"])
    moved, found = entitlements(service)

    assert moved != tag
    assert found["calls"]["entitlement"] == {
        "value": 100,
        "unlimited": False,
        "used": 103,
        "remaining": 0,
        "overage": 3,
    }
    assert (found["calls"]["resets_at"], "resets_at" in found["seats"]) == ("2023-11-14T22:13:21.000Z", False)


def test_a_change_of_the_subject_ends_metered_answers_too() -> None:
    """They rest on its data as well."""
    service, meter = metered()
    answer(service, "movies")
    reads = meter.reads
    service.state.subject_changed("acme", ["sub-acme"])
    answer(service, "movies")

    assert meter.reads > reads
