"""The paths of AuthZEN, and what each does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.routing import Route

from tiergate.errors import RequestError
from tiergate.sidecar.api.authzen.batches import EvaluationsAdapter
from tiergate.sidecar.api.authzen.evaluations import EvaluationAdapter
from tiergate.sidecar.api.authzen.searches import SearchAdapter
from tiergate.sidecar.api.json_endpoint import JsonEndpoint
from tiergate.sidecar.api.protocol_paths import (
    AUTHZEN_CONFIGURATION_PATH,
    EVALUATION_PATH,
    EVALUATIONS_PATH,
    SEARCH_PATH,
    SEARCH_TARGETS,
)
from tiergate.sidecar.api.request_limits import require_json
from tiergate.sidecar.api.responses import HttpResponse, send_response
from tiergate.sidecar.request_context import context_of
from tiergate.wire.authzen import AuthzenConfiguration
from tiergate.wire.json import encode

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from starlette.types import Receive, Scope, Send

    from tiergate.sidecar.check_service import CheckService
    from tiergate.sidecar.request_context import RequestContext


class AuthzenApi:
    """The adapters of AuthZEN. They cache at most `cache_bytes`; 0 caches nothing.

    `url`: under which callers reach this API; none: under that of each request.
    """

    def __init__(self, service: CheckService, cache_bytes: int, url: str | None = None) -> None:
        self.service = service
        self.url = None if url is None else url.rstrip("/")
        self.single = EvaluationAdapter(service, cache_bytes)
        self.batch = EvaluationsAdapter(service, self.single)
        self.search = SearchAdapter(service)


def routes(api: AuthzenApi) -> list[Route]:
    """Return every path of AuthZEN with its endpoint."""
    return [
        Route(
            EVALUATION_PATH, JsonEndpoint(api.single.respond, api.single.respond_now, _expect_json), methods=["POST"]
        ),
        Route(EVALUATIONS_PATH, JsonEndpoint(api.batch.respond, expect=_expect_json), methods=["POST"]),
        *(
            Route(
                SEARCH_PATH + target,
                JsonEndpoint(_searching(api.search, target), expect=_expect_json),
                methods=["POST"],
            )
            for target in SEARCH_TARGETS
        ),
        Route(AUTHZEN_CONFIGURATION_PATH, _ConfigurationEndpoint(api), methods=["GET"]),
    ]


def _searching(search: SearchAdapter, target: str) -> Callable[[bytes, RequestContext], Awaitable[HttpResponse]]:
    async def respond(body: bytes, context: RequestContext) -> HttpResponse:  # noqa: ARG001 - of an endpoint
        return await search.respond(target, body)

    return respond


class _ConfigurationEndpoint:
    def __init__(self, api: AuthzenApi) -> None:
        self._api = api

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI
        headers: Iterable[tuple[bytes, bytes]] = scope["headers"]
        host = next((value.decode("latin-1") for name, value in headers if name == b"host"), "localhost")
        url = self._api.url or f"{scope['scheme']}://{host}"
        body = encode(AuthzenConfiguration.at(url))
        self._api.service.metrics.count_request("other", 200)
        await send_response(HttpResponse(200, body), context_of(scope["headers"]), send)


def _expect_json(headers: Iterable[tuple[bytes, bytes]]) -> None:
    """Check the media type of a body: the specification wants 400 where our own API has 415."""
    try:
        require_json(headers)
    except RequestError as error:
        raise RequestError(400, "malformed request", error.detail) from None
