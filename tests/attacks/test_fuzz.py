"""Whatever is sent, the answer is one of those that the documentation names, and never a 500."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.serving import Service, customer, get, post
from tests.wire import Connection

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.wire import Answer

FEATURES = ["analytics", "movies", "api-limit", "support", "storage"]


@pytest.fixture(scope="module")
def connections() -> Iterator[tuple[Connection, Connection]]:
    """Connections to two sidecars of the same data: one that remembers and one that does not."""
    records = (customer("acme"), customer("bob", "silver"))
    with (
        Service(*records).serve() as remembering,
        Service(*records, memo=False).serve() as forgetful,
        Connection(remembering.connect()) as first,
        Connection(forgetful.connect()) as second,
    ):
        yield first, second


def same(connections: tuple[Connection, Connection], request: bytes) -> Answer:
    """Ask both, the one that remembers three times; see that all answers agree, and give one."""
    remembering, forgetful = connections
    answers = [remembering.ask(request), remembering.ask(request), remembering.ask(request), forgetful.ask(request)]
    assert len({str(answer.steady) for answer in answers}) == 1
    return answers[0]


def proper(answer: Answer, *statuses: int) -> bool:
    """Whether an answer is a decision or a problem of one of these statuses, in its media type."""
    if answer.status == 200:
        return answer.headers["content-type"] == "application/json"
    problem = answer.json()
    return (
        answer.status in statuses
        and problem["status"] == answer.status
        and answer.headers["content-type"] == "application/problem+json"
    )


JSONS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
IDS = st.sampled_from(["acme", "bob", "sub-acme", "nobody", *FEATURES]) | st.text(max_size=5)
NUMBERS = st.integers(-3, 60) | st.floats(-1, 60) | st.integers() | st.floats()
SUBJECTS = IDS | st.fixed_dictionaries(
    {"id": IDS}, optional={"type": st.sampled_from(["customer", "subscription"]) | IDS, "user": IDS}
)
CHECKS = st.fixed_dictionaries(
    {"subject": SUBJECTS, "feature": st.sampled_from(FEATURES) | IDS},
    optional={
        "amount": NUMBERS,
        "used": NUMBERS,
        "user_used": NUMBERS,
        "value": NUMBERS,
        "level": st.sampled_from(["email", "phone"]) | st.text(),
    },
)
DEEP = b"[" * 50_000 + b"]" * 50_000


def written(value: Any) -> bytes:  # noqa: ANN401 - any JSON
    """JSON in UTF-8, in which a lone surrogate stands as an escape."""
    return json.dumps(value).encode()


@settings(max_examples=3 * settings().max_examples)
@given(CHECKS.map(written) | JSONS.map(written) | st.binary())
@example(DEEP)
@example(b'{"subject": "acme", "feature": %b}' % DEEP)
@example(b'{"subject": "acme", "feature": "movies", "amount": %b}' % (b"9" * 100_000))
@example(b'{"subject": "acme", "feature": "movies", "amount": 1e%b}' % (b"9" * 1_000))
@example(b'{"subject": "acme", "feature": "movies", "amount": 0.%b1}' % (b"0" * 50))
@example(b'{"subject": "%b", "feature": "movies"}' % (b"a" * 100_000))
@example(b'{"subject": "acme", "feature": "%b"}' % (b"a" * 100_000))
@example(b'{"subject": "acme", "feature": "movies", "%b": 1}' % (b"a" * 100_000))
@example(b'{"subject": "acme", "feature": "support", "level": "%b"}' % (b"a" * 100_000))
@example(b'{"subject": "acme", "feature": "support", "level": "\\ud83d\\ude00"}')
def test_any_check_is_decided_or_a_problem(connections: tuple[Connection, Connection], body: bytes) -> None:
    """And the same one, whatever is remembered."""
    assert proper(same(connections, post("/v1/check", body)), 400, 404)


@given(st.lists(CHECKS | JSONS, max_size=4).map(lambda checks: {"checks": checks}).map(written) | st.binary())
@example(b'{"checks": %b}' % DEEP)
@example(b'{"checks": [%b]}' % DEEP)
@example(b'{"checks": [{"subject": "acme\xff", "feature": "movies"}]}')
@example(b'{"checks": [{"subject": "acme\\ud800", "feature": "movies"}]}')
@example(b'{"checks": [' + b"{}," * 999 + b"{}]}")
def test_any_batch_is_decided_or_a_problem(connections: tuple[Connection, Connection], body: bytes) -> None:
    """And so is each of its checks."""
    answer = same(connections, post("/v1/checks", body))

    assert proper(answer, 400)
    if answer.status == 200:
        assert all(result.get("status", 200) in {200, 400, 404} for result in answer.json()["results"])


@settings(max_examples=2 * settings().max_examples)
@given(
    CHECKS.map(lambda check: {"context": {"targetingKey": check.pop("subject"), **check}}).map(written)
    | JSONS.map(lambda value: {"context": value}).map(written)
    | st.binary(),
    st.sampled_from(["", "/movies", "/support:allowed", "/movies%3Aallowed", "/a%00b", "/", "/%ff"]),
)
@example(b'{"context": {"targetingKey": "acme", "x": %b}}' % DEEP, "")
@example(b'{"context": {"targetingKey": "acme", "x": "\\ud800"}}', "")
@example(b'{"context": {"targetingKey": "acme", "\\ud800": 1}}', "/movies")
@example(b'{"context": {"targetingKey": "acme", "used": 1e%b}}' % (b"9" * 1_000), "")
@example(b'{"context": {"targetingKey": "acme", "x": %b}}' % (b"9" * 100_000), "")
def test_any_context_has_flags_or_a_failure(connections: tuple[Connection, Connection], body: bytes, key: str) -> None:
    """With a code of the protocol; and the same one, whatever is remembered."""
    answer = same(connections, post(f"/ofrep/v1/evaluate/flags{key}", body))

    assert answer.headers["content-type"] == "application/json"
    if answer.status != 200:
        codes = {400: {"PARSE_ERROR", "TARGETING_KEY_MISSING", "INVALID_CONTEXT"}, 404: {"FLAG_NOT_FOUND"}}
        assert answer.json()["errorCode"] in codes[answer.status]


ENTITIES = st.fixed_dictionaries(
    {"type": st.sampled_from(["customer", "subscription", "user", "feature"]) | IDS, "id": IDS},
    optional={"properties": JSONS | st.dictionaries(st.sampled_from(["customer", "used"]), IDS | NUMBERS)},
)
EVALUATIONS = st.fixed_dictionaries(
    {},
    optional={
        "subject": ENTITIES | JSONS,
        "action": st.fixed_dictionaries({"name": st.sampled_from(["access", "consume"]) | IDS}) | JSONS,
        "resource": ENTITIES | JSONS,
        "context": JSONS,
        "page": st.dictionaries(st.sampled_from(["limit", "token"]), NUMBERS | IDS) | JSONS,
    },
)


@settings(max_examples=2 * settings().max_examples)
@given(
    (
        EVALUATIONS
        | st.tuples(EVALUATIONS, st.lists(EVALUATIONS | JSONS, max_size=3)).map(
            lambda drawn: drawn[0] | {"evaluations": drawn[1]}
        )
    ).map(written)
    | st.binary(),
    st.sampled_from(["evaluation", "evaluations", "search/subject", "search/resource", "search/action"]),
)
@example(b'{"subject": %b}' % DEEP, "search/action")
@example(b'{"evaluations": %b}' % DEEP, "evaluations")
@example(
    b'{"subject": {"type": "customer", "id": "\\ud800"}, "resource": {"type": "feature", "id": "movies"}}',
    "search/action",
)
@example(
    b'{"subject": {"type": "customer", "id": "acme", "properties": {"x": "\\ud800"}},'
    b' "resource": {"type": "feature", "id": "movies"}}',
    "search/action",
)
def test_any_evaluation_is_decided_or_a_problem(
    connections: tuple[Connection, Connection], body: bytes, path: str
) -> None:
    """And the same one, whatever is remembered."""
    assert proper(same(connections, post(f"/access/v1/{path}", body)), 400)


@given(
    st.tuples(CHECKS, st.sampled_from(["2026-11-17T14:03:00Z", "0001-01-01", "9999-12-31T23:59:59.999Z", 7]) | JSONS)
    .map(lambda drawn: drawn[0] | {"at": drawn[1]})
    .map(written)
    | CHECKS.map(written)
    | st.binary()
)
@example(DEEP)
@example(b'{"subject": "acme", "feature": "movies", "at": "%b"}' % (b"9" * 100_000))
@example(b'{"subject": "acme", "feature": "movies", "at": "2026-11-17", "at": "2026-11-17"}')
def test_any_check_is_explained_or_a_problem(connections: tuple[Connection, Connection], body: bytes) -> None:
    """At any instant that there is."""
    assert proper(same(connections, post("/v1/explain", body)), 400, 404)


@given(st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=30))
@example("subject=acme&type=%73ubscription")
@example("subject=%F0%9F%98%80")
@example("subject=%")
@example("subject=%zz")
@example("&&subject=acme&")
@example("=")
def test_any_query_lists_or_is_a_problem(connections: tuple[Connection, Connection], query: str) -> None:
    """Whatever can stand in one."""
    assert proper(same(connections, get(f"/v1/entitlements?{query}")), 400)


@given(st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=30))
@example("/v1/check/")
@example("//v1/check")
@example("/v1/%63heck")
@example("/%00")
@example("/%ff")
@example("/../v1/check")
def test_any_path_is_known_or_a_problem(connections: tuple[Connection, Connection], path: str) -> None:
    """Nothing is redirected, and nothing crashes."""
    assert proper(same(connections, get("/" + path)), 400, 404, 405)


@settings(max_examples=settings().max_examples // 2)
@given(
    st.lists(
        st.tuples(
            st.from_regex(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,12}", fullmatch=True)
            | st.sampled_from(["If-None-Match", "X-Request-ID", "traceparent", "tracestate", "Accept", "Cookie"]),
            st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_characters="\x7f"), max_size=20),
        ),
        max_size=4,
        unique_by=lambda pair: pair[0].lower(),
    ).map(dict)
)
@example({"traceparent": "", "tracestate": " "})
@example({"X-Request-ID": "a", "x-request-id ": "b"})
def test_any_header_is_borne(connections: tuple[Connection, Connection], headers: dict[str, str]) -> None:
    """What is not meant for the sidecar changes nothing."""
    framing = {
        "host",
        "origin",
        "content-type",
        "content-length",
        "transfer-encoding",
        "connection",
        "expect",
        "upgrade",
    }
    if any(name.strip().lower() in framing | {"x-request-id "} or name != name.strip() for name in headers):
        return
    answer = same(connections, post("/v1/check", {"subject": "acme", "feature": "movies"}, headers=headers))

    assert answer.status == 200


@pytest.mark.parametrize(
    ("operation", "excluded"),
    [
        # Which fields a check may have depends on its feature's type, which the document does not know.
        ("check", ["positive_data_acceptance"]),
        # A wrong check in a batch is a problem among its results.
        pytest.param("checks", ["negative_data_rejection"], marks=pytest.mark.slow),
        ("entitlements", []),
        # As with `check`; and a moment is a moment in more ways than RFC 3339 knows.
        pytest.param("explain", ["positive_data_acceptance", "negative_data_rejection"], marks=pytest.mark.slow),
    ],
)
def test_the_api_is_what_its_openapi_document_says(operation: str, excluded: list[str]) -> None:
    """To Schemathesis, which makes requests of the document, right ones and wrong ones, and reads the answers by it."""
    with Service(customer("acme"), customer("bob", "silver")).serve() as where:
        command = [
            str(Path(sys.executable).with_name("schemathesis")),
            *("run", f"{where.url}/openapi.json", "--no-color", "--include-operation-id", operation),
            *("--checks", "all", "--max-examples", "10", "--seed", "1"),
            *(("--exclude-checks", ",".join(excluded)) if excluded else ()),
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)

    assert done.returncode == 0, done.stdout
    assert "1 selected" in done.stdout


@pytest.fixture(scope="module")
def unloaded() -> Iterator[Connection]:
    """A connection to a sidecar that answers though it has no data."""
    service = Service(ready=False)
    service.state.serve_unloaded()
    with service.serve() as where, Connection(where.connect()) as opened:
        yield opened


@given(check=CHECKS)
@example(check={"subject": "acme", "feature": "storage", "used": 0.001})
@example(check={"subject": "acme", "feature": "movies", "used": 10**18})
def test_without_data_no_more_is_refused_and_nothing_is_allowed(
    connections: tuple[Connection, Connection], unloaded: Connection, check: dict[str, Any]
) -> None:
    """What some catalog takes is a question without any; what is refused without one, no catalog takes."""
    for path, body in (("/v1/check", check), ("/v1/checks", {"checks": [check]}), ("/v1/explain", check)):
        request = post(path, written(body))
        with_data, without = connections[1].ask(request), unloaded.ask(request)
        assert proper(without, 400, 404)
        refused = [it.status != 200 or b'"urn:tiergate:problem:' in it.body for it in (with_data, without)]
        assert refused[0] or not refused[1]
        assert b'"allowed":true' not in without.body
