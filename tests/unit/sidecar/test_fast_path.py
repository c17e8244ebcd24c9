from __future__ import annotations

import pytest

from tests.serving import NOW, Service, customer, disabled, post
from tiergate.errors import RequestError
from tiergate.sidecar.api.responses import HttpResponse, encode_response, headers, problem_response
from tiergate.sidecar.fast_path import FastPath
from tiergate.sidecar.request_context import NO_CONTEXT, RequestContext

CHECK = {"subject": "acme", "feature": "movies"}
DATE = [(b"date", b"Sat, 21 Nov 2026 05:53:42 GMT")]
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


class Endpoint:
    """Remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[bytes, RequestContext]] = []

    def __call__(self, body: bytes, context: RequestContext) -> HttpResponse | None:
        """Answer."""
        self.asked.append((body, context))
        return HttpResponse(200, b"{}", b"d1")


@pytest.fixture
def endpoint() -> Endpoint:
    """An endpoint."""
    return Endpoint()


@pytest.fixture
def path(endpoint: Endpoint) -> FastPath:
    """A quick path that has learnt the head of a plain check."""
    quick = FastPath(Service(customer("acme")).service, "test")
    quick.learn(post("/v1/check", CHECK), endpoint)
    return quick


def test_a_known_head_leads_to_its_endpoint(path: FastPath, endpoint: Endpoint) -> None:
    """With any body, of any length."""
    assert path.answer(post("/v1/check", b"{}"), DATE) is not None
    assert path.answer(post("/v1/check", b""), DATE) is not None
    assert endpoint.asked == [(b"{}", NO_CONTEXT), (b"", NO_CONTEXT)]


@pytest.mark.parametrize(
    ("sent", "context"),
    [
        ({"traceparent": TRACE}, RequestContext(None, TRACE.encode())),
        ({"X-Request-ID": "r1"}, RequestContext(b"r1")),
        (
            {"x-REQUEST-id": "r1", "TraceParent": TRACE, "tracestate": "a=b, c=d"},
            RequestContext(b"r1", TRACE.encode(), b"a=b, c=d"),
        ),
        ({"X-Request-ID": "an unsafe one"}, RequestContext()),
        ({"X-Request-ID": "  r1\t"}, RequestContext(b"r1")),
    ],
)
def test_headers_that_differ_in_every_request_are_known(
    path: FastPath, endpoint: Endpoint, sent: dict[str, str], context: RequestContext
) -> None:
    """They say where the request stands in a trace."""
    assert path.answer(post("/v1/check", b"{}", headers=sent), DATE) is not None
    assert endpoint.asked == [(b"{}", context)]


SOUND = post("/v1/check", CHECK)


@pytest.mark.parametrize(
    "segment",
    [
        SOUND[:-1],
        SOUND + b" ",
        SOUND + SOUND,
        SOUND.replace(b"localhost", b"evil.example"),
        SOUND.replace(b"/v1/check ", b"/v1/checks "),
        SOUND.replace(b"POST", b"GET"),
        SOUND.replace(b"HTTP/1.1", b"HTTP/1.0"),
        SOUND.replace(b"Content-Length", b"X-Length"),
        SOUND.replace(b"Content-Length: ", b"Content-Length: +"),
        SOUND.replace(b"Content-Length: ", b"Content-Length: 0x"),
        SOUND.replace(b"Content-Length: ", b"Content-Length: 1, "),
        SOUND.replace(b"Content-Length: ", b"Content-Length:\r\n "),
        SOUND.replace(b"Content-Length: ", b"Content-Length: \xb2"),
        SOUND.replace(b"\r\nHost", b"\r\nContent-Length: 1\r\nHost"),
        SOUND.replace(b"\r\nHost", b"\r\nX-Request-ID: a\r\nX-Request-ID: b\r\nHost"),
        SOUND.replace(b"\r\nHost", b"\r\ntraceparent: a\r\n b\r\nHost"),
        SOUND.replace(b"\r\nHost", b"\r\ntraceparent : a\r\nHost"),
        SOUND.replace(b"\r\nHost", b"\r\ntraceparent: a\x00b\r\nHost"),
        SOUND.replace(b"\r\nHost", b"\r\ntraceparent: \r\nHost"),
        SOUND.replace(b"\r\nHost", b"\r\nExpect: 100-continue\r\nHost"),
        SOUND.replace(b"\r\nHost", b"\r\nConnection: close\r\nHost"),
        SOUND.replace(b"\r\nHost", b"\r\nTransfer-Encoding: chunked\r\nHost"),
        SOUND.replace(b"\r\n", b"\n"),
        SOUND[: SOUND.index(b"\r\n\r\n")],
        b"\r\n" + SOUND,
        b"",
        b"\r\n\r\n",
        # What is cut out of a head must not be cut out of a body.
        SOUND.replace(b"{", b"{\r\ntraceparent: a\r\n"),
    ],
)
def test_whatever_differs_takes_the_long_way(path: FastPath, endpoint: Endpoint, segment: bytes) -> None:
    """In as little as a byte."""
    assert path.answer(segment, DATE) is None
    assert endpoint.asked == []


@pytest.mark.parametrize(
    "extra",
    [
        {"Transfer-Encoding": "chunked"},
        {"Expect": "100-continue"},
        {"Upgrade": "h2c", "Connection": "Upgrade"},
        {"Connection": "close"},
        {"Connection": "keep-alive, close"},
        {"TE": "trailers"},
        {"Trailer": "X"},
        {"X": "a\r\n folded"},
        {"X-Request-ID": "a", "x-request-id": "b"},
        {"traceparent": "\xe4"},
    ],
)
def test_unusual_heads_are_not_learnt(endpoint: Endpoint, extra: dict[str, str]) -> None:
    """They change how a message is framed, or how the connection goes on, or cannot be told apart with certainty."""
    quick = FastPath(Service(customer("acme")).service, "test")
    segment = post("/v1/check", CHECK, headers=extra)
    quick.learn(segment, endpoint)

    assert quick.answer(segment, DATE) is None


def test_a_connection_that_is_to_be_kept_is_ordinary(endpoint: Endpoint) -> None:
    """Many clients say so, though they need not."""
    quick = FastPath(Service(customer("acme")).service, "test")
    segment = post("/v1/check", CHECK, headers={"Connection": "keep-alive"})
    quick.learn(segment, endpoint)

    assert quick.answer(segment, DATE) is not None


def test_a_body_above_the_bound_takes_the_long_way(endpoint: Endpoint) -> None:
    """Which refuses it."""
    quick = FastPath(Service(customer("acme")).service, "test", max_body=40)
    quick.learn(SOUND, endpoint)

    assert quick.answer(post("/v1/check", b"x" * 40), DATE) is not None
    assert quick.answer(post("/v1/check", b"x" * 41), DATE) is None


def repeated(service: Service, segment: bytes = SOUND) -> int:
    """How many of three more requests are answered as repeats."""
    before = service.metrics.repeats()
    for _ in range(3):
        service.quick.answer(segment, DATE)
    return service.metrics.repeats() - before


def test_a_request_that_was_answered_from_memory_is_a_repeat_from_then_on() -> None:
    """The first time it is decided, the second time it is known, the third it repeats."""
    service = Service(customer("acme"), caches_at_once=True)
    service.quick.learn(SOUND, service.native.checks.respond_now)

    assert [repeated(service), repeated(service)] == [1, 3]


def test_a_repeat_is_forgotten_with_its_generation() -> None:
    """And the head, which no data changes, is not."""
    service = Service(customer("acme"), caches_at_once=True)
    service.quick.learn(SOUND, service.native.checks.respond_now)
    repeated(service)
    service.publish(customer("acme", "silver"))
    answer = service.quick.answer(SOUND, DATE)

    assert isinstance(answer, bytes)
    assert b'"value":30' in answer


def test_a_repeat_ends_when_its_answer_does() -> None:
    """At the very millisecond."""
    service = Service(customer("acme", overrides=(disabled("movies", NOW + 1, NOW + 2),)))
    service.quick.learn(SOUND, service.native.checks.respond_now)
    repeated(service)
    answers = []
    for now in (NOW, NOW + 1, NOW + 2):
        service.clock.now = now
        answer = service.quick.answer(SOUND, DATE)
        assert isinstance(answer, bytes)
        answers.append(b'"allowed":true' in answer)

    assert answers == [True, False, True]


def test_requests_with_headers_of_their_own_are_no_repeats() -> None:
    """They would fill the memory, each for nothing."""
    service = Service(customer("acme"), caches_at_once=True)
    service.quick.learn(SOUND, service.native.checks.respond_now)
    traced = post("/v1/check", CHECK, headers={"traceparent": TRACE})

    assert [repeated(service, traced), repeated(service, traced)] == [0, 0]
    assert len(service.quick.repeats) == 0


def test_volatile_decisions_and_problems_are_no_repeats() -> None:
    """What may differ the next time is decided each time."""
    rule = '@id("hours") forbid(principal, action, resource) when { context.now > datetime("2020-01-01") };'
    service = Service(customer("acme"), rules=(("hours.cedar", rule),))
    service.quick.learn(SOUND, service.native.checks.respond_now)
    wrong = post("/v1/check", {"subject": "acme", "feature": "moves"})

    assert [repeated(service), repeated(service), repeated(service, wrong), repeated(service, wrong)] == [0, 0, 0, 0]
    assert service.metrics.reasons[next(iter(service.metrics.reasons))].check_memo == 0


def test_a_repeat_says_what_the_time_is_now() -> None:
    """The headers of every answer change under it."""
    service = Service(customer("acme"))
    service.quick.learn(SOUND, service.native.checks.respond_now)
    repeated(service)
    later = [(b"date", b"Sun, 22 Nov 2026 00:00:00 GMT")]

    answer = service.quick.answer(SOUND, later)
    assert isinstance(answer, bytes)
    assert b"\r\ndate: Sun, 22 Nov 2026 00:00:00 GMT\r\n" in answer


@pytest.mark.parametrize(
    "reply",
    [
        HttpResponse(200, b"{}", b"d1"),
        HttpResponse(304, b"", extra=((b"etag", b'"x"'),)),
        problem_response(RequestError(503, "not ready", "x")),
    ],
)
def test_a_reply_on_the_wire_has_the_headers_of_its_messages(reply: HttpResponse) -> None:
    """In their order, after those of every answer."""
    context = RequestContext(b"r1")
    top, _, body = encode_response(reply, context, DATE).partition(b"\r\n\r\n")
    first, *lines = top.split(b"\r\n")

    assert first.split(b" ")[1] == b"%d" % reply.status
    assert [tuple(line.split(b": ", 1)) for line in lines] == [*DATE, *headers(reply, context)]
    assert body == reply.body
