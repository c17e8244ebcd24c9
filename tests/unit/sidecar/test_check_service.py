from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.serving import CATALOG, NOW, Service, customer, disabled
from tiergate.errors import BundleError
from tiergate.model import Check, Subject
from tiergate.sidecar import time_slicing
from tiergate.sidecar.api import batches
from tiergate.sidecar.api.batches import BatchAdapter
from tiergate.sidecar.check_service import decision_ids
from tiergate.sidecar.request_context import NO_CONTEXT

if TYPE_CHECKING:
    from collections.abc import Callable

    from tiergate.model import Decision
    from tiergate.sidecar.api.responses import HttpResponse

CHECK = b'{"subject": "acme", "feature": "movies"}'


@pytest.fixture
def service() -> Service:
    """A sidecar's parts, not served."""
    return Service(customer("acme"), caches_at_once=True)


def spy(service: Service, act: Callable[[Check], None]) -> None:
    """Have something done whenever the engine in force decides."""
    assert service.state.current is not None
    engine = service.state.current.engine
    decide, decide_normalized = engine.decide, engine.decide_normalized
    deciding = False

    def spied(check: Check, now: int) -> Decision:
        nonlocal deciding
        act(check)
        deciding = True
        try:
            return decide(check, now)
        finally:
            deciding = False

    def spied_normalized(check: Check, *prepared: Any) -> Decision:  # noqa: ANN401 - as the engine's
        if not deciding:
            act(check)
        return decide_normalized(check, *prepared)

    engine.decide = spied  # type: ignore[method-assign]
    engine.decide_normalized = spied_normalized  # type: ignore[method-assign, assignment]


def counted(service: Service) -> list[Check]:
    """Every check that the engine in force decides from now on."""
    checks: list[Check] = []
    spy(service, checks.append)
    return checks


def test_a_check_is_decided_once(service: Service) -> None:
    """Then it is remembered, for both endpoints."""
    decided = counted(service)
    replies = [service.check(CHECK) for _ in range(3)]
    asyncio.run(service.native.batches.respond(b'{"checks": [%b]}' % CHECK, NO_CONTEXT))

    assert len(decided) == 1
    assert len({reply.body for reply in replies}) == 1
    assert len({reply.decision_id for reply in replies}) == 3


def test_what_is_asked_only_once_is_not_remembered() -> None:
    """A check is remembered when it is asked for the second time."""
    service = Service(customer("acme"), caches_at_once=False)
    decided = counted(service)
    replies = [service.check(CHECK) for _ in range(2)]
    assert len(service.native.decisions.cache) == 1
    replies += [service.check(CHECK) for _ in range(2)]

    assert len(decided) == 2
    assert len({reply.body for reply in replies}) == 1


def test_only_the_same_json_is_the_same_check(service: Service) -> None:
    """Nobody has to read it to know; the engine has a memory of its own for what means the same."""
    decided = counted(service)
    service.check(CHECK)
    service.check(CHECK.replace(b" ", b""))

    assert len(decided) == 2


def test_what_is_not_ready_says_so() -> None:
    """Every endpoint, with a problem."""
    service = Service(ready=False)

    assert service.check(CHECK).status == 503
    assert asyncio.run(service.native.batches.respond(b'{"checks": []}', NO_CONTEXT)).status == 503
    assert asyncio.run(service.native.entitlements.respond(b"subject=acme")).status == 503


def test_data_that_cannot_be_read_is_a_problem(service: Service) -> None:
    """Nobody's mistake who asks; and it is not remembered."""

    def fail(_: Check) -> None:
        raise BundleError("catalog.json", "is torn")

    spy(service, fail)
    replies = [service.check(CHECK) for _ in range(2)]

    assert [(reply.status, json.loads(reply.body)["title"]) for reply in replies] == [(503, "cannot decide")] * 2
    assert b"torn" not in replies[0].body


