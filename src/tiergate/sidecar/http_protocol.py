"""The HTTP protocol of one connection to the sidecar: uvicorn's on httptools, made strict, behind a fast path.

What it adds to :class:`uvicorn.protocols.http.httptools_impl.HttpToolsProtocol`:

- **Fast path.** A segment that comes while the connection is at rest may be answered before the parser sees it
  (`fast_path`). INVARIANT (at rest): the parser is between messages, no response is pending or queued, writing is not
  paused, and neither the connection nor the server is about to end. Only then does a segment begin a request, and only
  then is a response the next one. Only `_settle` decides that. A response that comes later takes the connection from
  rest; what arrives meanwhile is kept, and reading pauses if it is much.
- **Limits.** A request's head is limited in bytes, headers and time, even if a connection never sends anything; a
  connection is closed after one to two times `timeout_keep_alive` without a request.
- **Order.** A malformed request that was pipelined behind valid ones is answered after them.
- **Ends.** A client that closes its own direction still gets its responses. A connection closes in two steps if more
  may be coming, so that a reset does not destroy the last response. At shutdown, connections at rest stay open for a
  moment, in which a request on its way is still answered.
- **Form.** Every rejection is a problem document. Trailers are not headers. Upgrades are ignored.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, ClassVar

import httptools
from msgspec.structs import replace
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from tiergate.errors import RequestError
from tiergate.http.connection_protocol import (
    ClosingTransport,
    ConnectionProtocol,
    GuardedFlow,
    fixed_response,
    write_nothing,
)
from tiergate.http.request_heads import head_without_upgrade, host_of_target
from tiergate.sidecar.api.responses import HttpResponse, encode_response, headers, problem_response, rejected
from tiergate.sidecar.fast_path import EXTENSION
from tiergate.sidecar.listener_limits import ListenerLimits
from tiergate.sidecar.request_context import NO_CONTEXT

if TYPE_CHECKING:
    from uvicorn._types import ASGI3Application
    from uvicorn.config import Config
    from uvicorn.server import ServerState

    from tiergate.sidecar.deferred import Deferred
    from tiergate.sidecar.fast_path import FastPath
    from tiergate.sidecar.metrics import Metrics

_logger = logging.getLogger(__name__)

_PIECE = 16 * 2**10
"""How many bytes are parsed at once, so that tiny requests, which cost kilobytes each, are queued by the hundred."""

_HELD_SECONDS = 0.05
"""How long a request without the rest of its body stays on the fast path; then the parser's limits of time apply."""


