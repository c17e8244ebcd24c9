from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.serving import CATALOG, NOW, Service, customer, disabled, get, post
from tests.wire import Connection
from tiergate.model import Suspension

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.unit.sidecar.conftest import Ask

BULK = "/ofrep/v1/evaluate/flags"
KEYS = ["analytics", "api-limit", "movies", "storage", "support"]


def bulk(tags: str | None = None, **context: Any) -> bytes:  # noqa: ANN401 - any JSON
    """The bytes of a request for all flags, about acme unless the context says otherwise."""
    headers = {} if tags is None else {"If-None-Match": tags}
    return post(BULK, {"context": {"targetingKey": "acme", **context}}, headers=headers)


@pytest.fixture(scope="module")
def connection() -> Iterator[Connection]:
    """A connection to a sidecar that knows acme (gold), bob (silver), huge, and off (platinum, with suspensions)."""
    catalog = CATALOG.replace("movies: 30, support: chat", "movies: 30, support: chat, storage: 0.125")
    catalog += "  - {id: vast, kind: plan, entitlements: {storage: 9007199254740.993}}\n"
    records = (
        customer("acme"),
        customer("bob", "silver"),
        customer("huge", "vast"),
        customer("off", "platinum", suspensions=(Suspension("movies"), Suspension("support"))),
    )
    with Service(*records, catalog=catalog).serve() as where, Connection(where.connect()) as opened:
        yield opened


def test_two_flags_for_each_feature(connection: Connection) -> None:
    """With nothing but a targeting key; in the order of the ids."""
    said = connection.ask(bulk()).json()

    assert [it["key"] for it in said["flags"]] == [key for name in KEYS for key in (name, f"{name}:allowed")]
    assert said["metadata"]["publication"] == 1
    assert said["eventStreams"] == [{"type": "sse", "endpoint": {"requestUri": "/ofrep/v1/events?targetingKey=acme"}}]


@pytest.mark.parametrize(
    "context",
    [
        {},
        {"used": 12, "amount": 39},
        {"user": "ann", "level": "fax", "value": 900, "used": "?"},
        *({"targetingKey": name} for name in ("bob", "huge", "off", "nobody")),
    ],
)
def test_each_is_the_single_flag(connection: Connection, context: dict[str, Any]) -> None:
    """Value, reason, metadata, or failure, whatever the context says; also once Cedar's answers are kept."""
    first = connection.ask(bulk(**context)).json()["flags"]
    for one in first:
        body = {"context": {"targetingKey": "acme", **context}}
        assert connection.ask(post(f"{BULK}/{one['key']}", body)).json() == one
    assert [connection.ask(bulk(**context, another=it)).json()["flags"] for it in range(2)] == [first] * 2


def test_a_tag_covers_the_context_and_the_flags(connection: Connection) -> None:
    """It differs with any member of the context, and not with their order; it is a strong one."""
    plain, more = connection.ask(bulk(a=1, b=2)), connection.ask(bulk(a=1, b=3))
    tag = plain.headers["etag"]

    assert tag.startswith('"')
    assert plain.body == more.body
    assert tag != more.headers["etag"]
    assert tag == connection.ask(bulk(b=2, a=1)).headers["etag"]
    assert tag != connection.ask(bulk(targetingKey="bob", a=1, b=2)).headers["etag"]


@pytest.mark.parametrize("shape", ["{}", '"other", {}', 'W/{}, "x"', "*"])
def test_a_known_tag_gets_304(connection: Connection, shape: str) -> None:
    """Alone, in a list, weakly, or as any; with the tag, and without a body."""
    tag = connection.ask(bulk()).headers["etag"]
    answer = connection.ask(bulk(shape.format(tag)))

    assert (answer.status, answer.body, answer.headers["etag"]) == (304, b"", tag)
    assert connection.ask(bulk('"other"')).status == 200


def test_the_hints_of_events_are_taken(connection: Connection) -> None:
    """They change nothing."""
    hinted = post(f"{BULK}?flagConfigEtag=x&flagConfigLastModified=1", {"context": {"targetingKey": "acme"}})
    assert connection.ask(hinted).steady == connection.ask(bulk()).steady


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{", "PARSE_ERROR"),
        (b'{"context": {}}', "TARGETING_KEY_MISSING"),
        (b'{"context": {"targetingKey": "acme", "x": "\\ud800"}}', "INVALID_CONTEXT"),
    ],
)
def test_what_is_wrong_for_all_fails_at_once(connection: Connection, body: bytes, code: str) -> None:
    """Without a key."""
    answer = connection.ask(post(BULK, body))
    assert (answer.status, answer.json()["errorCode"], "key" in answer.json()) == (400, code, False)


def test_the_configuration_has_a_tag(connection: Connection) -> None:
    """It allows polling, and no caches in servers."""
    answer = connection.ask(get("/ofrep/v1/configuration"))
    capabilities = answer.json()["capabilities"]

    assert capabilities["cacheInvalidation"]["polling"]["enabled"] is True
    assert capabilities["caching"]["enabled"] is False
    known = connection.ask(get("/ofrep/v1/configuration", headers={"If-None-Match": answer.headers["etag"]}))
    assert (known.status, known.headers["etag"]) == (304, answer.headers["etag"])


def test_every_way_answers_the_same(ask: Ask) -> None:
    """Also with a tag; and a change is seen at once."""
    before = ask(bulk())
    assert ask(bulk(before.headers["etag"])).status == 304
    ask.service.publish(customer("acme", "silver"))
    after = ask(bulk(before.headers["etag"]))
    assert (after.status, after.headers["etag"] != before.headers["etag"]) == (200, True)


def test_flags_are_cached_until_one_of_them_changes() -> None:
    """The end of an override is the end of the response."""
    service = Service(customer("acme", overrides=(disabled("movies", NOW - 1, NOW + 5),)))
    adapter, body = service.native.ofrep.bulk, b'{"context": {"targetingKey": "acme"}}'
    before = asyncio.run(adapter.respond(body, None))

    kept = adapter.respond_now(body, None)
    assert kept is not None
    assert kept.body is before.body
    service.clock.now += 5
    assert adapter.respond_now(body, None) is None
    values = {it["key"]: it["value"] for it in json.loads(asyncio.run(adapter.respond(body, None)).body)["flags"]}
    assert values["movies"] == 50


def test_no_flags_with_momentary_decisions_are_cached() -> None:
    """A rule that reads the time makes them so."""
    rules = (("r.cedar", '@id("t") forbid(principal, action, resource) when {context.weekday == 9};'),)
    service = Service(customer("acme"), rules=rules)
    body = b'{"context": {"targetingKey": "acme"}}'
    assert asyncio.run(service.native.ofrep.bulk.respond(body, None)).status == 200
    assert service.native.ofrep.bulk.respond_now(body, None) is None
