"""Requests that a worker hands on to its leader: those that count, and those whose answers rest on what is counted.

The leader alone has the usage, and the outcomes that services report. A worker begins to answer a check, a batch, a
list, an explanation; if it needs the usage of a metered feature for it, it hands the request on as it came. So such
answers are those of the leader, and what was consumed through one worker is known to the next check through any other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NoReturn, Protocol

from tiergate.errors import RequestError
from tiergate.sidecar.api.responses import send_response
from tiergate.sidecar.fast_path import learn
from tiergate.sidecar.request_context import context_of
from tiergate.sidecar.usage.leader_usage import UsageElsewhereError
from tiergate.sidecar.workers.leader_failures import reject_handed_on

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from tiergate.sidecar.metrics import Metrics
    from tiergate.sidecar.request_context import RequestContext
    from tiergate.sidecar.workers.leader_client import LeaderAnswer

_COUNTING: Final = frozenset({"/v1/consume", "/v1/reserve", "/v1/usage", "/v1/outcomes"})
_RESERVATIONS: Final = "/v1/reservations/"


class Leader(Protocol):
    """Who answers what is handed on."""

    async def ask(self, scope: Scope, body: bytes) -> LeaderAnswer:
        """Answer a request. Raises `RequestError` if that cannot be done."""
        ...


class HandingOn:
    """An application of a worker, and its leader for what it cannot answer. Bodies have been read, as one message."""

    def __init__(self, app: ASGIApp, leader: Leader, metrics: Metrics) -> None:
        self._app = app
        self._leader = leader
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        message = await receive()
        path = scope["path"]
        if path in _COUNTING or path.startswith(_RESERVATIONS):
            if scope["method"] == "POST":
                learn(scope, _elsewhere)
            await self._hand_on(scope, message, send)
            return
        try:
            await self._app(scope, _replay(message, receive), send)
        except UsageElsewhereError:
            await self._hand_on(scope, message, send)

    async def _hand_on(self, scope: Scope, message: Message, send: Send) -> None:
        try:
            answer = await self._leader.ask(scope, message.get("body", b""))
        except RequestError as error:
            response = reject_handed_on(error, scope["path"], self._metrics)
            await send_response(response, context_of(scope["headers"]), send)
            return
        await send({"type": "http.response.start", "status": answer.status, "headers": answer.headers})
        await send({"type": "http.response.body", "body": answer.body})


def _elsewhere(body: bytes, context: RequestContext) -> NoReturn:  # noqa: ARG001 - as every endpoint of the fast path
    raise UsageElsewhereError


def _replay(message: Message, receive: Receive) -> Receive:
    """Return a `receive` that repeats a message, then continues."""
    first: Message | None = message

    async def replay() -> Message:
        nonlocal first
        given, first = first, None
        return given if given is not None else await receive()

    return replay
