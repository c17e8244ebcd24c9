from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.serving import CATALOG, NOW, Service, customer, disabled, post
from tests.wire import Connection
from tiergate.model import Suspension
from tiergate.sidecar.request_context import NO_CONTEXT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.unit.sidecar.conftest import Ask

FLAGS = "/ofrep/v1/evaluate/flags"
FEATURES = """\
  - {id: drafted, type: quantity, status: draft}
  - {id: plan-b, type: custom, levels: [a, b]}
  - {id: huge, type: range}
"""


def flag(key: str, **context: Any) -> bytes:  # noqa: ANN401 - any JSON
    """The bytes of a request for a flag, about acme unless the context says otherwise."""
    return post(f"{FLAGS}/{key}", {"context": {"targetingKey": "acme", **context}})


@pytest.fixture(scope="module")
def connection() -> Iterator[Connection]:
    """A connection to a sidecar with features of every type and state."""
    catalog = CATALOG.replace("items:", f"{FEATURES}items:", 1).replace(
        "support: phone", "support: phone, drafted: 7, plan-b: a, huge: 9007199254740993"
    )
    rules = (("bans.cedar", '@id("eve") forbid(principal, action, resource) when {principal.customer == "eve"};'),)
    records = (
        customer("acme"),
        customer("rich", "platinum"),
        customer("eve"),
        customer("off", suspensions=(Suspension("movies"), Suspension("analytics"))),
        customer("gone", overrides=(disabled("movies", NOW - 1, NOW + 10**9),)),
    )
    with Service(*records, catalog=catalog, rules=rules).serve() as where, Connection(where.connect()) as opened:
        yield opened


@pytest.mark.parametrize(
    ("key", "context", "value", "reason"),
    [
        ("analytics", {}, True, "granted"),
        ("movies", {}, 50, "granted"),
        ("movies", {"targetingKey": "subscription:sub-acme"}, 50, "granted"),
        ("movies", {"amount": 51, "level": 3, "value": "x"}, 50, "granted"),
        ("movies", {"used": 50}, 50, "limit_reached"),
        ("movies", {"targetingKey": "rich"}, 2**53 - 1, "granted"),
        ("huge", {}, 2**53 - 1, "granted"),
        ("api-limit", {}, 800, "granted"),
        ("storage", {}, 10.0, "granted"),
        ("support", {"level": "nothing"}, "phone", "granted"),
        ("support", {"targetingKey": "rich"}, "", "not_entitled"),
        ("movies:allowed", {"amount": 38, "used": 12, "value": None}, True, "granted"),
        ("movies:allowed", {"amount": 39, "used": 12}, False, "limit_reached"),
        ("movies%3Aallowed", {"used": 50}, False, "limit_reached"),
        ("api-limit:allowed", {"value": 801, "amount": "?"}, False, "out_of_range"),
        ("support:allowed", {"level": "priority-phone"}, False, "level_too_low"),
        ("analytics:allowed", {"user": "ann", "level": 7}, True, "granted"),
        # what no number could turn denies, whatever the entitlement is
        ("drafted", {}, 0, "feature_inactive"),
        ("movies", {"targetingKey": "off"}, 0, "feature_suspended"),
        ("analytics", {"targetingKey": "off"}, False, "feature_suspended"),
        ("movies", {"targetingKey": "gone"}, 0, "override_denied"),
        ("movies", {"targetingKey": "eve"}, 0, "rule_denied"),
        ("analytics", {"targetingKey": "eve"}, False, "rule_denied"),
        ("support", {"targetingKey": "eve"}, "", "rule_denied"),
        ("movies", {"targetingKey": "nobody"}, 0, "unknown_subject"),
        ("support", {"targetingKey": "nobody"}, "", "unknown_subject"),
    ],
)
def test_a_flag_says_the_decision(
    connection: Connection, key: str, context: dict[str, Any], value: object, reason: str
) -> None:
    """By its natural value, or by whether the check is allowed; the metadata names our reason."""
    answer = connection.ask(flag(key, **context))
    said = answer.json()

    assert (answer.status, said["key"], said["value"]) == (200, key.replace("%3A", ":"), value)
    assert isinstance(said["value"], type(value))
    assert (said["metadata"]["reason"], said["metadata"]["allowed"]) == (reason, reason == "granted")
    assert said["reason"] == {
        "feature_inactive": "DISABLED",
        "feature_suspended": "DISABLED",
        "unknown_subject": "UNKNOWN",
    }.get(reason, "TARGETING_MATCH")
    assert answer.headers["tiergate-decision-id"]


def test_metadata_is_flat_and_whole(connection: Connection) -> None:
    """Of a quantity: used, remaining and unit; no more than scalars."""
    metadata = connection.ask(flag("movies", used=12)).json()["metadata"]
    unlimited = connection.ask(flag("movies", targetingKey="rich", used=12)).json()["metadata"]

    assert {**metadata, "revision": ""} == {
        "allowed": True,
        "reason": "granted",
        "unlimited": False,
        "unit": "movies/month",
        "used": 12,
        "remaining": 38,
        "revision": "",
        "stale": False,
    }
    assert metadata["revision"].startswith("sha256:")
    assert unlimited["unlimited"] is True
    assert "remaining" not in unlimited


