"""The ways that a request can take through the sidecar, for tests that must hold on all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import pytest

from tests.serving import Service, customer
from tests.wire import Answer, Connection

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.serving import Where

WAYS = ("long", "piecewise", "first", "repeated", "traced", "unix")
"""`long`: nothing is remembered. `piecewise`: a byte at a time. `first`: as the first request of its kind.

`repeated`: until it is answered by the quickest way there is. `traced`: the same, with headers of their own in every
request. `unix`: repeated, on a Unix socket.
"""


class Ask(Protocol):
    """Sends a request the way that is tested, and gives the answer."""

    way: str
    service: Service
    where: Where

    def __call__(self, request: bytes) -> Answer:
        """Ask."""


class _Asker:
    def __init__(self, way: str, service: Service, where: Where, connection: Connection) -> None:
        self.service = service
        self.where = where
        self.way = way
        self._connection = connection
        self._asked = 0

    def __call__(self, request: bytes) -> Answer:
        """Ask once, or several times and see that every answer is the same."""
        if self.way == "piecewise":
            for place in range(len(request)):
                self._connection.send(request[place : place + 1])
            answer = self._connection.read()
            assert answer is not None
            return answer
        answers = [self._once(request) for _ in range(4 if self.way in {"repeated", "traced", "unix"} else 1)]
        assert len({str(answer.steady) for answer in answers}) == 1, answers
        ids = [answer.headers.get("tiergate-decision-id") for answer in answers]
        assert len(set(ids)) == len(ids) or ids[0] is None
        return answers[-1]

    def _once(self, request: bytes) -> Answer:
        if self.way != "traced":
            return self._connection.ask(request)
        self._asked += 1
        head, _, body = request.partition(b"\r\n\r\n")
        head += b"\r\ntraceparent: 00-%032x-%016x-01" % (self._asked, self._asked)
        if b"\r\nx-request-id:" in head.lower():
            return self._connection.ask(b"%b\r\n\r\n%b" % (head, body))
        answer = self._connection.ask(b"%b\r\nX-Request-ID: r%d\r\n\r\n%b" % (head, self._asked, body))
        assert answer.headers.pop("x-request-id") == f"r{self._asked}"
        return answer


@pytest.fixture(scope="session", params=WAYS)
def _way(request: pytest.FixtureRequest) -> Iterator[tuple[str, Service, Where]]:
    service = Service(customer("acme"), customer("bob", "silver"), memo=request.param != "long")
    with service.serve(uds=request.param == "unix") as where:
        yield request.param, service, where


@pytest.fixture
def ask(_way: tuple[str, Service, Where]) -> Iterator[Ask]:
    """Ask a sidecar that knows the customers acme (gold) and bob (silver), each way."""
    way, service, where = _way
    service.reset(customer("acme"), customer("bob", "silver"))
    with Connection(where.connect()) as connection:
        yield _Asker(way, service, where, connection)
