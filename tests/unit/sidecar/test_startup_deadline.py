"""What is answered before anything was loaded, once the startup deadline has passed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft202012Validator

from tests.serving import CATALOG, Service, customer, get, post
from tests.wire import Connection
from tiergate.client.answers import read_answer, read_explanation, read_json
from tiergate.model import Reason
from tiergate.sidecar.api.openapi import description
from tiergate.sidecar.decision_log import DecisionLog

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DENIED = {
    "allowed": False,
    "reason": "stale_data",
    "feature": "movies",
    "entitlement": {},
    "sources": [],
    "policies": [],
    "publication": 0,
    "revision": "",
    "stale": True,
}
ALLOWED = {**DENIED, "allowed": True, "reason": "granted", "feature": "analytics"}
MOVIES: dict[str, Any] = {"subject": "acme", "feature": "movies"}
ANALYTICS: dict[str, Any] = {"subject": "acme", "feature": "analytics"}


def conforms(schema: str, value: object) -> None:
    """See that a value is what a schema of the API's document says."""
    whole = {"$ref": f"#/components/schemas/{schema}", "components": description()["components"]}
    Draft202012Validator(whole).validate(value)


def unloaded(*allow: str, log: DecisionLog | None = None) -> Service:
    """A sidecar without data whose startup deadline has passed."""
    service = Service(ready=False, startup_allow=allow, log=log)
    service.state.serve_unloaded()
    return service


@pytest.fixture(scope="module")
def connection() -> Iterator[Connection]:
    """A connection to such a sidecar, which allows `analytics`."""
    with unloaded("analytics").serve() as where, Connection(where.connect()) as opened:
        yield opened


def test_before_the_deadline_there_is_no_answer() -> None:
    """Whoever asks is told to come back, as without any deadline."""
    with Service(ready=False, startup_allow=("*",)).serve() as where, Connection(where.connect()) as opened:
        answer = opened.ask(post("/v1/check", MOVIES))

    assert (answer.status, answer.json()["type"]) == (503, "urn:tiergate:problem:not-ready")


@pytest.mark.parametrize(
    "body",
    [
        MOVIES,
        {**MOVIES, "amount": 1.5, "used": 10**15, "user_used": 0},
        {**MOVIES, "value": 0.000001},
        {**MOVIES, "level": "any"},
        {**MOVIES, "subject": {"type": "subscription", "id": "sub-acme", "user": "u1"}},
    ],
)
def test_a_well_formed_check_is_denied(connection: Connection, body: dict[str, Any]) -> None:
    """By a whole decision, whatever its feature may turn out to be."""
    answer = connection.ask(post("/v1/check", body))

    assert (answer.status, answer.json()) == (200, DENIED)
    assert len(answer.headers["tiergate-decision-id"]) == 20
    conforms("Decision", answer.json())


def test_what_the_operator_chose_is_allowed(connection: Connection) -> None:
    """As granted, so that who goes by the reason and who goes by `allowed` agree; it says stale."""
    answer = connection.ask(post("/v1/check", ANALYTICS)).json()

    assert answer == ALLOWED
    conforms("Decision", answer)


def test_everything_can_be_allowed() -> None:
    """By `*`, in spite of the quick path too."""
    service = unloaded("*")
    with service.serve() as where, Connection(where.connect()) as opened:
        answers = [opened.ask(post("/v1/check", MOVIES)).json()["allowed"] for _ in range(4)]

    assert answers == [True] * 4


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ({"subject": "acme"}, 400, "/feature"),
        ({**MOVIES, "amuont": 1}, 400, "/amuont"),
        ({**MOVIES, "amount": 0}, 400, "/amount"),
        ({**MOVIES, "amount": -1}, 400, "/amount"),
        ({**MOVIES, "used": 0.0000001}, 400, "/used"),
        ({**MOVIES, "used": 10**19}, 400, "/used"),
        ({**MOVIES, "value": 1234567890.1234567}, 400, "/value"),
        ({**MOVIES, "amount": 1, "value": 1}, 400, "/value"),
        ({**MOVIES, "user_used": 1, "level": "chat"}, 400, "/level"),
        ({"subject": " a", "feature": "movies"}, 400, "/subject"),
        ({"subject": {"id": "acme", "user": "u\t1"}, "feature": "movies"}, 400, "/subject/user"),
        ({"subject": "acme", "feature": "no feature"}, 404, "/feature"),
    ],
)
def test_a_malformed_question_stays_a_mistake(
    connection: Connection, body: dict[str, Any], status: int, field: str
) -> None:
    """With data and without: no catalog could answer it."""
    answer = connection.ask(post("/v1/check", body))
    with_data = Service(customer("acme"))
    with with_data.serve() as where, Connection(where.connect()) as opened:
        assert opened.ask(post("/v1/check", body)).status == status

    assert (answer.status, answer.json()["field"]) == (status, field)
    assert connection.ask(post("/v1/explain", body)).status == status
    batch = connection.ask(post("/v1/checks", {"checks": [body]})).json()
    assert batch["results"][0]["status"] == status


