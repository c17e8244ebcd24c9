"""Connections to the control plane and the injector: their number, their age, and how they end."""

from __future__ import annotations

import asyncio
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import uvloop

from tests.serving import Where
from tests.wire import Connection, request
from tiergate.http.bounded_protocol import ConnectionLimits, ConnectionTally, bounded
from tiergate.process.listener import Listener
from tiergate.process.sockets import bind_tcp

if TYPE_CHECKING:
    from collections.abc import Iterator

GET = request("GET", "/v1/thing", {"Host": "x"})
PROBE = request("GET", "/livez?why=not", {"Host": "x"})
PROBES = frozenset({"/livez"})


async def application(scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401, ARG001 - ASGI
    """Answer a GET with its path, and anything else with 413, before its body has come."""
    status, body = (200, scope["path"].encode()) if scope["method"] == "GET" else (413, b"too large")
    headers = [(b"content-length", str(len(body)).encode())]
    if status == 413:
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@contextmanager
def serving(
    limits: ConnectionLimits, tally: ConnectionTally | None = None, *, keep_alive: float = 75.0
) -> Iterator[Where]:
    """Serve the application with these limits."""
    bound = bind_tcp("127.0.0.1", 0)
    where = Where(*bound[0].getsockname())
    listener = Listener(
        application, bound, protocol=bounded(limits, tally), keep_alive=keep_alive, shutdown_timeout=1.0
    )
    loop = uvloop.new_event_loop()
    started = threading.Event()

    async def serve() -> None:
        running = asyncio.create_task(listener.run_until_end())
        await listener.listening.wait()
        started.set()
        await running

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    assert started.wait(10)
    try:
        yield where
    finally:
        loop.call_soon_threadsafe(listener.end)
        thread.join(10)
        loop.close()
        assert not thread.is_alive()


def test_a_request_beyond_the_limit_is_refused_in_words_and_the_connection_ends() -> None:
    """Its problem names the reason, and says when to come back."""
    tally = ConnectionTally()
    with (
        serving(ConnectionLimits(most=1, probes=PROBES), tally) as where,
        Connection(where.connect()) as first,
        Connection(where.connect()) as second,
    ):
        assert first.ask(GET).status == 200
        answer = second.ask(GET)
        assert (answer.status, answer.json()["type"]) == (503, "urn:tiergate:problem:too-many-connections")
        assert int(answer.headers["retry-after"]) > 0
        assert second.sock.recv(1) == b""
        assert first.ask(GET).status == 200
    assert tally.refused == 1


def test_a_probe_beyond_the_limit_is_answered() -> None:
    """Whatever its query."""
    with (
        serving(ConnectionLimits(most=1, probes=PROBES)) as where,
        Connection(where.connect()),
        Connection(where.connect()) as second,
    ):
        answer = second.ask(PROBE)
        assert (answer.status, answer.body) == (200, b"/livez")


def test_a_connection_that_asks_nothing_is_closed_after_the_keep_alive_time() -> None:
    """Also one on which nothing was ever asked."""
    with serving(ConnectionLimits(), keep_alive=0.1) as where, where.connect() as silent:
        assert silent.recv(1) == b""


def test_a_head_that_never_ends_is_not_waited_for() -> None:
    """It must arrive within its time, however often something of it comes."""
    with serving(ConnectionLimits(head_timeout=0.1)) as where, where.connect() as slow:
        slow.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n")
        assert slow.recv(1) == b""


def test_an_old_connection_ends_with_its_next_answer() -> None:
    """The answer says so, and is whole."""
    with serving(ConnectionLimits(max_age=0.0)) as where, Connection(where.connect()) as connection:
        answer = connection.ask(GET)
        assert (answer.status, answer.headers["connection"], answer.body) == (200, "close", b"/v1/thing")
        assert connection.sock.recv(1) == b""


def test_an_answer_that_comes_before_the_end_of_a_large_body_can_be_read() -> None:
    """A client that first sends all of 20 MB gets its 413, not a reset."""
    body = bytes(20_000_000)
    with serving(ConnectionLimits()) as where, Connection(where.connect()) as connection:
        connection.send(request("POST", "/v1/thing", {"Host": "x", "Content-Length": str(len(body))}, body))
        answer = connection.read()
        assert answer is not None
        assert (answer.status, answer.body) == (413, b"too large")


def test_what_comes_after_a_refusal_is_read_for_a_while_alone() -> None:
    """Whoever goes on sending is cut off in the end."""
    limits = ConnectionLimits(linger=0.1)
    with serving(limits) as where, Connection(where.connect()) as connection:
        connection.send(request("POST", "/v1/thing", {"Host": "x", "Content-Length": "1000000"}, b"begun"))
        answer = connection.read()
        assert answer is not None
        assert answer.status == 413
        assert connection.sock.recv(1) == b""
