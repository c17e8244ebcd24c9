"""The client for asyncio: connections, deadlines, cancellation; its questions are those of `Sidecar`."""

from __future__ import annotations

import asyncio
import inspect
import json
import os
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from tiergate.client import AsyncSidecar, Sidecar
from tiergate.errors import CallerError, SidecarUnreachableError, UnknownFeatureError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine
    from pathlib import Path

    from tests.unit.client.conftest import Server

ANSWER: dict[str, Any] = {
    "allowed": True,
    "reason": "granted",
    "feature": "movies",
    "entitlement": {},
    "sources": [],
    "policies": [],
    "publication": 1,
    "revision": "r",
    "stale": False,
}


def response(feature: str = "movies", **members: object) -> bytes:
    """An answer as the sidecar sends it."""
    body = json.dumps({**ANSWER, "feature": feature, **members}).encode()
    return b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)


@asynccontextmanager
async def serving(
    answer: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]], path: Path | None = None
) -> AsyncIterator[str]:
    """A server that does what a test says with each connection, after the first bytes of a request."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await answer(reader, writer)
        except ConnectionError:
            pass
        finally:
            writer.close()

    if path is not None:
        server = await asyncio.start_unix_server(handle, path)
        url = f"unix:{path}"
    else:
        server = await asyncio.start_server(handle, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        yield url


def test_it_asks_what_the_other_client_asks() -> None:
    """Each method of one is a method of the other, with the same arguments."""
    others = {"close", "ask", "flush_outcomes"}
    for name, method in inspect.getmembers(Sidecar, inspect.isfunction):
        if name.startswith("_") or name in others:
            continue
        own = set(inspect.signature(getattr(AsyncSidecar, name)).parameters) - {"options"}
        lacking = set(inspect.signature(method).parameters) - own
        assert lacking <= {
            "amount",
            "used",
            "user_used",
            "value",
            "level",
            "request_id",
            "traceparent",
            "options",
            "wait",
        }, name


def test_connections_are_kept_and_replaced(server: Server) -> None:
    """One connection serves one request after the other; one that died while it was idle is replaced."""
    server.body = json.dumps(ANSWER).encode()

    async def ask() -> None:
        async with AsyncSidecar(server.url, timeout=10) as sidecar:
            assert (await sidecar.check("ada", "movies")).allowed
            assert (await sidecar.check("ada", "movies")).allowed
            assert server.connections == 1
            server.closes = True
            for _ in range(3):
                assert await sidecar.allows("ada", "movies", otherwise=False)
                await asyncio.to_thread(server.closed.acquire, timeout=5)

    asyncio.run(ask())
    assert len(server.requests) == 5


def test_many_at_once_get_their_own_answers() -> None:
    """Each has a connection of its own."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readuntil(b"\r\n\r\n"):
            size = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            feature = json.loads(await reader.readexactly(size))["feature"]
            await asyncio.sleep(0.001 * (hash(feature) % 5))
            writer.write(response(feature))

    async def ask() -> None:
        async with serving(answer) as url, AsyncSidecar(url, timeout=20) as sidecar:
            found = await asyncio.gather(*(sidecar.check("ada", f"f{number}") for number in range(100)))
            assert [one.feature for one in found] == [f"f{number}" for number in range(100)]

    asyncio.run(ask())