def test_no_number_is_refused_that_a_feature_takes() -> None:
    """The largest and the finest of each scale are questions without data as well."""
    features = "\n".join(f"  - {{id: f{scale}, type: quantity, scale: {scale}}}" for scale in range(7))
    catalog = CATALOG.replace("items:", features + "\nitems:", 1)
    with_data = Service(customer("acme"), catalog=catalog)
    with (
        with_data.serve() as one,
        unloaded().serve() as other,
        Connection(one.connect()) as knowing,
        Connection(other.connect()) as unknowing,
    ):
        for scale in range(7):
            for used in (f"{10 ** (18 - scale)}", f"{10 ** (14 - scale)}.{'1' * scale}" if scale else "1.0", "0"):
                request = post("/v1/check", f'{{"subject": "acme", "feature": "f{scale}", "used": {used}}}')
                assert (knowing.ask(request).status, unknowing.ask(request).status) == (200, 200), used


def test_a_batch_holds_decisions_and_problems(connection: Connection) -> None:
    """Each result by itself, in order."""
    body = {"checks": [ANALYTICS, MOVIES, {**MOVIES, "amount": -1}]}
    for _ in range(3):
        answer = connection.ask(post("/v1/checks", body)).json()
        assert answer["results"][:2] == [ALLOWED, DENIED]
        assert answer["results"][2]["field"] == "/checks/2/amount"
        conforms("Results", answer)


def test_a_large_batch_is_answered(connection: Connection) -> None:
    """Up to as many checks as ever, and more are refused."""
    answer = connection.ask(post("/v1/checks", {"checks": [MOVIES] * 1_000})).json()

    assert answer["results"] == [DENIED] * 1_000
    assert connection.ask(post("/v1/checks", {"checks": [MOVIES] * 1_001})).status == 400


def test_the_list_holds_what_is_allowed_by_its_id(connection: Connection) -> None:
    """No other feature is known; and the list says that it is stale and of no publication."""
    answer = connection.ask(get("/v1/entitlements?subject=acme&user=u1"))

    assert answer.json() == {
        "subject": {"type": "customer", "id": "acme", "user": "u1"},
        "entitlements": [
            {"feature": "analytics", "allowed": True, "reason": "granted", "entitlement": {}, "sources": []},
        ],
        "publication": 0,
        "revision": "",
        "stale": True,
    }
    conforms("Entitlements", answer.json())
    again = connection.ask(
        get("/v1/entitlements?subject=acme&user=u1", headers={"If-None-Match": answer.headers["etag"]})
    )
    assert again.status == 304
    assert connection.ask(get("/v1/entitlements?subject=%20a")).json()["field"] == "subject"


def test_the_list_of_a_subject_that_cannot_be_is_a_mistake_though_it_is_empty() -> None:
    """As with data."""
    with unloaded().serve() as where, Connection(where.connect()) as opened:
        assert opened.ask(get("/v1/entitlements?subject=acme")).json()["entitlements"] == []
        assert opened.ask(get("/v1/entitlements?subject=%20a")).json()["field"] == "subject"
        assert opened.ask(get("/v1/entitlements?subject=acme&user=%20a")).json()["field"] == "user"


