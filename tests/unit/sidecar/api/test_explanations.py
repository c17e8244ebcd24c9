"""What `POST /v1/explain` answers, beside what properties say of it (`tests/properties`)."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.serving import NOW, Service, customer, disabled, post
from tests.wire import Connection
from tiergate.bundle import Bundle
from tiergate.errors import BundleError
from tiergate.model import Customer, SubjectRecord, Subscription, SubscriptionItem, SubscriptionStatus, format_instant
from tiergate.sidecar.api.request_limits import Access
from tiergate.sidecar.api.tokens import Tokens
from tiergate.sidecar.request_context import NO_CONTEXT

if TYPE_CHECKING:
    from tests.unit.sidecar.conftest import Ask

MOVIES = {"subject": "acme", "feature": "movies", "used": 50}


def test_the_reasoning_is_told_as_data_and_in_sentences(ask: Ask) -> None:
    """Both from the same decision, which has the members of a check's answer."""
    found = ask(post("/v1/explain", MOVIES)).json()
    decided = ask(post("/v1/check", MOVIES)).json()

    assert found["decision"] == decided
    assert found["sentences"] == [
        (
            "No: on 14 November 2023 at 22:13:20 UTC, customer acme may not take 1 more of movies, because the "
            "limit is reached: 50 are used, and 1 more would pass the limit of 50 movies/month."
        ),
        "The limit is 50 movies/month; the check says that 50 are used, so 0 remain.",
        "Plan gold, version 3, gives 50 movies/month.",
    ]
    assert found["asked"] == {
        "subject": {"type": "customer", "id": "acme"},
        "feature": "movies",
        "type": "quantity",
        "at": format_instant(NOW),
        "unit": "movies/month",
        "amount": 1,
        "used": 50,
        "used_from": "check",
    }
    assert [(it["id"], it["standing"], it["why"]) for it in found["subscriptions"]] == [
        ("sub-acme", "counts", "it is active")
    ]
    assert [policy["id"] for policy in found["policies"] if policy["decided"]] == ["reason/limit-reached"]
    assert found["context"]["limit"] == 50


def test_another_moment_is_explained_by_what_is_known_now(ask: Ask) -> None:
    """What will have ended then has ended, and what checks remember stays."""
    ask.service.publish(customer("acme", overrides=(disabled("movies", NOW + 1_000, NOW + 2_000),)))
    request = {"subject": "acme", "feature": "movies"}
    seen = [
        ask(post("/v1/explain", request | {"at": format_instant(at)})).json()["decision"]["reason"]
        for at in (NOW + 999, NOW + 1_000, NOW + 2_000)
    ]

    assert seen == ["granted", "override_denied", "granted"]
    assert ask(post("/v1/check", request)).json()["reason"] == "granted"


def test_an_explanation_says_what_will_change(ask: Ask) -> None:
    """And when: what a customer asks next."""
    ask.service.publish(customer("acme", overrides=(disabled("movies", NOW, NOW + 60_000),)))
    found = ask(post("/v1/explain", MOVIES)).json()

    assert found["sentences"][-1] == "This may change on 14 November 2023 at 22:14:20 UTC: the override gone ends."
    assert found["changes"] == [{"at": format_instant(NOW + 60_000), "what": "the override gone ends"}]


@pytest.mark.parametrize(
    ("body", "status", "field", "suggestion"),
    [
        ({"subject": "acme", "feature": "moves"}, 404, "/feature", "movies"),
        ({"subject": "acme", "feature": "movies", "amuont": 1}, 400, "/amuont", "amount"),
        ({"subject": "acme", "feature": "movies", "amount": 0}, 400, "/amount", None),
        ({"subject": " a", "feature": "movies", "at": "2026-11-17"}, 400, "/subject", None),
        ({"subject": {"id": "ext:crm:7"}, "feature": "movies", "at": "2026-11-17"}, 400, "/subject/id", None),
        ({"subject": "acme", "feature": "movies", "at": 7}, 400, "/at", None),
        ({"subject": "acme", "feature": "movies", "at": "2026-11-17T14:03:00"}, 400, "/at", None),
        ({"subject": "acme", "feature": "movies", "at": "2026-02-30"}, 400, "/at", None),
        ({"subject": "acme", "feature": "movies", "at": ""}, 400, "/at", None),
    ],
)
def test_a_mistake_is_a_problem_that_names_the_field(
    ask: Ask, body: dict[str, Any], status: int, field: str, suggestion: str | None
) -> None:
    """As with a check."""
    answer = ask(post("/v1/explain", body))

    assert (answer.status, answer.headers["content-type"]) == (status, "application/problem+json")
    assert (answer.json()["field"], answer.json().get("suggestion")) == (field, suggestion)


def test_a_check_does_not_know_another_moment(ask: Ask) -> None:
    """Who acts on an answer acts now."""
    assert ask(post("/v1/check", MOVIES | {"at": "2026-11-17T14:03:00Z"})).json()["field"] == "/at"


def test_it_is_no_decision_given(ask: Ask) -> None:
    """So it has no id, for it stands in no log."""
    assert "tiergate-decision-id" not in ask(post("/v1/explain", MOVIES)).headers


