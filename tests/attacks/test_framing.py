"""Where one request ends and the next begins: everybody must see it at the same place, whatever was remembered."""

from __future__ import annotations

import json
import socket
import time
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.serving import Service, customer, get, post
from tests.wire import Answer, Connection

if TYPE_CHECKING:
    from collections.abc import Iterator

CHECK = {"subject": "acme", "feature": "movies"}
SOUND = post("/v1/check", CHECK)
FLAG = post("/ofrep/v1/evaluate/flags/movies", {"context": {"targetingKey": "acme"}})
EVALUATION = post(
    "/access/v1/evaluation",
    {
        "subject": {"type": "customer", "id": "acme"},
        "action": {"name": "access"},
        "resource": {"type": "feature", "id": "movies"},
    },
)
BODY = json.dumps(CHECK).encode()


@pytest.fixture(params=["remembering", "forgetful"], scope="module")
def where(request: pytest.FixtureRequest) -> Iterator[Any]:
    """A sidecar that was asked the sound request before, with and without a memory for it."""
    service = Service(customer("acme"), memo=request.param == "remembering")
    with service.serve() as found:
        with Connection(found.connect()) as connection:
            for _ in range(3):
                assert connection.ask(SOUND).status == 200
        yield found


def exchange(where: Any, *pieces: bytes) -> list[Answer]:  # noqa: ANN401 - a fixture's
    """Send pieces on a new connection, each once the one before was received, then end; read all answers."""
    with Connection(where.connect()) as connection:
        for piece in pieces:
            connection.send(piece)
        connection.sock.shutdown(1)
        answers = []
        while (answer := connection.read()) is not None:
            answers.append(answer)
        return answers


def statuses(where: Any, *pieces: bytes) -> list[int]:  # noqa: ANN401 - a fixture's
    """The statuses of all answers."""
    return [answer.status for answer in exchange(where, *pieces)]


def raw(*lines: str, body: bytes = b"") -> bytes:
    """A request to check of these header lines, beside those that every request needs."""
    top = ["POST /v1/check HTTP/1.1", "Host: localhost", "Content-Type: application/json", *lines, "", ""]
    return "\r\n".join(top).encode("latin-1") + body


CHUNKED = b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)
LENGTH = f"Content-Length: {len(BODY)}"

SMUGGLED = get("/smuggled")
"""What an attacker hopes to be taken for a request of its own: it would be answered 404."""

TRICKS = {
    "length and chunks": raw(LENGTH, "Transfer-Encoding: chunked", body=CHUNKED),
    "chunks and length": raw("Transfer-Encoding: chunked", LENGTH, body=CHUNKED),
    "length zero and chunks": raw("Content-Length: 0", "Transfer-Encoding: chunked", body=SMUGGLED),
    "two lengths": raw(LENGTH, "Content-Length: 5", body=BODY),
    "two equal lengths": raw(LENGTH, LENGTH, body=BODY),
    "a list of lengths": raw(f"{LENGTH}, {len(BODY)}", body=BODY),
    "a signed length": raw(f"Content-Length: +{len(BODY)}", body=BODY),
    "a negative length": raw("Content-Length: -1", body=BODY),
    "a hexadecimal length": raw("Content-Length: 0x26", body=BODY),
    "a length with a space inside": raw("Content-Length: 3 8", body=BODY),
    "an empty length": raw("Content-Length:", body=BODY),
    "an endless length": raw(f"Content-Length: {'9' * 40}", body=BODY),
    "a space before the colon": raw(f"Content-Length : {len(BODY)}", body=BODY),
    "a length that is folded": raw(f"Content-Length:\r\n {len(BODY)}", body=b"") + BODY,
    "chunks that are not last": raw("Transfer-Encoding: chunked, identity", body=CHUNKED),
    "chunks by another name": raw("Transfer-Encoding: xchunked", body=CHUNKED),
    "chunks by a name in quotes": raw('Transfer-Encoding: "chunked"', body=CHUNKED),
    "chunks after a tabulator": raw("Transfer-Encoding:\x0bchunked", body=CHUNKED),
    "a chunk of no size": raw("Transfer-Encoding: chunked", body=b"\r\n" + CHUNKED),
    "a chunk of a negative size": raw("Transfer-Encoding: chunked", body=b"-1\r\n" + CHUNKED),
    "a chunk of an endless size": raw("Transfer-Encoding: chunked", body=b"f" * 30 + b"\r\n" + CHUNKED),
    "a chunk that is too long": raw("Transfer-Encoding: chunked", body=b"2\r\n{}}\r\n0\r\n\r\n"),
    "a bare carriage return": raw("X: a\rTransfer-Encoding: chunked", LENGTH, body=BODY),
    "bare line feeds": raw(LENGTH, body=BODY).replace(b"\r\n", b"\n"),
    "a null in a header": raw("X: a\x00b", LENGTH, body=BODY),
    "a header without a name": raw(": x", LENGTH, body=BODY),
    "a header without a colon": raw("nonsense", LENGTH, body=BODY),
    "a space before the first header": raw(LENGTH, body=BODY).replace(b"\r\nHost", b"\r\n Host"),
    "another protocol": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a handshake": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "no method": b"/v1/check HTTP/1.1\r\n\r\n",
    "an unknown method": b"CHECK /v1/check HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a lower case method": b"post /v1/check HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "an unknown version": b"GET /v1/check HTTP/3.7\r\nHost: localhost\r\n\r\n",
    "no version": b"GET /v1/check\r\n\r\n",
    "nulls": b"\x00" * 100,
}