class SidecarProtocol(ConnectionProtocol):
    """One connection. `listener_protocol` sets its class attributes."""

    metrics: ClassVar[Metrics]
    quick: ClassVar[FastPath | None] = None
    limits: ClassVar[ListenerLimits] = ListenerLimits()

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.access_log = self.access_log and config.access_log
        self._at_rest = False  # INVARIANT (at rest)
        self._between = True  # the parser is between messages
        self._in_head = False  # the parser is in a request's head
        self._head_bytes = 0
        self._messages = 0  # that began in this segment
        self._used = False  # since the keep-alive timer was set
        self._ending = False  # no further request gets a response
        self._deaf = False  # further bytes are ignored
        self._lingering = False
        self._ended = False  # the client has closed its direction
        self._unread = False  # bytes may have arrived that are never read
        self._rejection: RequestError | None = None
        self._backlog = b""  # parsed when the pipeline is empty
        self._plain_head = b""  # replaces a head that requests another protocol
        self._held = b""  # a request at rest, without the rest of its body
        self._held_timer: asyncio.TimerHandle | None = None
        self._late = False  # a response of the fast path is pending
        self._behind = b""  # what arrived behind its request
        self._ended_behind = False  # the client has closed its direction behind it
        self._write: Any = None

    # ── the connection ───────────────────────────────────────────────────────────────────────────────────────────────

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin."""
        super().connection_made(transport)
        self.flow = GuardedFlow(transport, lambda: not self.pipeline and not self._backlog)
        self._write = transport.write
        self.metrics.connections += 1
        limit = self.limits.connections
        self._limit_connections(limit)
        if self._is_excess:
            busy = RequestError(503, "too many connections", f"the limit is {limit} connections")
            self.app = _rejection(problem_response(busy))
        self._settle()
        self._rearm()

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self._drop_held()
        self._behind = b""
        self.metrics.connections -= 1
        self._ending = self._deaf = True
        self._at_rest = False
        self._unset_keepalive_if_required()
        super().connection_lost(exc)
        # INVARIANT (no cycles): what refers to this connection would keep it until the old generation is collected.
        self.flow = FlowControl(self.transport)
        self._write = write_nothing

    def give_up(self) -> None:
        """Close this silent connection, because there are too many."""
        self.metrics.count_problem("too-many-connections")
        super().give_up()

    def data_received(self, data: bytes) -> None:
        """Respond to a segment on the fast path, or parse it."""
        if self._at_rest:
            quick = self.quick
            if quick is not None:
                if self._held:
                    data = self._held + data
                    self._drop_held()
                try:
                    answer = quick.answer(data, self.server_state.default_headers)
                    lacks_body = answer is None and quick.lacks_body(data)
                except Exception:
                    _logger.exception("the fast path failed; handling the request on the slow path")
                    answer, lacks_body = None, False
                if answer is not None:
                    self._used = True
                    self.server_state.total_requests += 1
                    if isinstance(answer, bytes):
                        self._write(answer)
                    else:
                        self._await_response(answer)
                    return
                if lacks_body:
                    self._held = data
                    self._held_timer = self.loop.call_later(_HELD_SECONDS, self._parse_held)
                    return
        if self._late:
            self._behind += data
            if len(self._behind) > _PIECE:
                self.flow.pause_reading()
        elif not self._deaf:
            self._parse(data)

    def _await_response(self, answer: Deferred[bytes]) -> None:
        """Write a response of the fast path when it comes, and then handle what arrived meanwhile."""
        self._late = True
        self._at_rest = False
        answer.then(self._write_late)

    def _write_late(self, answer: bytes) -> None:
        self._late = False
        if self.transport.is_closing():
            return
        self._write(answer)
        if self._ending:
            self._finish()
            return
        self._settle()
        behind, self._behind = self._behind, b""
        if behind:
            self.flow.resume_reading()
            self.data_received(behind)
        if self._ended_behind and not self.eof_received() and not self.transport.is_closing():
            self.transport.close()

    def _parse_held(self) -> None:
        """Parse what was held: its rest did not come soon, or something else happens."""
        data = self._held
        self._drop_held()
        if data and not self._deaf:
            self._parse(data)

    def _drop_held(self) -> None:
        self._held = b""
        if self._held_timer is not None:
            self._held_timer.cancel()
            self._held_timer = None

    def eof_received(self) -> bool:  # type: ignore[override]
        """Respond to the requests before the end, if there are any."""
        if self._late:
            self._ended_behind = True
            return True
        self._parse_held()
        self._ended = True
        if self._lingering:
            return False
        if self._deaf:
            return self._waits()
        if not self._between:
            self._reject(
                RequestError(400, "malformed request", "the connection closed before the request was complete")
            )
            return not self.transport.is_closing()
        if not self._waits():
            return False
        self._ending = True
        self._mark_last()
        return True

    def pause_writing(self) -> None:
        """Leave the fast path while the client does not read."""
        self._parse_held()
        super().pause_writing()
        self._at_rest = False

    def resume_writing(self) -> None:
        """Return to the fast path."""
        super().resume_writing()
        self._settle()

    def shutdown(self) -> None:
        """Respond to pending requests, then close."""
        self._parse_held()
        self._ending = self._unread = True
        self._at_rest = False
        self._mark_last()
        if self._between and not self._waits():
            self.loop.call_later(self.limits.linger, self._close_at_rest)

    def _close_at_rest(self) -> None:
        if not self._waits() and self._between and not self.transport.is_closing():
            self.transport.close()

    def _mark_last(self) -> None:
        """Let the newest response announce the end, if it is the last."""
        if self._ending and not self._backlog and self._waits() and not self._late:
            self.cycle.keep_alive = False

    def _waits(self) -> bool:
        return self._late or not getattr(self.cycle, "response_complete", True)  # no cycle: there was no request yet

    def _settle(self) -> None:
        self._at_rest = (
            self._between
            and not self._waits()
            and not self.pipeline
            and not self._backlog
            and not self.flow.write_paused
            and not self._ending
            and not self._is_excess
            and not self.access_log
        )

    # ── timers ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def _rearm(self) -> None:
        self._used = False
        self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)

    def timeout_keep_alive_handler(self) -> None:
        """Close the connection if nothing has happened since the timer was set."""
        self._parse_held()
        self.timeout_keep_alive_task = None
        if self._used or self._waits() or not self._between:
            self._rearm()
        elif not self.transport.is_closing():
            self.transport.close()

    def _head_timed_out(self) -> None:
        self._head_timer = None
        if self._in_head and not self._deaf:
            detail = f"the head of the request did not arrive within {self.limits.head_timeout:g} seconds"
            self._reject(RequestError(408, "request timeout", detail))

    # ── parsing ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def _parse(self, data: bytes) -> None:
        whole = self._between and not self._waits() and not self._ending
        self._messages = 0
        if len(data) <= _PIECE:
            self._feed(data)
        else:
            for place in range(0, len(data), _PIECE):
                if self.pipeline:
                    # Each queued request costs kilobytes: the next piece is parsed after these have responses.
                    self._backlog = data[place:]
                    break
                self._feed(data[place : place + _PIECE])
                if self._deaf:
                    break
        if self._deaf:
            return
        if self._in_head and not self._backlog and self._head_timer is None:
            self._start_head_timer(self.limits.head_timeout, self._head_timed_out)
        self._mark_last()
        if whole and self._messages == 1 and self._between and self.quick is not None:
            self.scope["extensions"] = {EXTENSION: {"path": self.quick, "segment": data}}

    def _feed(self, data: bytes) -> None:
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > self.limits.head_bytes:
                self._reject(self._head_too_large())
                return
        try:
            while data:
                data = self._feed_plainly(data)
        except httptools.HttpParserError as error:
            detail = str(error)[:100] or "it is not HTTP/1.1"
            detail = detail[:1].lower() + detail[1:].rstrip(".")
            self._reject(self._rejection or RequestError(400, "malformed request", detail))

    def _feed_plainly(self, data: bytes) -> bytes:
        """Parse data up to an upgrade request; return what to parse instead."""
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            head, self._plain_head = self._plain_head, b""
            return head + data[upgrade.args[0] :]
        return b""

    def on_message_begin(self) -> None:
        """Begin a request."""
        self._at_rest = self._between = False
        self._in_head = True
        self._head_bytes = 0
        self._messages += 1
        self._used = True
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Add a header; trailers are ignored."""
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Start to respond, or queue the request behind others.

        Raises `RequestError` if the head is too large, or names nothing; the parser turns it into its own error.
        """
        self._in_head = False
        self._stop_head_timer()
        size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        if size > self.limits.head_bytes or len(self.headers) > self.limits.head_fields:
            raise self._rejected(self._head_too_large())
        if self.parser.should_upgrade():
            self._ignore_upgrade()
            return
        if not self.url.startswith(b"/"):
            self._read_absolute_target()
        # uvicorn does the rest; then the transport is replaced.
        if self._is_excess:
            self.expect_100_continue = False
        super().on_headers_complete()
        cycle = self.cycle
        cycle.transport = ClosingTransport(self.transport, self._finish)  # type: ignore[assignment]
        if self._is_excess:
            cycle.keep_alive = False
            self.metrics.count_request("other", 503)
            self.metrics.count_problem("too-many-connections")

    def _read_absolute_target(self) -> None:
        host = host_of_target(self.url)
        if host is not None:
            self.headers[:] = [pair for pair in self.headers if pair[0] != b"host"] + [(b"host", host)]
        elif self.url != b"*":
            raise self._rejected(RequestError(400, "malformed request", "the request target is not a path"))

    def _ignore_upgrade(self) -> None:
        """Parse the request again without the upgrade.

        The parser would treat its body as that protocol's. Java's client, for example, requests HTTP/2 in each request
        of a connection until it gets a response.
        """
        method = self.parser.get_method()
        if method == b"CONNECT":
            raise self._rejected(RequestError(405, "method not allowed", "this server is not a proxy"))
        version = self.parser.get_http_version()
        self._plain_head = head_without_upgrade(method, self.url, version, self.headers)

    def _rejected(self, error: RequestError) -> RequestError:
        """Store why the parser stops in this head."""
        self._in_head = True
        self._rejection = error
        return error

    def on_message_complete(self) -> None:
        """Note that the parser is between messages."""
        if self._plain_head:
            return
        super().on_message_complete()
        self._between = True
        if not self._waits():
            self._settle()

    def on_response_complete(self) -> None:
        """Start the next queued request, or rest."""
        self.server_state.total_requests += 1
        if self._lingering or self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            self._start_asgi_task(cycle, app)
        if self._backlog and not self.pipeline:
            data, self._backlog = self._backlog, b""
            self._parse(data)
        self._used = True
        self._settle()

    def _should_upgrade(self) -> bool:
        return False

    # ── refusals and ends ────────────────────────────────────────────────────────────────────────────────────────────

    def _head_too_large(self) -> RequestError:
        detail = f"the limit is {self.limits.head_bytes} bytes and {self.limits.head_fields} fields"
        return RequestError(431, "request header fields too large", detail)

    def _reject(self, error: RequestError) -> None:
        """Respond to this request with a problem, after all before it, and close; read nothing more."""
        self._deaf = self._ending = self._unread = True
        self._at_rest = False
        self._stop_head_timer()
        reply = rejected(error, self.metrics)
        if (b"connection", b"close") not in reply.extra:
            reply = replace(reply, extra=(*reply.extra, (b"connection", b"close")))
        if self._in_head or self._between:
            if not self._waits():
                self._write_last(reply)
                return
            # It has no cycle yet, and waits for those before it.
            self.pipeline.appendleft((self._last_cycle(), _rejection(reply)))
        elif self.cycle.response_complete:
            self._finish()
        elif self.pipeline:
            self.pipeline[0] = (self._last_cycle(), _rejection(reply))
        else:
            # Its response is in progress, and waits for a body that never arrives.
            self.cycle.disconnected = True
            self.cycle.message_event.set()
            if self.cycle.response_started:
                self.transport.abort()
            else:
                self._write_last(reply)

    def _last_cycle(self) -> RequestResponseCycle:
        scope = self.scope.copy()
        scope.update({"method": "GET", "path": "/", "query_string": b""})
        self.cycle = RequestResponseCycle(
            scope=scope,
            transport=ClosingTransport(self.transport, self._finish),  # type: ignore[arg-type]
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=self.access_log,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=False,
            keep_alive=False,
            on_response=self.on_response_complete,
        )
        return self.cycle

    def _write_last(self, reply: HttpResponse) -> None:
        self.server_state.total_requests += 1
        self._write(encode_response(reply, NO_CONTEXT, self.server_state.default_headers))
        self._finish()

    def _finish(self) -> None:
        """Close after the last response: at once, or in two steps if more may be coming."""
        self._deaf = self._ending = True
        self._at_rest = False
        if self._ended or not (self._unread or self._is_excess or not self._between):
            self.transport.close()
            return
        if self._lingering:
            return
        self._lingering = True
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.flow.resume_reading()
        self.loop.call_later(self.limits.linger, self.transport.close)


def _rejection(response: HttpResponse) -> ASGI3Application:
    return fixed_response(response.status, headers(response, NO_CONTEXT), response.body)
