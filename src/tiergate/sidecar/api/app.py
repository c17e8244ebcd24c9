"""The sidecar's own API (design, section 5): its adapters, and the ASGI application that routes to them.

Endpoints pass a request's body, headers and query as bytes to an adapter, and send its response. `request_limits` runs
before them; `fast_path` responds without them.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.routing import Route

from tiergate.errors import RequestError, TiergateError
from tiergate.sidecar.api import protocol_paths
from tiergate.sidecar.api.batches import BatchAdapter
from tiergate.sidecar.api.checks import CheckAdapter
from tiergate.sidecar.api.entitlement_lists import EntitlementListAdapter
from tiergate.sidecar.api.explanations import ExplanationAdapter
from tiergate.sidecar.api.json_endpoint import JsonEndpoint
from tiergate.sidecar.api.outcomes import OutcomeAdapter
from tiergate.sidecar.api.request_limits import RequestLimits, require_json
from tiergate.sidecar.api.responses import HttpResponse, ProblemHandler, send_response
from tiergate.sidecar.api.usage import UsageAdapter
from tiergate.sidecar.native_decisions import NativeDecisions
from tiergate.sidecar.outcomes.outcome_service import OutcomeService
from tiergate.sidecar.request_context import context_of
from tiergate.sidecar.usage.meter import MeterAbsence
from tiergate.sidecar.usage.usage_service import UsageService
from tiergate.wire.usage import CLOUD_EVENT, CLOUD_EVENTS
from tiergate.wire.usage_reader import media_type_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from starlette.types import ASGIApp, Receive, Scope, Send

    from tiergate.sidecar.api.authzen.endpoints import AuthzenApi
    from tiergate.sidecar.api.ofrep.endpoints import OfrepApi
    from tiergate.sidecar.api.request_limits import Access
    from tiergate.sidecar.check_service import CheckService
    from tiergate.sidecar.metrics import Metrics
    from tiergate.sidecar.usage.meter import Meter

DEFAULT_CACHE_BYTES = 24 * 2**20
"""The default memory of cached decisions, entitlement lists and responses of other protocols, together."""

_SHARE_OF_DECISIONS = 0.6
_SHARE_OF_OFREP = 0.15
_SHARE_OF_AUTHZEN = 0.08


class NativeApi:
    """The adapters of the sidecar's own API and of other protocols. They cache at most `cache_bytes`; 0 caches nothing.

    `meter`: what counts usage, or why nothing does. Outcomes are counted once `outcomes.service` has a recorder.
    `authzen_url`: of `AuthzenApi`.
    """

    def __init__(
        self,
        service: CheckService,
        cache_bytes: int = DEFAULT_CACHE_BYTES,
        meter: Meter | MeterAbsence = MeterAbsence.NO_DATA_FOLDER,
        *,
        authzen_url: str | None = None,
    ) -> None:
        self.service = service
        self.decisions = NativeDecisions(service, int(cache_bytes * _SHARE_OF_DECISIONS))
        self.checks = CheckAdapter(service, self.decisions)
        self.batches = BatchAdapter(service, self.decisions)
        self._ofrep_bytes = int(cache_bytes * _SHARE_OF_OFREP)
        self._authzen_bytes, self._authzen_url = int(cache_bytes * _SHARE_OF_AUTHZEN), authzen_url
        rest = cache_bytes - self.decisions.cache.limit - self._ofrep_bytes - self._authzen_bytes
        self.entitlements = EntitlementListAdapter(service, rest)
        self.explanations = ExplanationAdapter(service)
        self.usage = UsageAdapter(UsageService(service, meter))
        self.outcomes = OutcomeAdapter(OutcomeService(service))

    # Most sidecars speak one protocol: the others are loaded when somebody uses them, as their modules take memory.

    @cached_property
    def ofrep(self) -> OfrepApi:
        """The adapters of OFREP."""
        from tiergate.sidecar.api.ofrep.endpoints import OfrepApi  # noqa: PLC0415 - see above

        return OfrepApi(self.service, self._ofrep_bytes)

    @cached_property
    def authzen(self) -> AuthzenApi:
        """The adapters of AuthZEN."""
        from tiergate.sidecar.api.authzen.endpoints import AuthzenApi  # noqa: PLC0415 - see above

        return AuthzenApi(self.service, self._authzen_bytes, self._authzen_url)

    @cached_property
    def ofrep_routes(self) -> dict[str, Route]:
        """Path → the route of OFREP."""
        from tiergate.sidecar.api.ofrep.endpoints import routes  # noqa: PLC0415 - see above

        return {route.path: route for route in routes(self.ofrep)}

    @cached_property
    def authzen_routes(self) -> dict[str, Route]:
        """Path → the route of AuthZEN."""
        from tiergate.sidecar.api.authzen.endpoints import routes  # noqa: PLC0415 - see above

        return {route.path: route for route in routes(self.authzen)}


def app(
    api: NativeApi,
    access: Access,
    *,
    max_body: int = 2**20,
    body_timeout: float = 10.0,
    within: Callable[[ASGIApp, Metrics], ASGIApp] | None = None,
) -> ASGIApp:
    """Build the application of one listener. `max_body` in bytes, `body_timeout` in seconds.

    `within`: returns what admitted requests go to in place of the routes.
    """
    metrics = api.service.metrics
    problems = ProblemHandler(metrics)
    router = Starlette(
        routes=routes(api), exception_handlers={HTTPException: problems, TiergateError: problems, Exception: problems}
    )
    router.router.redirect_slashes = False
    admitted: ASGIApp = router if within is None else within(router, metrics)
    return RequestLimits(admitted, access, metrics, max_body=max_body, body_timeout=body_timeout)


def routes(api: NativeApi) -> list[Route]:
    """Return every path of the API with its endpoint. The OpenAPI document has the same paths."""
    return [
        Route("/v1/check", JsonEndpoint(api.checks.respond, api.checks.respond_now), methods=["POST"]),
        Route("/v1/checks", JsonEndpoint(api.batches.respond, api.batches.respond_now), methods=["POST"]),
        Route("/v1/explain", JsonEndpoint(api.explanations.respond), methods=["POST"]),
        Route("/v1/entitlements", _EntitlementsEndpoint(api.entitlements), methods=["GET"]),
        Route("/v1/consume", JsonEndpoint(api.usage.consume, api.usage.consume_now), methods=["POST"]),
        Route("/v1/reserve", JsonEndpoint(api.usage.reserve, api.usage.reserve_now), methods=["POST"]),
        Route("/v1/reservations/{id}/commit", _ReservationEndpoint(api.usage.commit), methods=["POST"]),
        Route("/v1/reservations/{id}/release", _ReservationEndpoint(api.usage.release), methods=["POST"]),
        Route("/v1/usage", _UsageEndpoint(api.usage), methods=["GET", "POST"]),
        *_loaded_later(protocol_paths.OFREP, lambda: api.ofrep_routes),
        Route("/v1/outcomes", _OutcomesEndpoint(api.outcomes), methods=["GET", "POST"]),
        *_loaded_later(protocol_paths.AUTHZEN, lambda: api.authzen_routes),
        Route("/openapi.json", _OpenApiEndpoint(api.service.metrics), methods=["GET"]),
    ]


def _loaded_later(paths: Mapping[str, str], made: Callable[[], Mapping[str, Route]]) -> list[Route]:
    """Return routes, by path and method, that are made at the first request to one of them."""
    return [Route(path, _LoadedLater(path, made), methods=[method]) for path, method in paths.items()]


class _LoadedLater:
    """The endpoint of one of several routes that are made when they are needed."""

    def __init__(self, path: str, made: Callable[[], Mapping[str, Route]]) -> None:
        self._path = path
        self._made = made

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._made()[self._path].endpoint(scope, receive, send)


class _EntitlementsEndpoint:
    def __init__(self, entitlements: EntitlementListAdapter) -> None:
        self._entitlements = entitlements

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI
        headers = scope["headers"]
        tags = [value for name, value in headers if name == b"if-none-match"]
        response = await self._entitlements.respond(scope["query_string"], b", ".join(tags) if tags else None)
        await send_response(response, context_of(headers), send)


class _ReservationEndpoint:
    """Passes the id of a reservation and a JSON body, which may be empty, to an adapter."""

    def __init__(self, respond: Callable[[str, bytes], Awaitable[HttpResponse]]) -> None:
        self._respond = respond

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = (await receive())["body"]
        if body:
            require_json(scope["headers"])
        response = await self._respond(scope["path_params"]["id"], body)
        await send_response(response, context_of(scope["headers"]), send)


class _UsageEndpoint:
    """Passes what was used to an adapter, in one of its media types, or the query of a subject's usage."""

    def __init__(self, usage: UsageAdapter) -> None:
        self._usage = usage

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = scope["headers"]
        context = context_of(headers)
        if scope["method"] == "POST":
            media_type = media_type_of([value for name, value in headers if name == b"content-type"])
            if media_type is None:
                detail = f"the header `Content-Type` must be `application/json`, `{CLOUD_EVENT}` or `{CLOUD_EVENTS}`"
                raise RequestError(415, "unsupported media type", detail)
            response = await self._usage.report((await receive())["body"], media_type, context)
        else:
            response = await self._usage.read(scope["query_string"])
        await send_response(response, context, send)


class _OutcomesEndpoint:
    """Passes a JSON body of outcomes, or the query of a feature's outcomes, to an adapter."""

    def __init__(self, outcomes: OutcomeAdapter) -> None:
        self._outcomes = outcomes
        self._report = JsonEndpoint(outcomes.report, outcomes.report_now)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "POST":
            await self._report(scope, receive, send)
        else:
            response = await self._outcomes.read(scope["query_string"])
            await send_response(response, context_of(scope["headers"]), send)


class _OpenApiEndpoint:
    """Makes the document when somebody asks for it: most processes never need it, and making it takes memory."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._response: HttpResponse | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI
        if self._response is None:
            from tiergate.sidecar.api.openapi import document  # noqa: PLC0415 - see above

            self._response = HttpResponse(200, document())
        self._metrics.count_request("other", 200)
        await send_response(self._response, context_of(scope["headers"]), send)
