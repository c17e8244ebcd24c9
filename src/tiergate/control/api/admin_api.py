"""The ASGI application of the administration API.

A request passes these stages, each of which may end it with an error; every error becomes a problem document:

1. route: find the endpoint of the method and path
2. authenticate: name the caller of the token
3. authorize: check the endpoint's action on its resource; before the body is read, if the resource is constant
4. read: query, headers and body, within their limits
5. handle: resolve external ids, authorize a resource that depends on the request, run the handler
6. respond: with the answer, the request id and `Cache-Control`

INVARIANT (no open door): a request reaches a handler only after stages 2 and 3, unless its endpoint is `Open`.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

import anyio
import anyio.to_thread
import structlog
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response as HttpResponse
from starlette.responses import StreamingResponse

from tiergate.admin.actor import enforce
from tiergate.control.api import request_reading as reading
from tiergate.control.api.brief_changes import BriefChanges
from tiergate.control.api.external_ids import resolve_external_ids
from tiergate.control.api.problems import problem_document
from tiergate.control.api.request import AdminRequest, Response
from tiergate.control.api.router import Endpoint, Open, RouteTable
from tiergate.errors import CallerError, OperatorError
from tiergate.permissions import Action, Caller, CallerKind, Permission, Resource, RolePolicies
from tiergate.wire.problem import MEDIA_TYPE, problem_headers, problem_json

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from starlette.types import Receive, Scope, Send

    from tiergate.control.auth.recent_callers import RecentCallers
    from tiergate.store import Store

T = TypeVar("T")

_SIDECAR_THREADS: Final = 8
_AUTHENTICATION_THREADS: Final = 2
_ANONYMOUS: Final = Caller("anonymous", CallerKind.PERSON, frozenset())
_DENIED: Final = Permission(allowed=False, policies=())

_log = structlog.get_logger(__name__)


class AdminApi:
    """Serves all endpoints.

    `identify` returns the caller of a bearer token, or raises `RequestError` 401; `roles` returns the active roles.
    Both run in the thread pool, for every request.
    """

    def __init__(
        self,
        endpoints: Iterable[Endpoint],
        *,
        identify: Callable[[str], Caller],
        roles: Callable[[], RolePolicies],
        store: Store,
        known: RecentCallers | None = None,
        sidecar_threads: int = _SIDECAR_THREADS,
    ) -> None:
        """Build the route table. `known`, if given, replaces `identify` and `roles`, and caches callers.

        `sidecar_threads`: how many requests of sidecars are handled at once.
        """
        self._routes = RouteTable(endpoints)
        self._identify = identify
        self._roles = roles
        self._store = store
        self._known = known
        self._changes = BriefChanges(store)
        self._sidecar_limiter = anyio.CapacityLimiter(sidecar_threads)
        # Few, because authentication uses the CPU: more threads would only compete with the event loop.
        self._authentication_limiter = anyio.CapacityLimiter(_AUTHENTICATION_THREADS)

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """All endpoints, in the order given."""
        return self._routes.endpoints

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            raise RuntimeError(f"the API speaks HTTP, not {scope['type']}")
        http = Request(scope, receive)
        request_id = reading.request_id(http)
        try:
            answer = await self._serve(http, request_id)
        except ClientDisconnect:
            return
        except Exception as error:  # noqa: BLE001 - the edge of the process
            answer = _problem_response(error, request_id)
        headers = {"cache-control": "no-store", **answer.headers, "x-request-id": request_id}
        if isinstance(answer.body, bytes):
            response = HttpResponse(answer.body, answer.status, headers)
        else:
            response = StreamingResponse(answer.body, answer.status, headers)
        await response(scope, receive, send)

    async def _serve(self, http: Request, request_id: str) -> Response:
        path = reading.raw_path(http)
        endpoint, params = self._routes.find(http.method, path)
        caller, roles = await self._authenticate(http, endpoint)

        def allows(action: Action, resource: Resource) -> Permission:
            return _DENIED if roles is None else roles.allows(caller, action, resource)

        if isinstance(endpoint.action, Action) and isinstance(endpoint.resource, Resource):
            permission = allows(endpoint.action, endpoint.resource)
            enforce(caller, endpoint.action, endpoint.resource, permission, endpoint.purpose)
        with tempfile.NamedTemporaryFile(suffix=".ndjson") if endpoint.spooled else contextlib.nullcontext() as spool:
            request = AdminRequest(
                method=http.method,
                path=path.decode("ascii"),
                params=params,
                query=reading.read_query(http, endpoint),
                headers=reading.read_headers(http),
                body=await reading.read_body(http, endpoint, spool),
                caller=caller,
                request_id=request_id,
                store=self._store,
                allows=allows,
                spool=None if spool is None else Path(spool.name),
            )
            return await self._handle(http, endpoint, request)

    async def _authenticate(self, http: Request, endpoint: Endpoint) -> tuple[Caller, RolePolicies | None]:
        if endpoint.action is Open.ANYBODY:
            return _ANONYMOUS, None
        token = reading.bearer_token(http)
        known = self._known
        if known is None:
            return await self._in_thread(endpoint, lambda: (self._identify(token), self._roles()))
        recalled = known.recall(token)
        if recalled is not None:
            return recalled
        limiter = self._authentication_limiter if endpoint.action is Action.SYNC else None
        authenticated, roles = await anyio.to_thread.run_sync(known.admit, token, limiter=limiter)
        known.remember(token, authenticated)
        return authenticated.caller, roles

    async def _handle(self, http: Request, endpoint: Endpoint, request: AdminRequest) -> Response:
        def authorize(request: AdminRequest) -> None:
            missing = resolve_external_ids(request, endpoint.subjects)
            if isinstance(endpoint.action, Action) and callable(endpoint.resource):
                request.require(endpoint.action, endpoint.resource(request))
            if missing is not None:
                raise missing

        def handle(request: AdminRequest) -> object:
            authorize(request)
            return endpoint.handler(request)

        answer: object
        if endpoint.is_brief:
            answer = await self._changes.run(request, handle)
        elif inspect.iscoroutinefunction(endpoint.handler):
            if callable(endpoint.resource):
                await self._in_thread(endpoint, lambda: authorize(request))
            answer = await _unless_disconnected(http, endpoint.handler(request))
        else:  # at once, because each change of threads takes time
            answer = await self._in_thread(endpoint, lambda: handle(request))
        if not isinstance(answer, Response):
            raise TypeError(f"{endpoint.method} {endpoint.path} did not return an `Response`")
        return answer

    async def _in_thread(self, endpoint: Endpoint, work: Callable[[], T]) -> T:
        """Run blocking work in a thread. Sidecars have threads of their own, so that they delay nobody else."""
        limiter = self._sidecar_limiter if endpoint.action is Action.SYNC else None
        return await anyio.to_thread.run_sync(work, limiter=limiter)


async def _unless_disconnected(http: Request, work: Awaitable[Response]) -> Response:
    """Wait for `work`, and cancel it if the caller disconnects."""
    working = asyncio.ensure_future(work)
    disconnect = asyncio.ensure_future(_wait_for_disconnect(http))
    try:
        await asyncio.wait({working, disconnect}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise ClientDisconnect
    finally:
        for task in (working, disconnect):
            task.cancel()
        await asyncio.gather(working, disconnect, return_exceptions=True)


async def _wait_for_disconnect(http: Request) -> None:
    while (await http.receive())["type"] != "http.disconnect":
        pass


def _problem_response(error: Exception, request_id: str) -> Response:
    problem = problem_document(error)
    if isinstance(error, OperatorError):
        _log.error("request failed", request_id=request_id, error=str(error))
    elif problem.status >= 500 and not isinstance(error, CallerError):  # such as `/readyz` at the start
        _log.error("request failed", request_id=request_id, exc_info=error)
    headers = {**problem_headers(problem), "content-type": MEDIA_TYPE}
    if isinstance(error, HTTPException) and error.headers:
        headers |= dict(error.headers)
    return Response(problem.status, problem_json(problem), headers)
