from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.serving import Service, customer, get, post
from tests.wire import Connection, request
from tiergate.model import Reason
from tiergate.sidecar.api.authzen.evaluations import EvaluationAdapter
from tiergate.sidecar.decision_log import DecisionLog
from tiergate.sidecar.request_context import NO_CONTEXT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.unit.sidecar.conftest import Ask

ACME = {"type": "customer", "id": "acme"}
ACCESS = {"name": "access"}
MOVIES = {"type": "feature", "id": "movies"}
ANALYTICS = {"type": "feature", "id": "analytics"}
CHECKED = {"subject": ACME, "action": ACCESS, "resource": MOVIES}


def evaluation(body: Any, **headers: str) -> bytes:  # noqa: ANN401 - any JSON
    """The bytes of a request for one evaluation."""
    return post("/access/v1/evaluation", body, headers=headers)


def evaluations(body: Any) -> bytes:  # noqa: ANN401 - any JSON
    """The bytes of a request for several."""
    return post("/access/v1/evaluations", body)


@pytest.fixture(scope="module")
def connection() -> Iterator[Connection]:
    """A connection to a sidecar that knows acme (gold) and bob (silver)."""
    with Service(customer("acme"), customer("bob", "silver")).serve() as where, Connection(where.connect()) as opened:
        yield opened


def consuming(**properties: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON
    """An action with properties."""
    return {"name": "consume", "properties": properties}


@pytest.mark.parametrize(
    ("subject", "action", "resource", "context", "reason"),
    [
        (ACME, ACCESS, ANALYTICS, {}, "granted"),
        (ACME, {"name": "use"}, ANALYTICS, {}, "granted"),
        (ACME, consuming(amount=38, used=12), MOVIES, {}, "granted"),
        (ACME, consuming(amount=39), {**MOVIES, "properties": {"used": 12}}, {}, "limit_reached"),
        (ACME, ACCESS, MOVIES, {"used": 50, "time": 7, "level": "x"}, "limit_reached"),
        (ACME, consuming(used=1), MOVIES, {"used": 50}, "granted"),
        (
            ACME,
            {"name": "set", "properties": {"value": 801}},
            {"type": "feature", "id": "api-limit"},
            {},
            "out_of_range",
        ),
        (ACME, {"name": "choose"}, {"type": "feature", "id": "support"}, {"level": "priority-phone"}, "level_too_low"),
        ({"type": "subscription", "id": "sub-bob"}, ACCESS, ANALYTICS, {}, "not_entitled"),
        ({"type": "user", "id": "u1", "properties": {"customer": "acme"}}, ACCESS, MOVIES, {}, "granted"),
        ({"type": "user", "id": "u1", "properties": {"subscription": "sub-bob"}}, ACCESS, MOVIES, {}, "granted"),
        ({"type": "user", "id": "u1"}, ACCESS, MOVIES, {}, "unknown_subject"),
        ({"type": "user", "id": "u1", "properties": {"customer": 7}}, ACCESS, MOVIES, {}, "unknown_subject"),
        ({"type": "customer", "id": "nobody"}, ACCESS, MOVIES, {}, "unknown_subject"),
        ({"type": "robot", "id": "r2"}, ACCESS, MOVIES, {}, "unknown_subject"),
        (ACME, {"name": "use"}, MOVIES, {}, "unknown_action"),
        (ACME, {"name": "fly"}, MOVIES, {}, "unknown_action"),
        (ACME, ACCESS, {"type": "feature", "id": "moves"}, {}, "unknown_resource"),
        (ACME, ACCESS, {"type": "ship", "id": "movies"}, {}, "unknown_resource"),
    ],
)
def test_an_evaluation_says_the_decision(
    connection: Connection, subject: object, action: object, resource: object, context: object, reason: str
) -> None:
    """The action's properties come before the resource's, and these before the context; the rest is ignored."""
    asked = {"subject": subject, "action": action, "resource": resource, "context": context, "futureField": {"a": 1}}
    answer = connection.ask(evaluation(asked))
    said = answer.json()

    assert (answer.status, said["decision"], said["context"]["reason"]) == (200, reason == "granted", reason)


def test_the_context_is_the_native_decision(connection: Connection) -> None:
    """But for `allowed`, which is the decision; without a context in the question, too."""
    native = connection.ask(post("/v1/check", {"subject": "acme", "feature": "movies"})).json()
    said = connection.ask(evaluation(CHECKED)).json()

    assert said == {"decision": native.pop("allowed"), "context": native}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        {"action": ACCESS, "resource": MOVIES},
        {"subject": ACME, "resource": MOVIES},
        {"subject": ACME, "action": ACCESS},
        {**CHECKED, "subject": {"id": "acme"}},
        {**CHECKED, "subject": {"type": "customer"}},
        {**CHECKED, "subject": "acme"},
        {**CHECKED, "action": {}},
        {**CHECKED, "action": {"name": 123}},
        {**CHECKED, "resource": {"type": "feature"}},
        {**CHECKED, "context": 7},
        {**CHECKED, "subject": {**ACME, "properties": []}},
        {**CHECKED, "action": consuming(amount="1")},
        {**CHECKED, "action": consuming(amount=0)},
        b'{"subject": {"type": "customer", "id": "a", "id": "b"}, "action": {"name": "x"}, "resource": {"type": "f"}}',
    ],
)
def test_a_wrong_question_is_400(connection: Connection, body: object) -> None:
    """As a problem."""
    answer = connection.ask(evaluation(body))
    assert (answer.status, answer.headers["content-type"]) == (400, "application/problem+json")


