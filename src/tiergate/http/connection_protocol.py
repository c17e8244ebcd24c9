"""Shared parts of the HTTP protocols of all listeners: excess connections, the time for a head, and the end.

The base of `tiergate.http.bounded_protocol` (control plane, injector) and of `tiergate.sidecar.http_protocol`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final

from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

if TYPE_CHECKING:
    import asyncio
    from asyncio.events import TimerHandle
    from collections.abc import Callable

    from uvicorn._types import ASGI3Application, ASGIReceiveCallable, ASGISendCallable
    from uvicorn._types import Scope as UvicornScope
    from uvicorn.config import Config
    from uvicorn.server import ServerState

_MAX_EXCESS: Final = 32


class GuardedFlow(FlowControl):
    """Flow control that reads only if that is allowed: uvicorn would read, and queue, more while requests wait."""

    def __init__(self, transport: asyncio.Transport, may_read: Callable[[], bool]) -> None:
        super().__init__(transport)
        self._may_read = may_read

    def resume_reading(self) -> None:
        """Read on, if that is allowed."""
        if self._may_read():
            super().resume_reading()


class ExcessConnections:
    """The connections beyond the limit of one listener: a few, until each has got its 503.

    A connection with a request is answered at once, and closed. A silent one is closed when others come.
    """

    def __init__(self, most: int = _MAX_EXCESS) -> None:
        self._most = most
        self._kept: dict[ConnectionProtocol, None] = {}

    def add(self, connection: ConnectionProtocol) -> None:
        """Add a connection; close the oldest if there are more than `most`."""
        self._kept[connection] = None
        if len(self._kept) > self._most:
            oldest = next(iter(self._kept))
            del self._kept[oldest]
            oldest.give_up()

    def discard(self, connection: ConnectionProtocol) -> None:
        """Forget a connection that is closed or was answered."""
        self._kept.pop(connection, None)


class ClosingTransport:
    """The transport as a response uses it: `close` is left to the connection, which may have more to do."""

    __slots__ = ("close", "is_closing", "write")

    def __init__(self, transport: asyncio.Transport, finish: Callable[[], None]) -> None:
        self.write = transport.write
        self.is_closing = transport.is_closing
        self.close = finish


class ConnectionProtocol(HttpToolsProtocol):
    """One connection. `excess` is its listener's."""

    excess: ClassVar[ExcessConnections]

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._is_excess = False
        self._head_timer: TimerHandle | None = None

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self.excess.discard(self)
        self._stop_head_timer()
        super().connection_lost(exc)

    def give_up(self) -> None:
        """Close the connection, even during a request."""
        if not self.transport.is_closing():
            self.transport.abort()

    def _limit_connections(self, most: int | None) -> None:
        """Note whether this connection is beyond the limit of the listener."""
        if most is not None and len(self.connections) > most:
            self._is_excess = True
            self.excess.add(self)

    def _start_head_timer(self, seconds: float, expired: Callable[[], None]) -> None:
        self._stop_head_timer()
        self._head_timer = self.loop.call_later(seconds, expired)

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None


def fixed_response(status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> ASGI3Application:
    """Return an application that sends one response to every request."""

    async def respond(
        scope: UvicornScope,  # noqa: ARG001 - ASGI
        receive: ASGIReceiveCallable,  # noqa: ARG001 - ASGI
        send: ASGISendCallable,
    ) -> None:
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body, "more_body": False})

    return respond


def write_nothing(_: bytes) -> None:
    """Write to a connection that was lost."""