@pytest.mark.parametrize("trick", TRICKS)
def test_a_request_with_two_ends_is_refused_and_the_connection_closed(where: Any, trick: str) -> None:  # noqa: ANN401
    """What comes after it, on which opinions would differ, is not looked at."""
    answers = exchange(where, TRICKS[trick] + SMUGGLED)

    assert [answer.status for answer in answers] == [400]
    assert answers[0].headers["content-type"] == "application/problem+json"
    assert answers[0].headers["connection"] == "close"


@pytest.mark.parametrize("trick", TRICKS)
def test_a_sound_request_before_a_trick_gets_its_own_answer(where: Any, trick: str) -> None:  # noqa: ANN401
    """The refusal is not taken for it."""
    assert statuses(where, SOUND + TRICKS[trick] + SMUGGLED) == [200, 400]


def test_chunks_are_read(where: Any) -> None:  # noqa: ANN401
    """They are how a body of unknown length is sent; trailers after them are ignored."""
    trailers = CHUNKED[:-2] + b"Authorization: x\r\nHost: evil.example\r\nX-Request-ID: x\r\n\r\n"
    one_by_one = b"".join(b"1\r\n%c\r\n" % byte for byte in BODY) + b"0\r\n\r\n"
    for body in (CHUNKED, trailers, one_by_one):
        answers = exchange(where, raw("Transfer-Encoding: chunked", body=body) + SOUND)
        assert [answer.status for answer in answers] == [200, 200]
        assert "x-request-id" not in answers[0].headers


def test_many_requests_at_once_are_answered_in_order(where: Any) -> None:  # noqa: ANN401
    """Fast and slow ones, right and wrong ones, with the connection open to the end."""
    used = [*range(60), *range(60)]
    requests = []
    for number in used:
        requests.append(post("/v1/check", {**CHECK, "used": number}))
        requests.append(get("/nothing"))
        requests.append(post("/v1/checks", {"checks": [{**CHECK, "used": number}]}))
        requests.append(SOUND)
    answers = exchange(where, b"".join(requests))

    assert [answer.status for answer in answers] == [200, 404, 200, 200] * len(used)
    assert [answer.json()["entitlement"]["used"] for answer in answers[::4]] == used
    assert [answer.json()["results"][0]["entitlement"]["used"] for answer in answers[2::4]] == used


def test_a_repeat_behind_half_a_head_is_a_part_of_it(where: Any) -> None:  # noqa: ANN401
    """It looks like a request that was answered before, but the parser stands inside another one."""
    # Now there are two hosts.
    assert statuses(where, b"GET /x HTTP/1.1\r\nHost: localhost\r\nX-Held: ", SOUND) == [400]
    with Connection(where.connect()) as connection:
        connection.send(b"GET /x HTTP/1.1\r\nX-Held: ")
        answer = connection.ask(SOUND)
        # The first line of the repeat is the value of `X-Held`, its `Host` the only one, its body's length the body's.
        assert answer.status == 404