def test_another_media_type_is_400(connection: Connection) -> None:
    """Where our own API has 415."""
    body = json.dumps(CHECKED).encode()
    headers = {"Host": "localhost", "Content-Type": "text/plain", "Content-Length": str(len(body))}
    assert connection.ask(request("POST", "/access/v1/evaluation", headers, body)).status == 400


def test_the_request_id_is_echoed(connection: Connection) -> None:
    """On success and on failure."""
    for body in (CHECKED, {}):
        answer = connection.ask(evaluation(body, **{"X-Request-ID": "bfe9eb29-ab87"}))
        assert answer.headers["x-request-id"] == "bfe9eb29-ab87"


def test_every_way_answers_the_same(ask: Ask) -> None:
    """Below ASGI, from the cache and in full; a repeat is a decision of its own."""
    assert ask(evaluation(CHECKED)).json()["decision"] is True
    repeats = ask.service.metrics.facades["authzen"]
    assert (sum(counts.check_repeat for counts in repeats.values()) > 0) == (ask.way in {"repeated", "unix"})
    ask.service.publish(customer("acme", "silver"))
    assert ask(evaluation({**CHECKED, "resource": ANALYTICS})).json()["decision"] is False


# ── several ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def decisions(connection: Connection, body: Any) -> list[bool]:  # noqa: ANN401 - any JSON
    """What is decided."""
    answer = connection.ask(evaluations(body))
    assert answer.status == 200, answer.body
    return [it["decision"] for it in answer.json()["evaluations"]]


def test_defaults_are_replaced_as_a_whole(connection: Connection) -> None:
    """A member that an evaluation has hides all of the default, its properties too."""
    over = {**MOVIES, "properties": {"used": 50}}
    listed = [{}, {"resource": MOVIES}, {"subject": {"type": "customer", "id": "nobody"}}, {"context": {"used": 50}}]
    assert decisions(connection, {**CHECKED, "resource": over, "evaluations": listed}) == [False, True, False, False]


@pytest.mark.parametrize(
    ("semantic", "expected"),
    [
        (None, [True, False, True, False]),
        ("execute_all", [True, False, True, False]),
        ("deny_on_first_deny", [True, False]),
        ("permit_on_first_permit", [True]),
    ],
)
def test_the_semantic_says_where_to_stop(connection: Connection, semantic: str | None, expected: list[bool]) -> None:
    """What stops is the last result; an evaluation that is wrong counts as a denial."""
    listed = [{"resource": MOVIES}, {}, {"resource": ANALYTICS}, {"resource": {"type": "x", "id": "y"}}]
    options = {} if semantic is None else {"options": {"evaluations_semantic": semantic, "other": 1}}
    assert decisions(connection, {"subject": ACME, "action": ACCESS, "evaluations": listed, **options}) == expected


