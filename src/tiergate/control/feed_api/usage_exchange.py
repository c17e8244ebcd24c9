"""The ledger's endpoint for sidecars: one request of a holder of leases, and its reply, in MessagePack.

The messages are those of `tiergate.usage.protocol`. A holder's id is a secret that only the sidecar and the store know,
so that no other caller can report or give back for it. Documented in docs/reference/sync-api.md.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Final

import msgspec

from tiergate.control.api.request import AdminRequest, Response
from tiergate.control.api.router import Endpoint
from tiergate.control.usage_metrics import UsageMetrics
from tiergate.errors import RequestError
from tiergate.permissions import Action, Resource
from tiergate.store.usage_ledger import exchange_call
from tiergate.usage.ledger_records import needs_of
from tiergate.usage.protocol import decode_request, encode

if TYPE_CHECKING:
    from tiergate.store.change_queue import Outcome
    from tiergate.store.usage_ledger import UsageLedger
    from tiergate.usage.protocol import Reply

MEDIA_TYPE: Final = "application/msgpack"
"""The media type of requests and replies."""

MAX_REQUEST: Final = 8 * 2**20
"""The most bytes of a request: a report of the most consumptions, each with a key, fits."""

HOLDER_MIN: Final = 16
HOLDER_MAX: Final = 100
"""The least and the most characters of a holder's id."""


class UsageExchange:
    """The endpoint of one ledger."""

    def __init__(self, ledger: UsageLedger, metrics: UsageMetrics | None = None) -> None:
        self._ledger = ledger
        self._metrics = metrics or UsageMetrics()

    def endpoints(self) -> list[Endpoint]:
        """Return the route."""
        return [
            Endpoint(
                "POST",
                "/v1/sync/usage",
                Action.REPORT_USAGE,
                self.exchange,
                Resource.store(),
                max_body=MAX_REQUEST,
                media_types=(MEDIA_TYPE,),
                is_binary=True,
            )
        ]

    async def exchange(self, request: AdminRequest) -> Response:
        """Report usage, and lease units of what customers may use."""
        try:
            message = decode_request(request.body)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise RequestError(400, "malformed request", f"the body is not a request of a holder: {error}") from None
        if not HOLDER_MIN <= len(message.holder) <= HOLDER_MAX:
            raise RequestError(400, "malformed request", f"a holder's id has {HOLDER_MIN} to {HOLDER_MAX} characters")
        accounts = needs_of(message).accounts
        if any("\x00" in it.feature + it.customer + it.member for it in accounts):
            raise RequestError(400, "malformed request", "an id must not have the character U+0000")
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Outcome[Reply]] = loop.create_future()

        def deliver(outcome: Outcome[Reply]) -> None:
            if not done.done():
                done.set_result(outcome)

        def finish(outcome: Outcome[Reply]) -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended, and nobody waits
                loop.call_soon_threadsafe(deliver, outcome)

        begun, reply = time.perf_counter(), None
        try:
            self._ledger.submit(exchange_call(message), finish)
            reply = (await done).get()
        finally:
            self._metrics.exchanged(reply, time.perf_counter() - begun)
        return Response(200, encode(reply), {"content-type": MEDIA_TYPE, "cache-control": "no-store"})