def test_an_error_in_deciding_is_logged_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    """However often it comes up."""
    rule = '@id("broken") forbid(principal, action, resource) when { context.used + 9223372036854775807 > 0 };'
    rule = rule.replace(
        "forbid(principal, action, resource)", 'forbid(principal, action == Action::"consume", resource)'
    )
    service = Service(customer("acme"), rules=(("broken.cedar", rule),))
    body = b'{"subject": "acme", "feature": "movies", "used": 5}'
    reasons = []
    for passed in (0, 1, 59_999, 60_000):
        service.clock.now = NOW + passed
        reasons.append(json.loads(service.check(body).body)["reason"])

    assert reasons == ["evaluation_error"] * 4
    assert sum("cannot evaluate a check" in message for message in caplog.messages) == 2


BATCH = b'{"checks": [%b]}' % b",".join(
    b'{"subject": "acme", "feature": "movies", "used": %d}' % used for used in range(50)
)


def test_a_batch_that_needs_much_deciding_is_not_answered_at_once(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would hold up the others; nothing is counted then. The next ones are not even begun."""
    monkeypatch.setattr(batches, "_AT_ONCE_NS", 1)
    monkeypatch.setattr(batches, "_FIRST_GUESS_NS", 0)
    adapter = BatchAdapter(service.service, service.native.decisions)
    decided = counted(service)

    assert adapter.respond_now(BATCH, NO_CONTEXT) is None
    assert len(decided) == 1
    adapter._estimate.learn(1, 10**9)
    assert adapter.respond_now(BATCH, NO_CONTEXT) is None
    assert len(decided) == 1
    assert not any(counts.checks_engine for counts in service.metrics.reasons.values())


def test_a_batch_that_is_decided_in_little_time_is_answered_at_once(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As long as it takes no more than a slice."""
    monkeypatch.setattr(batches, "_AT_ONCE_NS", 10**12)
    reply = service.native.batches.respond_now(BATCH, NO_CONTEXT)
    assert reply is not None
    assert reply.body == asyncio.run(service.native.batches.respond(BATCH, NO_CONTEXT)).body


def test_a_batch_that_was_asked_before_is_answered_at_once(service: Service) -> None:
    """It takes microseconds."""
    asyncio.run(service.native.batches.respond(BATCH, NO_CONTEXT))
    decided = counted(service)
    reply = service.native.batches.respond_now(BATCH, NO_CONTEXT)

    assert reply is not None
    assert len(json.loads(reply.body)["results"]) == 50
    assert decided == []


def published_meanwhile(service: Service, monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    """Have new generations come while the engine decides, as soon as it gives way; in each acme has another limit."""
    monkeypatch.setattr(time_slicing, "_SLICE_NS", -1)
    left = times

    def publish() -> None:
        service.publish(customer("acme", "silver"), catalog=CATALOG.replace("movies: 30", LIMITS[left % 2]))
        spy(service, act)

    def act(check: Check) -> None:
        nonlocal left
        if left and check.feature == "movies":
            left -= 1
            asyncio.get_running_loop().call_soon(publish)

    spy(service, act)


LIMITS = ("movies: 20", "movies: 50")


@pytest.mark.parametrize("times", [1, 2, 3, 10])
def test_a_batch_rests_on_one_publication(service: Service, monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    """Also where new ones come while it is decided, as often as they like."""
    published_meanwhile(service, monkeypatch, times)
    reply = asyncio.run(service.native.batches.respond(BATCH, NO_CONTEXT))
    results = json.loads(reply.body)["results"]

    assert len(results) == 50
    assert {result["publication"] for result in results} == {min(times, 3) + 1}
    limit = results[0]["entitlement"]["value"]
    assert limit in {20, 50}
    assert [result["allowed"] for result in results] == [used < limit for used in range(50)]


@pytest.mark.parametrize("times", [1, 2, 3, 10])
def test_a_list_rests_on_one_publication(service: Service, monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    """As a batch does."""
    published_meanwhile(service, monkeypatch, times)
    listing = json.loads(asyncio.run(service.native.entitlements.respond(b"subject=acme")).body)

    assert listing["publication"] == min(times, 3) + 1
    assert len(listing["entitlements"]) == 5


def test_others_have_their_turn_while_a_batch_is_decided(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise a thousand checks would hold up everybody for a tenth of a second."""
    monkeypatch.setattr(time_slicing, "_SLICE_NS", -1)
    turned = 0

    async def other() -> None:
        nonlocal turned
        while True:
            turned += 1
            await asyncio.sleep(0)

    async def main() -> None:
        task = asyncio.create_task(other())
        await service.native.batches.respond(BATCH, NO_CONTEXT)
        task.cancel()

    asyncio.run(main())

    assert turned >= 50


def test_a_list_is_decided_once_until_something_in_it_changes() -> None:
    """By itself, or with the data."""
    service = Service(customer("acme", overrides=(disabled("movies", NOW + 10, NOW + 20),)))
    decided = counted(service)
    seen = []
    for now in (NOW, NOW + 9, NOW + 10, NOW + 19, NOW + 20):
        service.clock.now = now
        reply = asyncio.run(service.native.entitlements.respond(b"subject=acme"))
        seen.append((len(decided), dict(reply.extra)[b"etag"]))

    assert [count for count, _ in seen] == [5, 5, 10, 10, 15]
    assert len({tag for _, tag in seen}) == 3


def test_a_list_with_something_volatile_has_a_steady_tag() -> None:
    """It is decided each time, and its tag changes only when it does."""
    rule = '@id("hours") forbid(principal, action, resource) when { context.now < datetime("2020-01-01") };'
    service = Service(customer("acme"), rules=(("hours.cedar", rule),))
    decided = counted(service)
    tags = set()
    for now in (NOW, NOW + 1, NOW + 100_000):
        service.clock.now = now
        tags.add(dict(asyncio.run(service.native.entitlements.respond(b"subject=acme")).extra)[b"etag"])

    assert len(decided) == 15
    assert len(tags) == 1


def change(service: Service, name: str, plan: str) -> None:
    """Have a customer change its plan, as a feed would say it."""
    service.subjects.records[name] = customer(name, plan)
    service.state.subject_changed(name, [f"sub-{name}"])


def limits(reply: HttpResponse) -> set[object]:
    """What the results of a batch say that is held."""
    return {result["entitlement"]["value"] for result in json.loads(reply.body)["results"]}


def test_a_change_of_one_subject_forgets_only_what_is_remembered_of_it() -> None:
    """The others' answers are still repeated."""
    service = Service(customer("acme"), customer("bob"), caches_at_once=True)
    decided = counted(service)
    bodies = [CHECK, CHECK.replace(b'"acme"', b'{"type": "subscription", "id": "sub-acme", "user": "ann"}'), BOB]
    for body in bodies:
        service.check(body)
    change(service, "acme", "silver")
    replies = [service.check(body) for body in bodies]

    assert len(decided) == 5
    assert [json.loads(reply.body)["entitlement"]["value"] for reply in replies] == [30, 30, 50]


BOB = CHECK.replace(b"acme", b"bob")


def test_a_subject_that_is_created_is_no_longer_unknown() -> None:
    """That nobody knew it was remembered."""
    service = Service(caches_at_once=True)
    reasons = [json.loads(service.check(CHECK).body)["reason"] for _ in range(2)]
    change(service, "acme", "gold")
    reasons.append(json.loads(service.check(CHECK).body)["reason"])

    assert reasons == ["unknown_subject", "unknown_subject", "granted"]


def test_a_list_is_forgotten_when_its_subject_changes() -> None:
    """And no other list is."""
    service = Service(customer("acme"), customer("bob"), caches_at_once=True)
    decided = counted(service)
    for name in ("acme", "bob", "acme", "bob"):
        asyncio.run(service.native.entitlements.respond(b"subject=" + name.encode()))
    change(service, "acme", "silver")
    listed = [asyncio.run(service.native.entitlements.respond(b"subject=" + name.encode())) for name in ("acme", "bob")]

    assert len(decided) == 15
    assert [json.loads(reply.body)["entitlements"][2]["entitlement"]["value"] for reply in listed] == [30, 50]


def test_a_batch_of_what_changed_is_not_answered_at_once(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """To decide all of it again would hold up the others, as the first time."""
    monkeypatch.setattr(batches, "_AT_ONCE_NS", 0)
    asyncio.run(service.native.batches.respond(BATCH, NO_CONTEXT))
    change(service, "acme", "silver")

    assert service.native.batches.respond_now(BATCH, NO_CONTEXT) is None
    assert limits(asyncio.run(service.native.batches.respond(BATCH, NO_CONTEXT))) == {30}


def changed_meanwhile(service: Service, monkeypatch: pytest.MonkeyPatch, name: str, times: int) -> list[Check]:
    """Have a customer change its plan, again and again, while the engine decides."""
    monkeypatch.setattr(time_slicing, "_SLICE_NS", -1)
    decided: list[Check] = []
    left = times

    def act(check: Check) -> None:
        nonlocal left
        decided.append(check)
        if left and check.feature == "movies":
            left -= 1
            asyncio.get_running_loop().call_soon(change, service, name, ("silver", "gold")[left % 2])

    spy(service, act)
    return decided


@pytest.mark.parametrize("times", [1, 2, 3, 10])
def test_a_batch_rests_on_one_edition_of_a_subject(
    service: Service, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    """Also where changes come while it is decided, as often as they like."""
    changed_meanwhile(service, monkeypatch, "acme", times)

    assert len(limits(asyncio.run(service.native.batches.respond(BATCH, NO_CONTEXT)))) == 1


@pytest.mark.parametrize("times", [1, 2, 3, 10])
def test_a_list_rests_on_one_edition_of_its_subject(
    service: Service, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    """What is remembered in the end is right."""
    changed_meanwhile(service, monkeypatch, "acme", times)
    lists = [json.loads(asyncio.run(service.native.entitlements.respond(b"subject=acme")).body) for _ in range(5)]
    held = [{entry["feature"]: entry["entitlement"].get("value") for entry in it["entitlements"]} for it in lists]

    assert all(found in (GOLD, SILVER) for found in held)
    assert held[-1] == (GOLD if service.subjects.records["acme"] == customer("acme") else SILVER)


GOLD = {"analytics": True, "api-limit": 800, "movies": 50, "storage": 10, "support": "phone"}
SILVER = {"analytics": False, "api-limit": 0, "movies": 30, "storage": 0, "support": "chat"}


def test_a_batch_does_not_mind_that_others_change(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hundreds do every second; it would never end."""
    decided = changed_meanwhile(service, monkeypatch, "bob", 1_000)
    asyncio.run(service.native.batches.respond(BATCH, NO_CONTEXT))

    assert len(decided) == 50


def test_answers_about_metered_features_rest_on_usage() -> None:
    """So do all slices of a batch; those about others, and about features that do not exist, on the subject."""
    metered = CATALOG.replace("unit: movies/month,", "unit: movies/month, metered: {reset: never},")
    service = Service(customer("acme"), catalog=metered)
    view, versions = service.state.view, service.state.subject_versions
    assert view.generation is not None
    view.generation.engine.evaluator.has_meter = True
    acme = Subject("acme")
    found = {name: service.service.version_of(view, Check(acme, name)) for name in ("movies", "storage", "none")}

    assert found["storage"] is found["none"] is versions.of(acme)
    assert found["movies"] is versions.of_usage(acme, "movies")
    versions.outdate_usage("acme", (), ["movies"])
    assert [version.is_outdated for version in found.values()] == [True, False, False]


def test_decision_ids_count_from_one_in_ten_hexadecimal_digits() -> None:
    """None is given twice, also where the digits that change least often do."""
    ids = decision_ids(b"abc")
    assert [next(ids) for _ in range(70_000)] == [b"abc%010x" % number for number in range(1, 70_001)]
