"""Connections to a sidecar for asyncio, by the rules of `connections`.

Connections belong to the event loop that opened them; another loop of the process, as of a second `asyncio.run`, opens
its own.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Final, cast

from tiergate.client.addresses import Address, Forks, failure_detail, request_bytes
from tiergate.client.http_response import ResponseError, ResponseReader
from tiergate.errors import SidecarUnreachableError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tiergate.client.http_response import Response

_KEPT: Final = 64


class _UnansweredError(ConnectionError):
    """The other side closed the connection before the first byte of a response."""

    def __init__(self) -> None:
        super().__init__("the connection was closed")


class _Connection(asyncio.Protocol):
    """A connection, the process and the loop that own it."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._forks = Forks.count
        self._process = os.getpid()
        self._transport: asyncio.Transport | None = None
        self._reader: ResponseReader | None = None
        self._answered: asyncio.Future[Response] | None = None
        self.is_open = True

    def is_ours(self) -> bool:
        is_of_process = self._forks == Forks.count and self._process == os.getpid()
        return is_of_process and self._loop is asyncio.get_running_loop()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if self._reader is None or self._answered is None or self._answered.done():
            self.close()  # bytes that nobody asked for
            return
        try:
            self._reader.feed(data)
        except ResponseError as error:
            self._answered.set_exception(error)
            return
        if self._reader.response is not None:
            self._answered.set_result(self._reader.response)

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_open = False
        reader, answered = self._reader, self._answered
        if reader is None or answered is None or answered.done():
            return
        if not reader.begun:
            answered.set_exception(_UnansweredError())
            return
        try:
            reader.end()
        except ResponseError as error:
            answered.set_exception(exc or error)
        else:
            if reader.response is not None:
                answered.set_result(reader.response)

    async def ask(self, request: bytes) -> tuple[Response, bool]:
        """Send a request and read the whole response; return it and whether the connection can be reused."""
        if not self.is_open or self._transport is None:
            raise _UnansweredError
        reader = self._reader = ResponseReader()
        self._answered = self._loop.create_future()
        self._transport.write(request)
        response = await self._answered
        self._reader = None
        return response, reader.reusable and self.is_open

    def close(self) -> None:
        """Close it at once, without another word; from any loop or thread."""
        self.is_open = False
        if self._transport is None or self._forks != Forks.count:
            return
        with suppress(RuntimeError):  # its loop is closed
            if self._loop is _running_loop():
                self._transport.abort()
            else:
                self._loop.call_soon_threadsafe(self._transport.abort)


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


class AsyncConnections:
    """Sends requests to one address. Keeps up to 64 idle connections for each event loop."""

    def __init__(self, url: str, timeout: float, ca_file: str | None = None) -> None:
        """Prepare to connect; nothing is sent yet. Arguments and errors are as of `connections.Connections`."""
        self.url = url
        self._timeout = timeout
        self._address = Address.of(url, ca_file)
        self._idle: dict[asyncio.AbstractEventLoop, deque[_Connection]] = {}
        self._forks = Forks.count

    async def request(self, method: str, target: str, body: bytes | None, headers: Mapping[str, str]) -> Response:
        """Send a request and read the whole response, as `connections.Connections.request`."""
        request = request_bytes(method, target, self._address.authority, headers, body)
        try:
            async with asyncio.timeout(self._timeout):
                return await self._request(request)
        except TimeoutError as error:
            raise SidecarUnreachableError(self.url, failure_detail(error)) from None
        except (OSError, ResponseError) as error:
            raise SidecarUnreachableError(self.url, failure_detail(error)) from None

    async def _request(self, request: bytes) -> Response:
        while True:
            kept = self._take()
            connection = kept or await self._connect()
            reusable = False
            try:
                response, reusable = await connection.ask(request)
            except ConnectionError:
                if kept is None:
                    raise
                continue
            finally:
                if reusable:
                    self._keep(connection)
                else:
                    connection.close()  # a response may still arrive: no other request may read it
            return response

    def close(self) -> None:
        """Close the idle connections."""
        for loop in list(self._idle):
            self._forget(loop)

    def _take(self) -> _Connection | None:
        if self._forks != Forks.count:
            self._forks = Forks.count
            self.close()
        idle = self._idle.get(asyncio.get_running_loop()) if self._idle else None
        while idle:
            connection = idle.pop()
            if connection.is_ours() and connection.is_open:
                return connection
            connection.close()
        return None

    def _keep(self, connection: _Connection) -> None:
        loop = asyncio.get_running_loop()
        idle = self._idle.get(loop)
        if idle is None:  # what loops that are over have left goes, so that nothing heaps up
            for other in [it for it in list(self._idle) if it.is_closed()]:
                self._forget(other)
            idle = self._idle[loop] = deque()
        if len(idle) < _KEPT:
            idle.append(connection)
        else:
            connection.close()

    def _forget(self, loop: asyncio.AbstractEventLoop) -> None:
        for connection in self._idle.pop(loop, deque()):
            connection.close()

    async def _connect(self) -> _Connection:
        loop, address = asyncio.get_running_loop(), self._address
        if address.path:
            _, connection = await loop.create_unix_connection(_Connection, address.path)
        else:
            _, connection = await loop.create_connection(
                _Connection, address.host, address.port, ssl=address.tls, happy_eyeballs_delay=0.25
            )
        return connection
