"""The endpoint of a path whose requests have a JSON body."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tiergate.sidecar.api.request_limits import require_json
from tiergate.sidecar.api.responses import send_response
from tiergate.sidecar.fast_path import learn
from tiergate.sidecar.request_context import context_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from starlette.types import Receive, Scope, Send

    from tiergate.sidecar.api.responses import HttpResponse
    from tiergate.sidecar.fast_path import Endpoint
    from tiergate.sidecar.request_context import RequestContext


class JsonEndpoint:
    """Passes a JSON body to an adapter; the fast path learns `respond_now`, if there is one, from the request.

    `expect`: raises `RequestError` for another media type.
    """

    def __init__(
        self,
        respond: Callable[[bytes, RequestContext], Awaitable[HttpResponse]],
        respond_now: Endpoint | None = None,
        expect: Callable[[Iterable[tuple[bytes, bytes]]], None] = require_json,
    ) -> None:
        self._respond = respond
        self._respond_now = respond_now
        self._expect = expect

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Respond to a request."""
        self._expect(scope["headers"])
        context = context_of(scope["headers"])
        body = (await receive())["body"]
        if self._respond_now is not None:
            learn(scope, self._respond_now)
        await send_response(await self._respond(body, context), context, send)
