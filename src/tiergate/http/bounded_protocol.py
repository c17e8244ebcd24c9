"""The HTTP protocol of one connection to the control plane or the injector: uvicorn's on httptools, with bounds.

- **Number.** Beyond `most` connections, requests get 503 and the connection closes, except for the paths of probes.
  Silent connections beyond it are closed, the oldest first.
- **Time.** A request's head must arrive within `head_timeout`. A connection without a request is closed after the
  keep-alive time, also at its beginning. After `max_age`, give or take a tenth, the next response closes it, so that
  load balancers can send its client elsewhere.
- **End.** If a response is sent before the whole request has arrived, the rest is read for a moment and discarded:
  closing at once would reset the connection, and destroy the response.

The sidecar's protocol, for other clients and loads, is `tiergate.sidecar.http_protocol`.
"""

from __future__ import annotations

import json
import random
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Final

from tiergate.http.connection_protocol import ClosingTransport, ConnectionProtocol, ExcessConnections, fixed_response
from tiergate.naming import PROBLEM_TYPE_PREFIX

if TYPE_CHECKING:
    import asyncio

    from uvicorn._types import ASGI3Application
    from uvicorn.config import Config
    from uvicorn.server import ServerState

_SPREAD: Final = 0.1
_TYPE: Final = f"{PROBLEM_TYPE_PREFIX}too-many-connections"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionLimits:
    """Bounds of one listener. Durations in seconds.

    `most`: connections at once; `probes`: paths that are always served. `max_age`: of a connection. `linger`,
    `linger_bytes`: how long, and how much, of a request is read after its response.
    """

    most: int | None = None
    probes: frozenset[str] = frozenset()
    head_timeout: float = 30.0
    max_age: float | None = None
    linger: float = 10.0
    linger_bytes: int = 256 * 2**20


@dataclass(slots=True)
class ConnectionTally:
    """Counts of one listener's connections."""

    open: int = 0
    refused: int = 0
    surplus: ExcessConnections = field(default_factory=ExcessConnections)


def bounded(limits: ConnectionLimits, tally: ConnectionTally | None = None) -> type[BoundedProtocol]:
    """Make the protocol class of one listener, for uvicorn's `http=`."""
    kept = ConnectionTally() if tally is None else tally
    return type("BoundedProtocol", (BoundedProtocol,), {"limits": limits, "tally": kept, "excess": kept.surplus})


class BoundedProtocol(ConnectionProtocol):
    """One connection. `bounded` sets its class attributes."""

    limits: ClassVar[ConnectionLimits] = ConnectionLimits()
    tally: ClassVar[ConnectionTally] = ConnectionTally()

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._app = self.app
        self._until = float("inf")
        self._rest: int | None = None  # bytes that are still discarded after the last response

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin."""
        super().connection_made(transport)
        self.tally.open += 1
        limits = self.limits
        if limits.max_age is not None:
            spread = random.uniform(1 - _SPREAD, 1 + _SPREAD)  # noqa: S311 - so that not all come back at once
            self._until = time.monotonic() + limits.max_age * spread
        self._limit_connections(limits.most)
        self._expect(self.timeout_keep_alive)

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self.tally.open -= 1
        super().connection_lost(exc)

    def give_up(self) -> None:
        """Close the connection, even during a request."""
        self.tally.refused += 1
        super().give_up()

    def data_received(self, data: bytes) -> None:
        """Parse data, or discard it after the last response."""
        if self._rest is None:
            super().data_received(data)
            return
        self._rest -= len(data)
        if self._rest < 0:
            self.transport.close()

    def on_message_begin(self) -> None:
        """Wait for the head of a request."""
        self._expect(self.limits.head_timeout)
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Start to respond."""
        self._expect(None)
        self.app = self._app
        if self._is_excess:
            self.excess.discard(self)
            if self.url.partition(b"?")[0].decode("latin-1") not in self.limits.probes:
                self.tally.refused += 1
                self.expect_100_continue = False
                self.app = _busy(self.limits.most)
        super().on_headers_complete()
        if self._is_excess or time.monotonic() > self._until:
            self.cycle.keep_alive = False
        self.cycle.transport = ClosingTransport(self.transport, self._finish)  # type: ignore[assignment]

    def on_body(self, body: bytes) -> None:
        """Add a part of the body, unless the response is complete."""
        if self._rest is None:
            super().on_body(body)

    def _finish(self) -> None:
        """Close after the last response; in two steps if more of the request is to come."""
        if self.transport.is_closing() or self._rest is not None:
            return
        if not self.cycle.more_body:
            self.transport.close()
            return
        self._rest = self.limits.linger_bytes
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.flow.resume_reading()
        self._expect(self.limits.linger)

    def on_response_complete(self) -> None:
        """Continue with the next request, if there may be one."""
        if self._rest is None:
            super().on_response_complete()
        else:
            self.server_state.total_requests += 1

    def shutdown(self) -> None:
        """Respond to pending requests, then close."""
        if self._rest is None:
            super().shutdown()

    def _expect(self, seconds: float | None) -> None:
        """Close the connection unless something happens within these seconds."""
        if seconds is None:
            self._stop_head_timer()
        else:
            self._start_head_timer(seconds, self.timeout_keep_alive_handler)


def _busy(most: int | None) -> ASGI3Application:
    """Return an application that responds that there are too many connections."""
    problem = {
        "type": _TYPE,
        "title": "too many connections",
        "status": 503,
        "detail": f"the limit is {most} connections",
    }
    body = json.dumps(problem).encode()
    headers = [
        (b"content-type", b"application/problem+json"),
        (b"content-length", str(len(body)).encode()),
        (b"retry-after", b"5"),
        (b"connection", b"close"),
    ]
    return fixed_response(503, headers, body)