@pytest.mark.parametrize("headers", [{"Content-Type": "text/plain"}, {"Origin": "https://evil.example"}])
def test_a_web_page_does_not_reach_it(ask: Ask, headers: dict[str, str]) -> None:
    """Nor what is not JSON."""
    assert ask(post("/v1/explain", MOVIES, headers=headers)).status in {403, 415}


def test_it_wants_the_token() -> None:
    """Where there is one, as everything does."""
    service = Service(customer("acme"), access=Access(tokens=Tokens(b"s3cret")))
    with service.serve() as where, Connection(where.connect()) as connection:
        refused = connection.ask(post("/v1/explain", MOVIES)).status
        answered = connection.ask(post("/v1/explain", MOVIES, headers={"Authorization": "Bearer s3cret"})).status

    assert (refused, answered) == (401, 200)


def test_nothing_is_explained_before_there_is_anything_to_decide_by() -> None:
    """503, as with a check."""
    with Service(ready=False).serve() as where, Connection(where.connect()) as connection:
        assert connection.ask(post("/v1/explain", MOVIES)).status == 503


def test_what_is_denied_once_stale_is_explained_so() -> None:
    """With what would be held, and whatever instant is asked about: the data is no fresher for it."""
    service = Service(customer("acme"), stale_deny=("movies",))
    service.run(lambda: service.state.set_stale_at(NOW))
    request = {"subject": "acme", "feature": "movies"}
    with service.serve() as where, Connection(where.connect()) as connection:
        decided = connection.ask(post("/v1/check", request)).json()
        found = connection.ask(post("/v1/explain", request)).json()
        before = connection.ask(post("/v1/explain", request | {"at": "2001-01-01"})).json()
        other = connection.ask(post("/v1/explain", {"subject": "acme", "feature": "analytics"})).json()

    assert found["decision"] == decided
    assert (decided["reason"], decided["entitlement"]["value"]) == ("stale_data", 50)
    assert found["sentences"][0].endswith("because the data is too old to decide on movies by.")
    assert before["decision"]["reason"] == "stale_data"
    assert (other["decision"]["reason"], other["decision"]["stale"]) == ("granted", True)


def test_a_moment_to_come_is_not_stale_because_it_comes_later() -> None:
    """Data is as old as it is now."""
    service = Service(customer("acme"), stale_deny=("*",))
    service.run(lambda: service.state.set_stale_at(NOW + 1_000))
    with service.serve() as where, Connection(where.connect()) as connection:
        found = connection.ask(post("/v1/explain", MOVIES | {"at": format_instant(NOW + 10**9), "used": 0})).json()

    assert (found["decision"]["reason"], found["decision"]["stale"]) == ("granted", False)


def test_what_checks_remember_is_left_alone(ask: Ask) -> None:
    """However many moments are asked about."""
    engine = ask.service.state.current.engine.evaluator  # type: ignore[union-attr]
    ask(post("/v1/check", MOVIES))
    known = engine.subjects.cache.hits + engine.subjects.cache.misses, len(ask.service.native.decisions.cache)
    ask(post("/v1/explain", MOVIES | {"at": format_instant(NOW + 5)}))

    assert (engine.subjects.cache.hits + engine.subjects.cache.misses, len(ask.service.native.decisions.cache)) == known


def test_a_generation_that_is_put_away_is_not_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    """What an explanation rests on is read from disk: if that went with its generation, the next one explains."""
    service = Service(customer("acme"))
    read = Bundle.text

    def text(self: Bundle, path: str) -> str:
        if service.published == 1:
            service.publish(customer("acme"))
            raise BundleError(path, "is missing")
        return read(self, path)

    monkeypatch.setattr(Bundle, "text", text)
    reply = asyncio.run(service.native.explanations.respond(json.dumps(MOVIES).encode(), NO_CONTEXT))

    assert (reply.status, json.loads(reply.body)["decision"]["publication"]) == (200, 2)


def test_a_bundle_that_cannot_be_read_is_a_problem_of_the_operator(monkeypatch: pytest.MonkeyPatch) -> None:
    """503, and nothing is made up."""
    service = Service(customer("acme"))

    def text(_: Bundle, path: str) -> str:
        raise BundleError(path, "is missing")

    monkeypatch.setattr(Bundle, "text", text)
    assert asyncio.run(service.native.explanations.respond(json.dumps(MOVIES).encode(), NO_CONTEXT)).status == 503


def test_an_explanation_gives_way_to_what_waits() -> None:
    """That of a customer with thousands of subscriptions takes many turns, and between them others have theirs."""
    held = [
        Subscription(f"s{n}", "acme", SubscriptionStatus.EXPIRED, (SubscriptionItem("gold"),)) for n in range(5_000)
    ]
    service = Service(SubjectRecord(Customer("acme"), tuple(held)), customer("bob"))
    bob = json.dumps(MOVIES | {"subject": "bob"}).encode()
    others = 0

    async def main() -> int:
        nonlocal others
        explaining = asyncio.create_task(service.native.explanations.respond(json.dumps(MOVIES).encode(), NO_CONTEXT))
        while not explaining.done():
            await asyncio.sleep(0)
            others += service.check(bob).status == 200
        return explaining.result().status

    assert asyncio.run(main()) == 200
    assert others > 10
