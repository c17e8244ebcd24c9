"""What a worker hands on to its leader, and how it asks."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from tiergate.errors import RequestError
from tiergate.sidecar.metrics import Metrics
from tiergate.sidecar.usage.leader_usage import UsageElsewhereError
from tiergate.sidecar.workers.handing_on import HandingOn
from tiergate.sidecar.workers.leader_client import LeaderAnswer, LeaderClient

if TYPE_CHECKING:
    from pathlib import Path

    from starlette.types import Message, Receive, Scope, Send


def scope(path: str, method: str = "POST", query: bytes = b"", **headers: str) -> dict[str, Any]:
    """An ASGI scope."""
    pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
    return {"type": "http", "method": method, "path": path, "query_string": query, "headers": pairs}


class FakeLeader:
    """Notes what it is asked."""

    def __init__(self, error: RequestError | None = None) -> None:
        self.asked: list[tuple[str, bytes]] = []
        self.error = error

    async def ask(self, scope: Scope, body: bytes) -> LeaderAnswer:
        """Answer with its own mark."""
        self.asked.append((scope["path"], body))
        if self.error is not None:
            raise self.error
        return LeaderAnswer(201, [(b"x-by", b"leader")], b"from the leader")


async def answer(
    path: str, leader: FakeLeader, *, needs_usage: bool = False, metrics: Metrics | None = None
) -> tuple[int, bytes]:
    """The status and body of what a worker answers."""
    sent: list[Message] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001 - ASGI
        body = (await receive())["body"]
        if needs_usage:
            raise UsageElsewhereError
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"own " + body})

    async def receive() -> Message:
        return {"type": "http.request", "body": b"body", "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    await HandingOn(app, leader, metrics or Metrics())(scope(path), receive, send)
    return sent[0]["status"], sent[1]["body"]


@pytest.mark.parametrize(
    ("path", "needs_usage", "is_handed_on"),
    [
        ("/v1/check", False, False),
        ("/v1/check", True, True),
        ("/v1/consume", False, True),
        ("/v1/usage", False, True),
        ("/v1/reservations/r/commit", False, True),
        ("/v1/usages", False, False),
    ],
)
def test_what_rests_on_usage_is_handed_on(path: str, needs_usage: bool, is_handed_on: bool) -> None:
    """As it came; everything else is answered here."""
    leader = FakeLeader()
    found = asyncio.run(answer(path, leader, needs_usage=needs_usage))
    assert found == ((201, b"from the leader") if is_handed_on else (200, b"own body"))
    assert leader.asked == ([(path, b"body")] if is_handed_on else [])


def test_a_leader_that_has_ended_is_a_problem() -> None:
    """The caller hears that it is not known whether it was counted."""
    status, body = asyncio.run(answer("/v1/consume", FakeLeader(RequestError(503, "usage not counted now", "ended"))))
    assert (status, b"usage-not-counted-now" in body) == (503, True)


@pytest.mark.parametrize(
    ("path", "endpoint", "member"),
    [
        ("/v1/check", "check", "type"),
        ("/v1/usage", "usage", "type"),
        ("/v1/reservations/r/commit", "reservations", "type"),
        ("/access/v1/evaluation", "authzen", "type"),
        ("/access/v1/evaluations", "authzen_batch", "type"),
        ("/access/v1/search/resource", "authzen_search", "type"),
        ("/ofrep/v1/evaluate/flags", "ofrep_bulk", "errorDetails"),
        ("/ofrep/v1/evaluate/flags/calls", "ofrep", "key"),
    ],
)
def test_a_leader_that_has_ended_is_an_error_of_each_protocol(path: str, endpoint: str, member: str) -> None:
    """In its own form, and counted for the endpoint that was asked."""
    metrics, leader = Metrics(), FakeLeader(RequestError(503, "usage not counted now", "ended"))
    status, body = asyncio.run(answer(path, leader, needs_usage=True, metrics=metrics))

    assert (status, metrics.requests) == (503, {(endpoint, 503): 1})
    assert member in json.loads(body)


def test_the_fast_path_hears_the_same_error(tmp_path: Path) -> None:
    """Of a request that was learned, in the form of its protocol."""
    metrics = Metrics()

    async def ask() -> bytes:
        client = LeaderClient(str(tmp_path / "gone"))
        return await client.answer_soon(b"POST /ofrep/v1/evaluate/flags/a%20b HTTP/1.1\r\n\r\n", metrics).wait()

    head, _, body = asyncio.run(ask()).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 503 ")
    assert json.loads(body)["key"] == "a b"
    assert metrics.requests == {("ofrep", 503): 1}


def test_requests_share_connections_that_stay(tmp_path: Path) -> None:
    """With their headers but for those of the connection; one that the leader has closed is not used again."""
    received: list[bytes] = []
    opened = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal opened
        opened += 1
        try:
            await converse(reader, writer)
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readuntil(b"\r\n\r\n"):
            length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
            received.append(head + await reader.readexactly(length))
            if b"/v1/end" in head:
                return
            writer.write(b"HTTP/1.1 200 OK\r\nDate: now\r\nX-A: b\r\ncontent-length: 2\r\n\r\nok")
            if b"/v1/last" in head:
                return

    async def test() -> None:
        server = await asyncio.start_unix_server(serve, tmp_path / "s")
        client = LeaderClient(str(tmp_path / "s"), connections=2)
        asked = scope("/v1/check", query=b"a=b", host="x", connection="close", **{"content-length": "9"})
        found = await client.ask(asked, b"{}")
        assert found == LeaderAnswer(200, [(b"x-a", b"b"), (b"content-length", b"2")], b"ok")
        await client.ask(scope("/v1/last"), b"")
        await asyncio.sleep(0.05)
        await client.ask(scope("/v1/check"), b"")
        assert opened == 2
        with pytest.raises(RequestError) as refused:
            await client.ask(scope("/v1/end"), b"")
        assert refused.value.status == 503
        await asyncio.gather(*(client.ask(scope("/v1/check"), b"") for _ in range(5)))
        assert opened <= 4
        client.close()
        server.close()
        await asyncio.sleep(0.05)

    asyncio.run(test())
    assert received[0] == b"POST /v1/check?a=b HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}"