def test_what_is_wrong_is_told_in_its_place(connection: Connection) -> None:
    """With a status and a message; the others are decided."""
    listed = [{"resource": MOVIES}, {}, 7, {"resource": MOVIES, "action": consuming(amount=-1)}]
    answer = connection.ask(evaluations({"subject": ACME, "action": ACCESS, "evaluations": listed}))
    found = answer.json()["evaluations"]

    assert [it["decision"] for it in found] == [True, False, False, False]
    assert [it["context"].get("error", {}).get("status") for it in found] == [None, 400, 400, 400]


@pytest.mark.parametrize("listed", [None, []])
def test_without_evaluations_it_is_one(connection: Connection, listed: object) -> None:
    """The response is that of a single evaluation."""
    single = connection.ask(evaluation(CHECKED)).json()
    assert connection.ask(evaluations({**CHECKED, "evaluations": listed})).json() == single


@pytest.mark.parametrize(
    "wrong",
    [
        {"evaluations": {}},
        {"evaluations": [{}] * 1001},
        {"evaluations": [{}], "options": {"evaluations_semantic": "any"}},
        {"evaluations": [{}], "options": []},
        {"evaluations": [{}], "subject": "acme"},
    ],
)
def test_what_is_wrong_for_all_is_400(connection: Connection, wrong: dict[str, Any]) -> None:
    """The request as a whole."""
    assert connection.ask(evaluations({**CHECKED, **wrong})).status == 400


def test_each_decision_is_logged(tmp_path: Path) -> None:
    """As a check of our own API, under the response's id with its place; a refusal is no decision."""
    log = DecisionLog(str(tmp_path / "log"))
    log.start()
    with Service(customer("acme"), log=log).serve() as where, Connection(where.connect()) as connection:
        one = connection.ask(evaluation({**CHECKED, "action": consuming(amount=3, used=12)}))
        two = connection.ask(evaluations({**CHECKED, "evaluations": [{}, {"resource": {"type": "x", "id": "y"}}, {}]}))
    log.close()
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    batch = two.headers["tiergate-decision-id"]

    assert [it["id"] for it in lines] == [one.headers["tiergate-decision-id"], f"{batch}.0", f"{batch}.2"]
    assert lines[0]["request"] == {"subject": "acme", "feature": "movies", "amount": 3, "used": 12}


# ── discovery ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_metadata_names_where_it_was_asked(connection: Connection) -> None:
    """Without a setting, the host of the request."""
    answer = connection.ask(get("/.well-known/authzen-configuration"))
    said = answer.json()

    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    assert said.pop("policy_decision_point") == "http://localhost:8437"
    assert said == {
        "access_evaluation_endpoint": "http://localhost:8437/access/v1/evaluation",
        "access_evaluations_endpoint": "http://localhost:8437/access/v1/evaluations",
        "search_subject_endpoint": "http://localhost:8437/access/v1/search/subject",
        "search_resource_endpoint": "http://localhost:8437/access/v1/search/resource",
        "search_action_endpoint": "http://localhost:8437/access/v1/search/action",
    }


# ── actions and resources of the rules' own ──────────────────────────────────────────────────────────────────────────

REPORTS = (
    (
        "r.cedarschema",
        (
            "entity report { draft?: Bool };\n"
            "action export appliesTo { principal: [Customer, User], resource: report, context: {} };"
        ),
    ),
    (
        "r.cedar",
        (
            '@id("gold") permit(principal in Item::"plan/gold", action == Action::"export", resource)'
            ' when { principal.customer != "x" && !(resource has draft && resource.draft) };'
        ),
    ),
)


