"""When flags may have changed: `GET /ofrep/v1/events`, a stream of server-sent events.

An event `refetchEvaluation` says that the flags of a subject may be others from now on: the data of all, of the subject
or its usage changed, staleness began or ended, or the validity of its flags is over. One is sent at the beginning too,
for what changed before the stream was there. The values are fetched: with their entity tag, a 304 costs little.

A stream ends with the sidecar's shutdown. There are at most `MOST_STREAMS`; others get 503, and their clients poll.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from tiergate.errors import RequestError, TiergateError
from tiergate.model import FOREVER
from tiergate.sidecar.api.ofrep.bulk import all_flags_for
from tiergate.sidecar.api.ofrep.failures import reject
from tiergate.sidecar.api.responses import send_response
from tiergate.sidecar.usage.leader_usage import SUGGESTED_RETRY_MS, UsageElsewhereError
from tiergate.wire.json import encode
from tiergate.wire.ofrep_reader import read_stream_query

if TYPE_CHECKING:
    from starlette.types import Receive, Send

    from tiergate.model import Instant, Subject
    from tiergate.sidecar.api.ofrep.bulk import BulkAdapter
    from tiergate.sidecar.check_service import CheckService
    from tiergate.sidecar.request_context import RequestContext

ENDPOINT: Final = "ofrep_events"
MOST_STREAMS: Final = 1_000

_LOOK_SECONDS: Final = 1.0
"""How often a stream looks whether its subject changed, and so its most events; a change for all wakes it at once."""

_HEARTBEAT_SECONDS: Final = 15.0
_MEDIA_TYPE: Final = b"text/event-stream"
_RETRY: Final = b"retry: 3000\n\n"
_HEARTBEAT: Final = b":\n\n"


class EventStreams:
    """The open streams. `look`, `heartbeat`: seconds between two looks, and without any event."""

    def __init__(
        self,
        service: CheckService,
        bulk: BulkAdapter,
        *,
        look: float = _LOOK_SECONDS,
        heartbeat: float = _HEARTBEAT_SECONDS,
        most: int = MOST_STREAMS,
    ) -> None:
        self._service = service
        self._bulk = bulk
        self._look = look
        self._heartbeat = heartbeat
        self._most = most
        self._changed: set[asyncio.Event] = set()
        service.state.subscribe(self._wake)

    def _wake(self) -> None:
        for event in self._changed:
            event.set()

    async def respond(self, query: bytes, context: RequestContext, receive: Receive, send: Send) -> None:
        """Send events until the client disconnects or the sidecar shuts down."""
        service = self._service
        try:
            subject = read_stream_query(query)
            service.view()
            if len(self._changed) >= self._most:
                raise RequestError(503, "too many connections", f"the limit is {self._most} streams of events")
        except TiergateError as error:
            await send_response(reject(service, ENDPOINT, error), context, send)
            return
        service.metrics.count_request(ENDPOINT, 200)
        changed = asyncio.Event()
        self._changed.add(changed)
        gone = asyncio.ensure_future(_disconnect(receive))
        try:
            await self._send_all(subject, context, changed, gone, send)
        finally:
            self._changed.discard(changed)
            gone.cancel()

    async def _send_all(
        self,
        subject: Subject,
        context: RequestContext,
        changed: asyncio.Event,
        gone: asyncio.Future[None],
        send: Send,
    ) -> None:
        state = self._service.state
        pairs = [(b"content-type", _MEDIA_TYPE), (b"cache-control", b"no-store"), (b"x-accel-buffering", b"no")]
        if context.request_id is not None:
            pairs.append((b"x-request-id", context.request_id))
        await send({"type": "http.response.start", "status": 200, "headers": pairs})
        await send({"type": "http.response.body", "body": _RETRY, "more_body": True})
        number = 0
        while not gone.done() and not state.draining:
            number += 1
            changed.clear()
            version = self._service.version_of_all(state.view, subject)
            data = encode({"type": "refetchEvaluation", "lastModified": state.clock() // 1000})
            event = b"id: %x-%d\nevent: message\ndata: %b\n\n" % (state.clock(), number, data)
            await send({"type": "http.response.body", "body": event, "more_body": True})
            until = await self._until(subject)
            quiet = time.monotonic()
            while True:
                await _first_of(changed, gone, self._look)
                if changed.is_set() or version.is_outdated or state.clock() >= until or gone.done():
                    break
                if time.monotonic() - quiet >= self._heartbeat:
                    quiet = time.monotonic()
                    await send({"type": "http.response.body", "body": _HEARTBEAT, "more_body": True})
        if not gone.done():
            await send({"type": "http.response.body", "body": b""})

    async def _until(self, subject: Subject) -> Instant:
        """Return the instant until which the flags of a subject are the same, if nothing changes."""
        try:
            flags = await self._bulk.flags(all_flags_for(subject))
        except TiergateError:
            return FOREVER
        except UsageElsewhereError:
            return self._service.clock() + SUGGESTED_RETRY_MS
        return flags.until if flags.until > self._service.clock() else FOREVER


async def _first_of(changed: asyncio.Event, gone: asyncio.Future[None], seconds: float) -> None:
    """Wait for a change for all, for the client's end, or for some time."""
    waiting = asyncio.ensure_future(changed.wait())
    await asyncio.wait((waiting, gone), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()


async def _disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
