"""Clients that send too much, too slowly, or nothing at all; and those that do not read."""

from __future__ import annotations

import select
import socket
import time
from typing import TYPE_CHECKING

import pytest

from tests.serving import Service, customer, get, post
from tests.wire import Connection, request
from tiergate.sidecar.listener_limits import ListenerLimits

if TYPE_CHECKING:
    from tiergate.sidecar.http_protocol import SidecarProtocol

CHECK = {"subject": "acme", "feature": "movies"}
SOUND = post("/v1/check", CHECK)
LIMITS = ListenerLimits(head_timeout=0.2, linger=0.05)


def test_a_body_that_announces_too_much_is_refused_unread() -> None:
    """At once, whatever it holds, and before it is sent."""
    service = Service(customer("acme"), max_body=1_000, limits=LIMITS)
    with service.serve() as where, Connection(where.connect()) as connection:
        answer = connection.ask(request("POST", "/v1/check", {"Host": "localhost", "Content-Length": "1001"}))

        assert (answer.status, answer.headers["connection"]) == (413, "close")
        assert answer.headers["content-type"] == "application/problem+json"
        assert connection.ended()


def test_who_asks_before_sending_too_much_is_not_told_to_go_on() -> None:
    """The refusal comes instead of `100 Continue`."""
    service = Service(customer("acme"), max_body=1_000, limits=LIMITS)
    headers = {"Host": "localhost", "Content-Length": "1001", "Expect": "100-continue"}
    with service.serve() as where, Connection(where.connect()) as connection:
        assert connection.ask(request("POST", "/v1/check", headers)).status == 413


@pytest.mark.parametrize("endless", [False, True])
def test_a_body_in_chunks_is_refused_where_it_becomes_too_much(*, endless: bool) -> None:
    """Nobody knows beforehand; the refusal is read though the client is still sending."""
    service = Service(customer("acme"), max_body=1_000, limits=LIMITS)
    headers = {"Host": "localhost", "Transfer-Encoding": "chunked"}
    with service.serve() as where, Connection(where.connect()) as connection:
        connection.send(request("POST", "/v1/check", headers))
        for _ in range(300 if endless else 3):
            connection.send(b"1f4\r\n%b\r\n" % (b" " * 500))
        answer = connection.read()

        assert answer is not None
        assert answer.status == 413


def test_a_body_of_the_most_bytes_is_read() -> None:
    """The bound is what may be sent."""
    body = b'{"subject": "acme", "feature": "movies"}'.ljust(1_000)
    service = Service(customer("acme"), max_body=1_000)
    with service.serve() as where, Connection(where.connect()) as connection:
        for _ in range(3):
            assert connection.ask(post("/v1/check", body)).status == 200
            assert connection.ask(post("/v1/check", body)).status == 200
        # What is learnt from small bodies does not let larger ones in.
        assert connection.ask(post("/v1/check", body + b" ")).status == 413


def test_a_body_that_trickles_is_given_up() -> None:
    """However regularly it does."""
    service = Service(customer("acme"), body_timeout=0.2, limits=LIMITS)
    with service.serve() as where, Connection(where.connect()) as connection:
        begun = time.monotonic()
        connection.send(post("/v1/check", CHECK)[:-5])
        answer = connection.read()

        assert answer is not None
        assert (answer.status, answer.json()["title"]) == (408, "request timeout")
        assert connection.ended()
        assert time.monotonic() - begun < 5


@pytest.mark.parametrize(
    "begun", [b"P", b"POST /v1/check HTTP/1.1\r\n", b"POST /v1/check HTTP/1.1\r\nHost: localhost\r\nX: "]
)
def test_a_head_that_never_ends_is_given_up(begun: bytes) -> None:
    """That is how a slowloris holds all connections."""
    with Service(limits=LIMITS).serve() as where, Connection(where.connect()) as connection:
        connection.send(begun)
        answer = connection.read()

        assert answer is not None
        assert answer.status == 408
        assert connection.ended()


def test_a_head_that_trickles_is_given_up() -> None:
    """A byte now and then wins no time."""
    with Service(limits=LIMITS).serve() as where, Connection(where.connect()) as connection:
        connection.sock.settimeout(0.02)
        connection.send(b"GET / HTTP/1.1\r\n")
        begun = time.monotonic()
        answer = None
        while answer is None and time.monotonic() - begun < 5:
            try:
                connection.send(b"X-Y: z\r\n")
                answer = connection.read()
            except TimeoutError:
                continue

        assert answer is not None
        assert answer.status == 408


def test_a_connection_that_says_nothing_is_closed() -> None:
    """Also one on which nothing was ever asked, and one that sends empty lines."""
    with Service(keep_alive=0.2).serve() as where:
        with Connection(where.connect()) as connection:
            assert connection.ended()
        with Connection(where.connect()) as connection:
            connection.send(b"\r\n\r\n")
            assert connection.ended()


def test_a_connection_that_is_done_is_closed() -> None:
    """Some time after its last answer, whichever way that took."""
    with Service(customer("acme"), keep_alive=0.2).serve() as where, Connection(where.connect()) as connection:
        for _ in range(4):
            assert connection.ask(SOUND).status == 200
        assert connection.ended()