def test_a_repeat_behind_half_a_body_is_a_part_of_it(where: Any) -> None:  # noqa: ANN401
    """Wherever the body is cut."""
    outer = b'{"subject": "acme", "feature": "movies", "level": "%b"}' % SOUND.replace(b'"', b"'").replace(
        b"\r\n", b"  "
    )
    for cut in (1, 40, len(outer) - 1):
        request = post("/v1/check", outer)
        start = len(request) - len(outer) + cut
        assert statuses(where, request[:start], request[start:] + SOUND) == [400, 200]
    body = SOUND + SOUND
    head = raw(f"Content-Length: {len(body)}")
    for pieces in ((head, SOUND, SOUND), (head + SOUND[:9], SOUND[9:], SOUND)):
        assert statuses(where, *pieces, SOUND) == [400, 200]


def halves(request: bytes, cut: int = 0) -> tuple[bytes, bytes]:
    """A request as many clients send it: the head, then, `cut` bytes later, its body."""
    end = request.index(b"\r\n\r\n") + 4 + cut
    return request[:end], request[end:]


@pytest.mark.parametrize("cut", [0, 1, 20])
def test_a_known_head_waits_a_moment_for_its_body(cut: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then it is answered as in one segment, without the parser; a new check as one that was asked before."""
    service = Service(customer("acme"))
    with service.serve() as where, Connection(where.connect()) as connection:
        assert connection.ask(SOUND).status == 200
        parsed: list[bytes] = []
        monkeypatch.setattr(service.protocol, "_parse", lambda _, data: parsed.append(data))
        for number in (1, 1, 2, 3):
            head, body = halves(post("/v1/check", {"subject": "acme", "feature": "movies", "used": number}), cut)
            connection.send(head)
            time.sleep(0.005)
            answer = connection.ask(body)
            assert (answer.status, json.loads(answer.body)["entitlement"]["used"]) == (200, number)
        assert parsed == []


def test_a_body_that_comes_late_is_answered_all_the_same(where: Any) -> None:  # noqa: ANN401
    """By the slow path, whose limits of time apply."""
    with Connection(where.connect()) as connection:
        for pause in (0.0, 0.08, 0.0, 0.08):
            head, body = halves(SOUND)
            connection.send(head)
            time.sleep(pause)
            assert connection.ask(body + SOUND).status == 200
            answer = connection.read()
            assert answer is not None
            assert answer.status == 200


def test_a_client_that_ends_before_the_body_is_told(where: Any) -> None:  # noqa: ANN401
    """The head that waited is a request that is not complete."""
    with Connection(where.connect()) as connection:
        assert connection.ask(SOUND).status == 200
        connection.send(halves(SOUND, 3)[0])
        connection.sock.shutdown(socket.SHUT_WR)
        answer = connection.read()
        assert answer is not None
        assert answer.status == 400
        assert connection.ended()


def test_a_repeat_behind_half_a_chunk_is_a_part_of_it(where: Any) -> None:  # noqa: ANN401
    """As with a length."""
    chunked = raw("Transfer-Encoding: chunked")
    for piece in (chunked, chunked + b"%x\r\n" % len(SOUND), chunked + b"%x" % len(SOUND)):
        with Connection(where.connect()) as connection:
            connection.send(piece)
            connection.send(SOUND)
            connection.sock.shutdown(1)
            answer = connection.read()
            assert answer is not None
            assert answer.status == 400


@pytest.mark.parametrize("first", [b"P", b"POST", b"POST /v1/check HTTP/1.1\r", b"\r\nG"])
def test_a_repeat_behind_the_first_byte_is_no_request(where: Any, first: bytes) -> None:  # noqa: ANN401
    """One byte is enough to begin another."""
    with Connection(where.connect()) as connection:
        connection.send(first)
        connection.send(SOUND)
        answer = connection.read()
        assert answer is not None
        assert answer.status == 400


def test_empty_lines_before_a_request_are_nothing(where: Any) -> None:  # noqa: ANN401
    """As RFC 9112, section 2.2, asks of servers."""
    assert statuses(where, b"\r\n", SOUND, b"\r\n\r\n" + SOUND) == [200, 200]


def test_a_repeat_with_something_behind_it_is_read(where: Any) -> None:  # noqa: ANN401
    """It is not exactly one request."""
    assert statuses(where, SOUND + b"GET /nothing HT", b"TP/1.1\r\nHost: localhost\r\n\r\n") == [200, 404]


def test_a_length_that_lies_is_believed(where: Any) -> None:  # noqa: ANN401
    """Too long: the rest is awaited. Too short: the rest is the next request."""
    assert statuses(where, raw(f"Content-Length: {len(BODY) + 9}", body=BODY)) == [400]
    assert statuses(where, raw(f"Content-Length: {len(BODY) - 1}", body=BODY)) == [400, 400]


@pytest.mark.parametrize(
    "line",
    [
        "Connection: close",
        "Connection: Close",
        "Connection: keep-alive, close",
        "connection:close",
    ],
)
def test_who_wants_the_connection_closed_gets_that(where: Any, line: str) -> None:  # noqa: ANN401
    """Also the third time, and with something behind it, which is not looked at."""
    for _ in range(3):
        answers = exchange(where, raw(line, LENGTH, body=BODY) + SOUND)
        assert [answer.status for answer in answers] == [200]
        assert answers[0].headers["connection"] == "close"


def test_http_1_0_is_answered_once(where: Any) -> None:  # noqa: ANN401
    """It has no lasting connections."""
    old = raw(LENGTH, body=BODY).replace(b"HTTP/1.1", b"HTTP/1.0", 1)
    for data in (old, old.replace(b"Host: localhost\r\n", b"")):
        for _ in range(3):
            answers = exchange(where, data)
            assert [(answer.status, answer.headers["connection"]) for answer in answers] == [(200, "close")]


def test_who_asks_before_sending_is_told_to_go_on(where: Any) -> None:  # noqa: ANN401
    """`Expect: 100-continue`, each time."""
    head = raw(LENGTH, "Expect: 100-continue")
    with Connection(where.connect()) as connection:
        for _ in range(3):
            assert connection.ask(head).status == 100
            assert connection.ask(BODY).status == 200


@pytest.mark.parametrize("upgrade", ["websocket", "h2c", "TLS/1.0"])
def test_another_protocol_is_not_spoken(where: Any, upgrade: str) -> None:  # noqa: ANN401
    """The request is answered in HTTP/1.1, as is what follows (RFC 9110, section 7.8); Java's client asks so."""
    asking = raw(
        "Connection: Upgrade, HTTP2-Settings", f"Upgrade: {upgrade}", "HTTP2-Settings: AAMAAABk", LENGTH, body=BODY
    )

    assert statuses(where, asking, SOUND, asking + SOUND + asking, SOUND) == [200] * 6


@settings(max_examples=60)
@given(data=st.data())
def test_however_requests_are_cut_the_answers_are_the_same(where: Any, data: st.DataObject) -> None:  # noqa: ANN401
    """Pieces of several requests, sent one after the other, as a slow network would deliver them."""
    kinds = [
        SOUND,
        get("/nothing"),
        post("/v1/check", {**CHECK, "used": 7}),
        FLAG,
        EVALUATION,
        raw("Transfer-Encoding: chunked", body=CHUNKED),
    ]
    expected = {kinds[0]: 200, kinds[1]: 404, kinds[2]: 200, FLAG: 200, EVALUATION: 200, kinds[-1]: 200}
    requests = data.draw(st.lists(st.sampled_from(kinds), min_size=1, max_size=5))
    stream = b"".join(requests)
    ends = [sum(map(len, requests[:place])) for place in range(1, len(requests))]
    cuts = sorted(
        set(data.draw(st.lists(st.integers(1, len(stream) - 1), max_size=3)))
        | set(data.draw(st.lists(st.sampled_from(ends or [1]), max_size=3)))
    )
    pieces = [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]

    assert statuses(where, *pieces) == [expected[request] for request in requests]
