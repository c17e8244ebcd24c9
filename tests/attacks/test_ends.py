"""How connections end: by the client, in the middle of anything, and by the sidecar, without losing an answer."""

from __future__ import annotations

import asyncio
import itertools
import socket
import struct
import time
from typing import TYPE_CHECKING

import pytest

from tests.serving import Service, customer, post
from tests.wire import Answer, Connection
from tiergate.sidecar.listener_limits import ListenerLimits

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.serving import Where

SOUND = post("/v1/check", {"subject": "acme", "feature": "movies"})


@pytest.fixture(params=["uvloop", "asyncio"])
def served(request: pytest.FixtureRequest) -> Iterator[tuple[Service, Where]]:
    """A sidecar on either event loop that was asked the sound request before."""
    service = Service(customer("acme"), limits=ListenerLimits(linger=0.2))
    with service.serve(loop=request.param) as where:
        with Connection(where.connect()) as connection:
            for _ in range(3):
                assert connection.ask(SOUND).status == 200
        yield service, where


def begin_shutdown(service: Service) -> None:
    """Do to connections what uvicorn does when a shutdown begins."""

    def begin() -> None:
        for connection in service.connections():
            connection.shutdown()

    service.run(begin)


def shut_down_after(answers: int, service: Service) -> None:
    """Begin a shutdown of all connections from within, soon after so many further answers."""
    next_id, given = service.service.next_id, itertools.count(1)

    def count() -> bytes:
        if next(given) == answers:
            loop = asyncio.get_running_loop()
            for connection in service.connections():
                loop.call_soon(connection.shutdown)
        return next_id()

    service.service.next_id = count


@pytest.mark.parametrize("count", [1, 7])
def test_who_has_said_everything_still_gets_answers(served: tuple[Service, Where], count: int) -> None:
    """A client may close its own direction as soon as it has asked."""
    with Connection(served[1].connect()) as connection:
        connection.send(SOUND * count)
        connection.sock.shutdown(socket.SHUT_WR)
        answers = [connection.read() for _ in range(count)]

        assert [answer.status for answer in answers if answer is not None] == [200] * count
        assert connection.ended()


@pytest.mark.parametrize("cut", [1, 30, len(SOUND) - 30, len(SOUND) - 1])
def test_a_request_that_ends_before_its_end_is_refused(served: tuple[Service, Where], cut: int) -> None:
    """Wherever it is cut; the sound one before it is answered."""
    with Connection(served[1].connect()) as connection:
        connection.send(SOUND + SOUND[:cut])
        connection.sock.shutdown(socket.SHUT_WR)
        answers = [connection.read(), connection.read()]

        assert [answer.status for answer in answers if answer is not None] == [200, 400]
        assert connection.ended()


@pytest.mark.parametrize("cut", [0, 1, 30, len(SOUND) - 30, len(SOUND) - 1, len(SOUND)])
def test_a_client_that_vanishes_disturbs_nobody(served: tuple[Service, Where], cut: int) -> None:
    """Whenever it does, with a reset."""
    service, where = served
    with Connection(where.connect()) as other:
        for _ in range(5):
            sock = where.connect()
            sock.sendall((SOUND * 3)[:cut] if cut < len(SOUND) else SOUND * 50)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sock.close()
            assert other.ask(SOUND).status == 200
    while service.run(lambda: len(service.connections())):
        time.sleep(0.005)

    assert service.metrics.connections == 0


def test_a_shutdown_closes_connections_at_rest(served: tuple[Service, Where]) -> None:
    """Nobody is asking anything."""
    with Connection(served[1].connect()) as connection:
        assert connection.ask(SOUND).status == 200
        begin_shutdown(served[0])

        assert connection.ended()


def test_a_request_that_was_under_way_at_a_shutdown_is_answered(served: tuple[Service, Where]) -> None:
    """As the last one, which it is told; also where it would be answered the quick way."""
    with Connection(served[1].connect()) as connection:
        assert connection.ask(SOUND).status == 200
        begin_shutdown(served[0])
        answer = connection.ask(SOUND)

        assert (answer.status, answer.headers["connection"]) == (200, "close")
        assert connection.ended()


@pytest.mark.parametrize("cut", [1, 30, len(SOUND) - 30, len(SOUND) - 1])
def test_a_request_that_was_begun_at_a_shutdown_is_answered(served: tuple[Service, Where], cut: int) -> None:
    """Its client cannot know."""
    service, where = served
    with Connection(where.connect()) as connection:
        connection.send(SOUND[:cut])
        while not service.run(lambda: any(open_._in_head or open_._waits() for open_ in service.connections())):
            time.sleep(0.005)
        begin_shutdown(service)
        answer = connection.ask(SOUND[cut:])

        assert (answer.status, answer.headers["connection"]) == (200, "close")
        assert connection.ended()


def test_queued_requests_are_answered_at_a_shutdown(served: tuple[Service, Where]) -> None:
    """All of them, the last with the news."""
    service, where = served
    with Connection(where.connect()) as connection:
        shut_down_after(10, service)
        connection.send(SOUND * 300)
        answers: list[Answer] = []
        while (answer := connection.read()) is not None:
            answers.append(answer)

        assert {answer.status for answer in answers} == {200}
        assert [answer.headers.get("connection") for answer in answers[:-1]] == [None] * (len(answers) - 1)
        assert answers[-1].headers.get("connection") == "close"
        assert len(answers) == 300


def test_a_shutdown_of_the_server_ends_it(served: tuple[Service, Where]) -> None:
    """With connections open that nobody uses any more."""
    service, where = served
    with Connection(where.connect()) as connection:
        assert connection.ask(SOUND).status == 200
        service.stop()

        assert connection.ended()
