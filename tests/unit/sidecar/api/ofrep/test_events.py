from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.serving import NOW, Service, customer, disabled
from tiergate.sidecar.api.ofrep.events import EventStreams
from tiergate.sidecar.request_context import NO_CONTEXT

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.types import Message


class Client:
    """A client of a stream: what it got, and its end."""

    def __init__(self, streams: EventStreams, query: bytes = b"targetingKey=acme") -> None:
        self._got: asyncio.Queue[Message] = asyncio.Queue()
        self._gone = asyncio.Event()
        self.done = asyncio.ensure_future(streams.respond(query, NO_CONTEXT, self._receive, self._got.put))

    async def _receive(self) -> Message:
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def message(self) -> Message:
        """The next message, whatever it is."""
        return await asyncio.wait_for(self._got.get(), 10)

    async def event(self) -> dict[str, Any]:
        """The next event."""
        while True:
            body: bytes = (await self.message()).get("body", b"")
            for line in body.splitlines():
                if line.startswith(b"data: "):
                    found: dict[str, Any] = json.loads(line[6:])
                    return found

    async def leave(self) -> None:
        """Disconnect, and see the stream end."""
        self._gone.set()
        await asyncio.wait_for(self.done, 10)


def streaming(service: Service, test: Callable[[EventStreams], Awaitable[None]], **options: Any) -> None:  # noqa: ANN401
    """Run a test with streams that look often."""

    async def run() -> None:
        await test(EventStreams(service.service, service.native.ofrep.bulk, look=0.01, **options))

    asyncio.run(run())


def override_ends(service: Service) -> None:
    """The override's end comes."""
    service.clock.now += 5


def subject_changes(service: Service) -> None:
    """Acme's data changes."""
    service.state.subject_changed("acme", ["sub-acme"])


def everything_changes(service: Service) -> None:
    """A new publication."""
    service.publish(customer("acme", "silver"))


def data_becomes_stale(service: Service) -> None:
    """The limit of staleness is passed."""
    service.state.set_stale_at(service.clock.now)


@pytest.mark.parametrize("change", [override_ends, subject_changes, everything_changes, data_becomes_stale])
def test_a_change_is_told(change: Callable[[Service], None]) -> None:
    """Once at the beginning, then whenever the flags may be others."""
    service = Service(customer("acme", overrides=(disabled("movies", NOW - 1, NOW + 5),)))

    async def test(streams: EventStreams) -> None:
        client = Client(streams)
        start = await client.message()
        assert (start["status"], dict(start["headers"])[b"content-type"]) == (200, b"text/event-stream")
        assert await client.event() == {"type": "refetchEvaluation", "lastModified": NOW // 1000}
        while not service.native.ofrep.bulk.cache:  # noqa: ASYNC110 - has no event
            await asyncio.sleep(0)
        change(service)
        assert (await client.event())["type"] == "refetchEvaluation"
        await client.leave()

    streaming(service, test)


def test_quiet_streams_stay_open() -> None:
    """A comment now and then; no event, if only another customer changes."""

    async def test(streams: EventStreams) -> None:
        client = Client(streams)
        await client.event()
        service.state.subject_changed("bob", [])
        for _ in range(3):
            assert (await client.message())["body"] == b":\n\n"
        assert not client.done.done()
        await client.leave()

    service = Service(customer("acme"), customer("bob"))
    streaming(service, test, heartbeat=0.0)


def test_the_shutdown_ends_streams() -> None:
    """With an end of the body, so that the connection can close in order."""

    async def test(streams: EventStreams) -> None:
        client = Client(streams)
        await client.event()
        service.state.drain()
        await asyncio.wait_for(client.done, 10)
        last = await client.message()
        assert (last["body"], last.get("more_body", False)) == (b"", False)

    service = Service(customer("acme"))
    streaming(service, test)


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        (b"", 400, "TARGETING_KEY_MISSING"),
        (b"targetingKey=subscription:", 400, "TARGETING_KEY_MISSING"),
        (b"targetingKey=a&x=1", 400, "INVALID_CONTEXT"),
        (b"targetingKey=third", 503, "GENERAL"),
    ],
)
def test_a_stream_is_refused(query: bytes, status: int, code: str) -> None:
    """Without a subject, and above the limit of streams."""

    async def test(streams: EventStreams) -> None:
        first = Client(streams)
        await first.event()
        client = Client(streams, query)
        assert (await client.message())["status"] == status
        assert json.loads((await client.message())["body"])["errorCode"] == code
        await first.leave()

    streaming(Service(customer("acme")), test, most=1)
