"""The sidecar's own API (design, section 5) as an ASGI application.

Endpoints only translate: a request's body, headers and query come in as bytes, a `CheckService` replies, the reply goes
out. What stands before them is `protections`, what passes them by is `quickpath`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.routing import Route

from tiergate.errors import TiergateError
from tiergate.sidecar.api.openapi import document as openapi_document
from tiergate.sidecar.api.request_limits import RequestLimits, require_json
from tiergate.sidecar.api.responses import HttpResponse, ProblemHandler, context_of, send_response
from tiergate.sidecar.fast_path import learn
from tiergate.wire.check_reader import read_query

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from tiergate.sidecar.api.request_limits import Access
    from tiergate.sidecar.check_service import CheckService
    from tiergate.sidecar.metrics import Metrics


def api(decider: CheckService, access: Access, *, max_body: int = 2**20, body_timeout: float = 10.0) -> ASGIApp:
    """Build the application of one listener. `max_body` in bytes, `body_timeout` in seconds."""
    problems = ProblemHandler(decider.metrics)
    app = Starlette(
        routes=routes(decider),
        exception_handlers={HTTPException: problems, TiergateError: problems, Exception: problems},
    )
    app.router.redirect_slashes = False
    return RequestLimits(app, access, decider.metrics, max_body=max_body, body_timeout=body_timeout)


def routes(decider: CheckService) -> list[Route]:
    """Every path of the API, and what answers it. The OpenAPI document has the same."""
    return [
        Route("/v1/check", _Check(decider), methods=["POST"]),
        Route("/v1/checks", _Checks(decider), methods=["POST"]),
        Route("/v1/explain", _Explain(decider), methods=["POST"]),
        Route("/v1/entitlements", _Entitlements(decider), methods=["GET"]),
        Route("/openapi.json", _OpenApi(decider.metrics), methods=["GET"]),
    ]


class _Check:
    """`POST /v1/check`."""

    def __init__(self, decider: CheckService) -> None:
        self._decider = decider
        self._at_once = decider.check if decider.subjects is None else decider.check_at_once

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        require_json(scope["headers"])
        context = context_of(scope["headers"])
        body = (await receive())["body"]
        learn(scope, self._at_once)
        await send_response(await self._decider.check_in_time(body, context), context, send)


class _Checks:
    """`POST /v1/checks`."""

    def __init__(self, decider: CheckService) -> None:
        self._batches = decider.batches

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        require_json(scope["headers"])
        context = context_of(scope["headers"])
        body = (await receive())["body"]
        learn(scope, self._batches.at_once)
        await send_response(await self._batches.in_turns(body, context), context, send)


class _Explain:
    """`POST /v1/explain`."""

    def __init__(self, decider: CheckService) -> None:
        self._explanations = decider.explanations

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        require_json(scope["headers"])
        body = (await receive())["body"]
        await send_response(await self._explanations.reply(body), context_of(scope["headers"]), send)


class _Entitlements:
    """`GET /v1/entitlements`."""

    def __init__(self, decider: CheckService) -> None:
        self._decider = decider

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI
        sent = scope["headers"]
        tags = [value for name, value in sent if name == b"if-none-match"]
        try:
            subject = read_query(scope["query_string"])
            reply = await self._decider.listings.reply(subject, b", ".join(tags) if tags else None)
        except TiergateError as error:
            reply = self._decider.refuse("entitlements", error)
        await send_response(reply, context_of(sent), send)


class _OpenApi:
    """`GET /openapi.json`."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._reply = HttpResponse(200, openapi_document())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI
        self._metrics.count_request("other", 200)
        await send_response(self._reply, context_of(scope["headers"]), send)