@pytest.mark.parametrize(
    ("key", "body", "status", "code"),
    [
        ("movies", b"{", 400, "PARSE_ERROR"),
        ("movies", b"[]", 400, "PARSE_ERROR"),
        ("movies", b"{}", 400, "TARGETING_KEY_MISSING"),
        ("movies", b'{"context": null}', 400, "TARGETING_KEY_MISSING"),
        ("movies", b'{"context": {"targetingKey": ""}}', 400, "TARGETING_KEY_MISSING"),
        ("movies", b'{"context": {"targetingKey": "subscription:"}}', 400, "TARGETING_KEY_MISSING"),
        ("movies", b'{"context": 1}', 400, "INVALID_CONTEXT"),
        ("movies", b'{"context": {"targetingKey": 1}}', 400, "INVALID_CONTEXT"),
        ("movies", b'{"context": {"targetingKey": "a", "targetingKey": "b"}}', 400, "INVALID_CONTEXT"),
        ("movies", b'{"context": {"targetingKey": "\\u0000"}}', 400, "INVALID_CONTEXT"),
        ("movies", b'{"context": {"targetingKey": "acme", "user": 1}}', 400, "INVALID_CONTEXT"),
        ("movies", b'{"context": {"targetingKey": "acme", "used": "1"}}', 400, "INVALID_CONTEXT"),
        ("movies:allowed", b'{"context": {"targetingKey": "acme", "amount": 0.5}}', 400, "INVALID_CONTEXT"),
        ("support:allowed", b'{"context": {"targetingKey": "acme", "level": "fax"}}', 400, "INVALID_CONTEXT"),
        ("moves", b'{"context": {"targetingKey": "acme"}}', 404, "FLAG_NOT_FOUND"),
        ("movies:denied", b'{"context": {"targetingKey": "acme"}}', 404, "FLAG_NOT_FOUND"),
        ("a/b", b'{"context": {"targetingKey": "acme"}}', 404, "FLAG_NOT_FOUND"),
    ],
)
def test_a_failure_has_the_code_of_the_protocol(
    connection: Connection, key: str, body: bytes, status: int, code: str
) -> None:
    """And the key, and details for people."""
    answer = connection.ask(post(f"{FLAGS}/{key}", body))
    said = answer.json()

    assert (answer.status, said["key"], said["errorCode"]) == (status, key, code)
    assert said["errorDetails"]
    assert answer.headers["content-type"] == "application/json"


def test_without_data_nothing_can_be_said() -> None:
    """The status is 503, with the code for everything else."""
    service = Service(ready=False)
    reply = service.native.ofrep.flags.respond_now("movies", b'{"context": {"targetingKey": "acme"}}', NO_CONTEXT)

    assert reply is not None
    assert (reply.status, b'"errorCode":"GENERAL"' in reply.body) == (503, True)


def test_every_way_answers_the_same(ask: Ask) -> None:
    """Below ASGI, from the cache and in full; a repeat is a decision of its own."""
    answer = ask(flag("movies:allowed", amount=3, used=12))

    assert (answer.status, answer.json()["value"]) == (200, True)
    assert ask(flag("moves")).status == 404
    repeats = ask.service.metrics.facades["ofrep"]
    assert (sum(counts.check_repeat for counts in repeats.values()) > 0) == (ask.way in {"repeated", "unix"})


def test_no_answer_outlives_what_it_rests_on(ask: Ask) -> None:
    """A new publication, or a change of the customer, is seen at once, whichever way."""
    request = flag("movies")
    assert ask(request).json()["value"] == 50
    ask.service.publish(customer("acme", "silver"), customer("bob", "silver"))
    assert ask(request).json()["value"] == 30

    def change() -> None:
        ask.service.subjects.records["acme"] = customer("acme", "platinum")
        ask.service.state.subject_changed("acme", ["sub-acme"])

    ask.service.run(change)
    assert ask(request).json()["value"] == 2**53 - 1


def test_before_any_data_flags_are_the_operators_choice() -> None:
    """After the startup deadline, and stale: allowed where the operator says so, else denied."""
    service = Service(ready=False, startup_allow=("movies",))
    service.state.serve_unloaded()
    body = b'{"context": {"targetingKey": "acme", "used": "?"}}'
    with service.serve() as where, Connection(where.connect()) as opened:
        said = [opened.ask(post(f"{FLAGS}/{key}", body)).json() for key in ("movies", "movies:allowed", "seats")]
        listed = opened.ask(post(FLAGS, body)).json()

    assert [(it["value"], it["metadata"]["reason"], it["reason"]) for it in said] == [
        (True, "granted", "TARGETING_MATCH"),
        (True, "granted", "TARGETING_MATCH"),
        (False, "stale_data", "UNKNOWN"),
    ]
    assert all(it["metadata"]["stale"] for it in said)
    assert [it["key"] for it in listed["flags"]] == ["movies", "movies:allowed"]
    assert listed["metadata"]["stale"] is True