def exporting(subject: object, **properties: object) -> dict[str, Any]:
    """The question whether a report may be exported."""
    return {
        "subject": subject,
        "action": {"name": "export"},
        "resource": {"type": "report", "id": "r1", "properties": properties},
    }


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (exporting(ACME), "granted"),
        (exporting(ACME, draft=True), "not_entitled"),
        (exporting({"type": "customer", "id": "bob"}), "not_entitled"),
        (exporting({"type": "user", "id": "u", "properties": {"customer": "acme"}}), "granted"),
        (exporting({"type": "user", "id": "u"}), "unknown_subject"),
        (exporting({"type": "subscription", "id": "sub-acme"}), "not_entitled"),
        (exporting({"type": "customer", "id": "nobody"}), "unknown_subject"),
        ({**exporting(ACME), "action": {"name": "access"}}, "unknown_action"),
        ({**exporting(ACME), "resource": MOVIES}, "unknown_action"),
        ({**exporting(ACME), "resource": {"type": "Report", "id": "r1"}}, "unknown_resource"),
    ],
)
def test_rules_decide_on_resources_of_their_own(body: dict[str, Any], reason: str) -> None:
    """For our subjects, by their items; alone and of several."""
    service = Service(customer("acme"), customer("bob", "silver"), rules=REPORTS)
    with service.serve() as where, Connection(where.connect()) as connection:
        single = connection.ask(evaluation(body)).json()
        several = connection.ask(evaluations({"evaluations": [body]})).json()["evaluations"]

    assert (single["decision"], single["context"]["reason"]) == (reason == "granted", reason)
    assert several == [single]


def test_a_rule_that_fails_is_counted_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Once a minute for each action, and without what the caller sent, which is in Cedar's text."""
    service = Service(customer("acme"), rules=REPORTS)
    adapter = EvaluationAdapter(service.service, 0)
    for minutes in (0, 0, 1):
        service.clock.now += minutes * 60_000
        for draft in ("SECRET", ["SECRET"]):
            reply = adapter.respond_now(json.dumps(exporting(ACME, draft=draft)).encode(), NO_CONTEXT)
            assert reply is not None
            assert json.loads(reply.body)["context"]["reason"] == "evaluation_error"

    assert service.metrics.facades["authzen"][Reason.EVALUATION_ERROR].check_engine == 6
    assert ["`export`" in it for it in caplog.messages] == [True, True]
    assert "SECRET" not in caplog.text


def test_access_follows_the_subject() -> None:
    """A response is repeated until the customer changes."""
    service = Service(customer("acme"), rules=REPORTS)
    with service.serve() as where, Connection(where.connect()) as connection:
        before = [connection.ask(evaluation(exporting(ACME))).json()["decision"] for _ in range(4)]

        def change() -> None:
            service.subjects.records["acme"] = customer("acme", "silver")
            service.state.subject_changed("acme", ["sub-acme"])

        service.run(change)
        after = connection.ask(evaluation(exporting(ACME))).json()["decision"]

    assert (before, after) == ([True] * 4, False)
    assert sum(it.check_repeat for it in service.metrics.facades["authzen"].values()) > 0


def test_before_any_data_evaluations_are_the_operators_choice() -> None:
    """After the startup deadline, and stale; other resources are unknown."""
    service = Service(ready=False, startup_allow=("movies",))
    service.state.serve_unloaded()
    with service.serve() as where, Connection(where.connect()) as connection:
        allowed, denied = (connection.ask(evaluation({**CHECKED, "resource": it})).json() for it in (MOVIES, ANALYTICS))
        other = connection.ask(evaluation(exporting(ACME))).json()
        found = connection.ask(post("/access/v1/search/resource", CHECKED)).json()["results"]

    assert (allowed["decision"], allowed["context"]["stale"]) == (True, True)
    assert (denied["decision"], denied["context"]["reason"]) == (False, "stale_data")
    assert (other["decision"], other["context"]["reason"]) == (False, "unknown_resource")
    assert found == []