@pytest.mark.parametrize("memo", [False, True])
def test_a_busy_connection_is_not_closed(*, memo: bool) -> None:
    """However long it goes on; also where the parser never sees its requests."""
    service = Service(customer("acme"), keep_alive=0.2, memo=memo)
    with service.serve() as where, Connection(where.connect()) as connection:
        begun = time.monotonic()
        while time.monotonic() - begun < 1:
            assert connection.ask(SOUND).status == 200


@pytest.mark.parametrize(
    "head",
    [
        {"X": "y" * 40_000},
        {"X" * 40_000: "y"},
        {f"X-{place}": "y" for place in range(101)},
        {f"X-{place}": "y" * 900 for place in range(50)},
    ],
)
def test_a_head_that_is_too_large_is_refused(head: dict[str, str]) -> None:
    """One long header or many, in one piece."""
    with Service().serve() as where, Connection(where.connect()) as connection:
        answer = connection.ask(get("/livez", headers=head))

        assert (answer.status, answer.headers["connection"]) == (431, "close")
        assert answer.headers["content-type"] == "application/problem+json"


def test_a_target_that_is_too_long_is_refused() -> None:
    """It is part of the head."""
    with Service().serve() as where, Connection(where.connect()) as connection:
        assert connection.ask(get("/v1/entitlements?subject=" + "a" * 40_000)).status == 431


@pytest.mark.parametrize("pieces", [1, 100])
def test_a_head_that_grows_is_refused_before_it_ends(pieces: int) -> None:
    """It never does."""
    with Service(limits=LIMITS).serve() as where, Connection(where.connect()) as connection:
        connection.send(b"GET / HTTP/1.1\r\nX: ")
        for _ in range(pieces):
            connection.send(b"y" * (100_000 // pieces))
        answer = connection.read()

        assert answer is not None
        assert answer.status == 431
        assert connection.ended()


def test_more_connections_than_there_may_be_are_told_so() -> None:
    """Those that are open go on; a new one is answered with 503 and closed."""
    service = Service(customer("acme"), limits=ListenerLimits(connections=2, linger=0.05))
    with service.serve() as where, Connection(where.connect()) as first, Connection(where.connect()) as second:
        assert [first.ask(SOUND).status, second.ask(SOUND).status] == [200, 200]
        with Connection(where.connect()) as third:
            answer = third.ask(SOUND)
            assert (answer.status, answer.headers["retry-after"]) == (503, "1")
            assert answer.headers["content-type"] == "application/problem+json"
            assert third.ended()
        assert [first.ask(SOUND).status, second.ask(SOUND).status] == [200, 200]


@pytest.mark.parametrize("memo", [False, True])
def test_who_does_not_read_is_not_answered_further(*, memo: bool) -> None:
    """What is kept for him is bounded; once he reads, every answer comes, in order."""
    service = Service(customer("acme"), memo=memo)
    padded = post("/v1/check", b'{"subject": "acme", "feature": "movies"}'.ljust(1_000))
    with service.serve() as where:
        reader = socket.socket()
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16_384)
        reader.connect((where.host, where.port))
        with Connection(reader) as connection:
            sent = _send_all_that_is_taken(reader, memoryview(padded * 15_000))
            kept = service.run(lambda: [_kept(open_) for open_ in service.connections()])
            assert max(kept) < 2**20

            ids = []
            for _ in range(sent // len(padded)):
                answer = connection.read()
                assert answer is not None
                assert answer.status == 200
                ids.append(answer.headers["tiergate-decision-id"])
            assert ids == sorted(set(ids))


@pytest.mark.parametrize("flood", [b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n", SOUND])
def test_a_flood_of_tiny_requests_is_queued_by_the_hundred(flood: bytes) -> None:
    """Each costs kilobytes while it waits, so most of them wait as the bytes that they are."""
    service = Service(customer("acme"))
    most = 0

    def look() -> None:
        nonlocal most
        most = max([most, *(len(open_.pipeline) for open_ in service.connections())])

    with service.serve() as where, Connection(where.connect()) as connection:
        connection.send(flood * 20_000)
        connection.sock.shutdown(socket.SHUT_WR)
        count = 0
        while connection.read() is not None:
            count += 1
            if not count % 500:
                service.run(look)

    assert count == 20_000
    assert 0 < most < 1_000


def _send_all_that_is_taken(sock: socket.socket, data: memoryview) -> int:
    """Send until the other side takes no more for a while; say how much it took."""
    sock.setblocking(False)
    sent = 0
    while sent < len(data) and select.select([], [sock], [], 0.5)[1]:
        sent += sock.send(data[sent : sent + 65_536])
    sock.settimeout(10)
    return sent


def _kept(connection: SidecarProtocol) -> int:
    """How many bytes a connection keeps of answers and requests."""
    return connection.transport.get_write_buffer_size() + len(connection._backlog) + 4_000 * len(connection.pipeline)