@pytest.mark.parametrize(
    ("body", "first"),
    [
        (
            {**MOVIES, "amount": 1.5, "at": "2026-11-17T14:03:00Z"},
            "No: customer acme may not use movies, because there is no data yet to decide by.",
        ),
        (
            {"subject": {"id": "acme", "user": "ann"}, "feature": "analytics"},
            "Yes: user ann of customer acme may use analytics, because the operator allows it while there is no data.",
        ),
    ],
)
def test_an_explanation_says_that_there_is_no_data(connection: Connection, body: dict[str, Any], first: str) -> None:
    """In the form of any explanation, with the decision as a check has it."""
    answer = connection.ask(post("/v1/explain", body))
    explained = answer.json()

    assert answer.status == 200
    conforms("Explanation", explained)
    assert explained["sentences"][0] == first
    assert explained["decision"] == (DENIED if body["feature"] == "movies" else ALLOWED)
    assert explained["asked"].get("amount") == body.get("amount")
    assert read_explanation(explained).answer == read_answer(explained["decision"])


def test_the_client_reads_such_answers(connection: Connection) -> None:
    """Without a type, and falsy where it is denied."""
    answer = read_answer(read_json(connection.ask(post("/v1/check", MOVIES)).body))

    assert (bool(answer), answer.reason, answer.type, answer.publication, answer.stale) == (
        *(False, Reason.STALE_DATA, ""),
        *(0, True),
    )


def test_nothing_of_it_is_remembered() -> None:
    """The first check after the data came is decided by it, on the same connection and with the same bytes."""
    service = unloaded("movies")
    with service.serve() as where, Connection(where.connect()) as opened:
        requests = [
            post("/v1/check", {**MOVIES, "used": 50}),
            post("/v1/checks", {"checks": [{**MOVIES, "used": 50}]}),
            get("/v1/entitlements?subject=acme"),
        ]
        before = [opened.ask(request).json() for request in requests for _ in range(3)]
        assert (
            len(service.native.decisions.cache),
            len(service.quick.repeats),
            len(service.native.entitlements.cache),
        ) == (
            0,
            0,
            0,
        )
        service.publish(customer("acme"))
        check, batch, listing = (opened.ask(request).json() for request in requests)

    assert before[0]["allowed"] is True
    assert (check["allowed"], check["reason"], check["publication"]) == (False, "limit_reached", 1)
    assert batch["results"] == [check]
    assert len(listing["entitlements"]) == 5


def test_data_that_comes_while_a_batch_is_answered_is_what_the_batch_rests_on() -> None:
    """No batch holds answers of both kinds."""
    service = unloaded()
    with service.serve() as where, Connection(where.connect()) as opened:
        opened.send(post("/v1/checks", {"checks": [{**MOVIES, "used": used} for used in range(1_000)]}))
        service.publish(customer("acme"))
        answer = opened.read()

    assert answer is not None
    assert len({result["publication"] for result in answer.json()["results"]}) == 1


def test_the_decision_log_says_that_nothing_was_loaded(tmp_path: Path) -> None:
    """Each answer is in it, with a basis that no replay takes for a decision."""
    log = DecisionLog(str(tmp_path / "log"))
    log.start()
    with unloaded("analytics", log=log).serve() as where, Connection(where.connect()) as opened:
        opened.ask(post("/v1/check", MOVIES))
        opened.ask(post("/v1/checks", {"checks": [ANALYTICS]}))
    log.close()
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]

    assert [line["decision"] for line in lines] == [DENIED, ALLOWED]
    assert [line["basis"]["loaded"] for line in lines] == [False, False]


def test_such_answers_are_counted_by_their_reason() -> None:
    """As any decision."""
    service = unloaded("analytics")
    with service.serve() as where, Connection(where.connect()) as opened:
        for body in (MOVIES, MOVIES, ANALYTICS):
            opened.ask(post("/v1/check", body))
    counted = {reason: tally.check_engine for reason, tally in service.metrics.reasons.items() if tally.check_engine}

    assert counted == {Reason.STALE_DATA: 2, Reason.GRANTED: 1}


def test_a_choice_that_the_catalog_does_not_have_is_said(caplog: pytest.LogCaptureFixture) -> None:
    """Once there is a catalog to compare it with."""
    service = unloaded("analytics", "moves")
    service.publish(customer("acme"))

    assert [record.getMessage() for record in caplog.records] == [
        "`startup-allow` names `moves`, which matches no feature of the catalog"
    ]