def test_without_an_answer_there_is_what_the_service_said() -> None:
    """Whatever the reason; the hook hears of each."""

    async def nothing(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read(-1)

    async def part(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(response()[:-5])

    async def another(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(response("other"))
        await reader.read(-1)

    async def no_http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"hello\r\n\r\n")

    async def undecided(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 503 No\r\ncontent-length: 17\r\n\r\n" + b'{"detail": "why"}')

    async def ask() -> None:
        for answer in (nothing, part, another, no_http, undecided):
            told: list[SidecarUnreachableError] = []
            async with serving(answer) as url, AsyncSidecar(url, timeout=0.3, on_no_answer=told.append) as sidecar:
                assert await sidecar.allows("ada", "movies", otherwise=True)
                with pytest.raises(SidecarUnreachableError):
                    await sidecar.check("ada", "movies")
                assert (len(told), sidecar.no_answers) == (2, 2)
        async with AsyncSidecar("http://127.0.0.1:1") as sidecar:
            assert not await sidecar.allows("ada", "movies", otherwise=False)

    asyncio.run(ask())


def test_a_cancelled_call_gives_its_answer_to_nobody() -> None:
    """Its connection is closed: the next call does not read what comes late."""
    late = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        assert head
        if not late.is_set():
            late.set()
            await asyncio.sleep(0.05)
            writer.write(response(reason="late"))
        else:
            writer.write(response(reason="own"))
        await reader.read(-1)

    async def ask() -> None:
        async with serving(answer) as url, AsyncSidecar(url, timeout=10) as sidecar:
            asking = asyncio.create_task(sidecar.check("ada", "movies"))
            await late.wait()
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
            await asyncio.sleep(0.1)
            assert (await sidecar.check("ada", "movies")).reason == "own"
            assert sidecar.no_answers == 0

    asyncio.run(ask())


def test_bytes_that_nobody_asked_for_close_a_connection() -> None:
    """They are never read as an answer."""
    asked: list[int] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        asked.append(1)
        writer.write(response())
        await writer.drain()
        await asyncio.sleep(0.02)
        writer.write(response(allowed=False))
        await reader.read(-1)

    async def ask() -> None:
        async with serving(answer) as url, AsyncSidecar(url, timeout=10) as sidecar:
            for _ in range(2):
                assert (await sidecar.check("ada", "movies")).allowed
                await asyncio.sleep(0.1)

    asyncio.run(ask())
    assert len(asked) == 2


def test_loops_that_take_turns_keep_their_connections() -> None:
    """Neither takes, or closes, what the other has."""
    opened: list[int] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        opened.append(1)
        while await reader.readuntil(b'"movies"}'):
            writer.write(response())

    async def ask() -> None:
        async with serving(answer) as url:
            sidecar = AsyncSidecar(url, timeout=10)
            loops = [asyncio.new_event_loop() for _ in range(2)]
            for _ in range(3):
                for loop in loops:
                    answered = await asyncio.to_thread(loop.run_until_complete, sidecar.check("ada", "movies"))
                    assert answered.allowed
            sidecar._connections.close()
            for loop in loops:
                await asyncio.to_thread(loop.run_until_complete, asyncio.sleep(0.01))
                loop.close()

    asyncio.run(ask())
    assert len(opened) == 2


def test_a_misspelt_argument_is_an_error_as_in_the_other_client() -> None:
    """Without it, the check would be about one unit, and perhaps allowed."""
    sidecar = AsyncSidecar("http://127.0.0.1:1")
    asks: tuple[Callable[..., Any], ...] = sidecar.check, sidecar.explain, partial(sidecar.allows, otherwise=True)
    for ask in asks:
        with pytest.raises(TypeError, match="amout"):
            asyncio.run(ask("ada", "movies", amout=5))


def test_one_client_serves_several_loops(server: Server) -> None:
    """Each loop has its own connections; so has a child of a fork, which leaves its parent's alone."""
    server.body = json.dumps(ANSWER).encode()
    sidecar = AsyncSidecar(server.url, timeout=10)

    async def ask() -> bool:
        try:
            return await sidecar.allows("ada", "movies", otherwise=False)
        finally:
            sidecar._connections.close()

    assert asyncio.run(ask())
    assert asyncio.run(ask())

    async def ask_and_fork() -> int:
        assert await sidecar.allows("ada", "movies", otherwise=False)
        child = os.fork()
        if child == 0:
            left = 1
            try:
                left = 0 if sidecar._connections._take() is None else 2
            finally:
                os._exit(left)
        assert await ask()
        return child

    _, status = os.waitpid(asyncio.run(ask_and_fork()), 0)
    assert os.waitstatus_to_exitcode(status) == 0


def test_a_unix_socket(tmp_path: Path) -> None:
    """By its path."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert b"\r\nHost: localhost\r\n" in await reader.readuntil(b"\r\n\r\n")
        writer.write(response())
        await reader.read(-1)

    async def ask() -> None:
        async with serving(answer, tmp_path / "s") as url, AsyncSidecar(url, timeout=10) as sidecar:
            assert (await sidecar.check("ada", "movies")).allowed

    asyncio.run(ask())


def test_a_mistake_is_raised_or_told(server: Server) -> None:
    """As the other client does."""
    server.status = 404
    server.body = b'{"type": "urn:tiergate:problem:unknown-feature", "suggestion": "movies"}'
    told: list[CallerError] = []

    async def ask() -> None:
        async with AsyncSidecar(server.url, timeout=10) as sidecar:
            with pytest.raises(UnknownFeatureError, match="did you mean `movies`"):
                await sidecar.allows("ada", "moovies", otherwise=True)
        async with AsyncSidecar(server.url, timeout=10, on_mistake=told.append) as sidecar:
            assert await sidecar.allows("ada", "moovies", otherwise=True)

    asyncio.run(ask())
    assert len(told) == 1


def test_a_reservation_ends_with_its_block(server: Server) -> None:
    """Committed with what was used; released if the block raises."""
    server.body = json.dumps({**ANSWER, "reserved": 2, "reservation": "r1", "key": "k"}).encode()

    async def ask() -> None:
        async with AsyncSidecar(server.url, timeout=10) as sidecar:
            async with await sidecar.reserve("ada", "movies", amount=2) as reservation:
                assert reservation
                reservation.use(1)
            with pytest.raises(RuntimeError, match="no"):
                async with await sidecar.reserve("ada", "movies", amount=2):
                    raise RuntimeError("no")

    asyncio.run(ask())
    assert [(path, body) for _, path, _, body in server.requests[1::2]] == [
        ("/v1/reservations/r1/commit", b'{"amount":1}'),
        ("/v1/reservations/r1/release", b"{}"),
    ]
