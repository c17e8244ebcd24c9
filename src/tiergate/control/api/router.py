"""The one place where the control plane's routes say what they are for, and where requests are let in or not.

A route is data, an :class:`Endpoint`, and cannot be made without saying its action. The resource is what the action is
on: a constant, or a function of the request that may read the store. Whoever writes an endpoint writes no check of
who may call it; only an endpoint that does several things asks for the others with `request.require`. For example::

    def endpoints() -> list[Endpoint]:
        return [
            Endpoint("GET", "/v1/notes", Action.VIEW, list_notes, Resource.store(), query=("tag",), paged=True),
            Endpoint("POST", "/v1/notes/{customer}", Action.EDIT_CUSTOMER, create_note, _customer),
        ]

    def _customer(request: AdminRequest) -> Resource:
        return Resource.customer_of(request.params["customer"])

    def list_notes(request: AdminRequest) -> Answer:
        '''List the notes.'''
        rows = request.read(lambda unit: notes_after(unit, request.cursor, request.limit + 1, request.query.get("tag")))
        page = rows[: request.limit]
        return Answer.page([as_json(row) for row in page], page[-1].id if len(rows) > len(page) else None)

    def create_note(request: AdminRequest) -> Answer:
        '''Write a note.'''
        body = request.decode(NoteBody)              # BodyError -> 400 or 422, with JSON Pointers

        def work(unit: WriteUnit) -> Answer:         # one transaction; may be run again after a lost race
            note = add_note(unit, request.params["customer"], body.text)
            unit.audit("note.created", "note", note.id, after=as_json(note), customer=note.customer)
            return Answer.json(as_json(note), 201, etag=note.etag, location=f"/v1/notes/{note.id}")

        return request.change(work)                  # honours `Idempotency-Key`

A handler is a function, run in the thread pool, or a coroutine function, run on the event loop, which must not block.
It returns an `Answer` or raises one of `tiergate.errors`; the summary in the API's description is the first line of
its docstring. Editing: read the row in `work`, then `request.check_etag("note", id, row.etag)`.

INVARIANT (no open door): a request reaches a handler only after `identify` named its caller and the table of roles in
force allowed the endpoint's action, but for endpoints that say `Open`.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import re
import tempfile
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final, TypeVar
from urllib.parse import quote, unquote_to_bytes

import anyio
import anyio.to_thread
import structlog
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse

from tiergate.admin.actor import enforce
from tiergate.control.api.external_ids import resolve_external_ids
from tiergate.control.api.problems import problem_document
from tiergate.control.api.request import AdminRequest, Answer
from tiergate.errors import BodyError, BodyProblem, OperatorError, RequestError
from tiergate.naming import nearest, normalize_subject_id
from tiergate.permissions import Action, Caller, CallerKind, Permission, Resource, RolePolicies
from tiergate.text_normalization import to_nfc
from tiergate.wire.problem import MEDIA_TYPE, problem_headers, problem_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from starlette.types import Receive, Scope, Send

    from tiergate.control.auth.recent_callers import RecentCallers
    from tiergate.store import Store

T = TypeVar("T")

Handler = Callable[[AdminRequest], Answer | Awaitable[Answer]]

OPAQUE: Final = frozenset({"customer", "subscription", "subject"})
"""The parameters of paths that are ids of customers and subscriptions: any text, percent-encoded."""

METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE")
JSON: Final = ("application/json",)

_BODILESS: Final = frozenset({"GET", "HEAD", "DELETE"})
_MAX_BODY: Final = 2**20
_BODY_TIMEOUT: Final = 30.0
_SIDECAR_THREADS: Final = 8
_ADMISSIONS: Final = 2
_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._~:/+=@-]{1,128}")
# A path is taken apart as it came, before anything is decoded: an escaped slash is part of an id. What is written in a
# route, and what names things of our own, needs no escapes but these, so that a path means the same to whoever stands
# in front of us; the ids of customers and subscriptions may need any.
_PATH: Final = re.compile(rb"(?:/(?!\.{1,2}(?:/|\Z))(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})+)+")
_PLAIN: Final = re.compile(r"[A-Za-z0-9._~:@$+-]+")
_PLAIN_ESCAPES: Final = {"%3A": ":", "%3a": ":", "%40": "@"}
_ESCAPES: Final = re.compile("|".join(_PLAIN_ESCAPES))
_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f]")
_NUL: Final = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
_NOBODY: Final = Caller("anonymous", CallerKind.PERSON, frozenset())
_NOTHING: Final = Permission(allowed=False, policies=())
_PAGING: Final = ("limit", "cursor")

_log = structlog.get_logger(__name__)


class Open(Enum):
    """What stands in place of an action where a route is not for some roles."""

    ANYBODY = "anybody"
    """Whoever reaches the port, without credentials: tells nothing about the store."""
    AUTHENTICATED = "authenticated"
    """Every caller, of whatever roles: tells nothing but about the caller."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A route: what is asked how, what kind of operation it is, on what, and who answers.

    `query`: the parameters that it knows; `paged`: `limit` and `cursor` too. `max_body` in bytes; `media_types` of
    a body that is not empty. `spooled`: the body is not held in memory, but written to a file, `AdminRequest.spool`,
    which is gone after the answer. `subjects`: the members of the query and the body, `customer` or `subscription`,
    that are ids of such; external ids may stand in their place, as in the path.
    """

    method: str
    path: str
    action: Action | Open
    handler: Handler
    resource: Resource | Callable[[AdminRequest], Resource] | None = None
    query: tuple[str, ...] = ()
    paged: bool = False
    max_body: int = _MAX_BODY
    media_types: tuple[str, ...] = JSON
    spooled: bool = False
    subjects: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """See that it is whole.

        Raises:
            ValueError: it says no action, nothing that the action is on, or no method or path.
        """
        where = f"{self.method} {self.path}"
        if not isinstance(self.action, Action | Open):
            raise ValueError(f"{where}: an endpoint needs an action")
        if isinstance(self.action, Action) == (self.resource is None):
            raise ValueError(f"{where}: an action, and only that, needs something that it is on")
        if self.method not in METHODS or not self.path.startswith("/") or self.path.endswith("/"):
            raise ValueError(f"{where}: no such method, or no such path")

    @property
    def summary(self) -> str:
        """What it does, in one line."""
        return (inspect.getdoc(self.handler) or "").partition("\n")[0]


class AdminApi:
    """The ASGI application of all endpoints.

    `identify` names the caller of a bearer token, or raises `RequestError` 401; `roles` gives the table in force. Both
    are called in the thread pool, for every request.
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
        """Compose. `known`, where it is given, names callers in place of both, and remembers some.

        `sidecar_threads`: so many requests of sidecars are worked on at once.

        Raises:
            ValueError: two endpoints have one method and path.
        """
        self._known = known
        self._for_sidecars = anyio.CapacityLimiter(sidecar_threads)
        # Few, for they are at work rather than waiting: more of them would only take turns with the event loop.
        self._admissions = anyio.CapacityLimiter(_ADMISSIONS)
        self.endpoints = tuple(endpoints)
        self._identify = identify
        self._roles = roles
        self._store = store
        found: dict[str, dict[str, Endpoint]] = {}
        for endpoint in self.endpoints:
            methods = found.setdefault(endpoint.path, {})
            if endpoint.method in methods:
                raise ValueError(f"two endpoints for {endpoint.method} {endpoint.path}")
            methods[endpoint.method] = endpoint
        # What is written out comes before what takes any name: /v1/keys/new before /v1/keys/{id}.
        paths = sorted(found, key=lambda path: [("{" in part, part) for part in path.split("/")])
        self._paths = [(tuple(path.split("/")[1:]), found[path]) for path in paths]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            raise RuntimeError(f"the API speaks HTTP, not {scope['type']}")
        http = Request(scope, receive)
        request_id = _request_id(http)
        try:
            response = await self._answer(http, request_id)
        except ClientDisconnect:
            return
        except Exception as error:  # noqa: BLE001 - the edge of the process
            response = _problem_response(error, request_id)
        response.headers["x-request-id"] = request_id
        response.headers.setdefault("cache-control", "no-store")
        await response(scope, receive, send)

    async def _answer(self, http: Request, request_id: str) -> Response:
        endpoint, params = self._route(http)
        caller, roles = await self._admit(http, endpoint)

        def allows(action: Action, resource: Resource) -> Permission:
            return _NOTHING if roles is None else roles.allows(caller, action, resource)

        if isinstance(endpoint.action, Action) and isinstance(endpoint.resource, Resource):
            # before anything of the body is read
            enforce(caller, endpoint.action, endpoint.resource, allows(endpoint.action, endpoint.resource))
        with tempfile.NamedTemporaryFile(suffix=".ndjson") if endpoint.spooled else contextlib.nullcontext() as spool:
            request = AdminRequest(
                method=http.method,
                path=_raw_path(http).decode("ascii"),
                params=params,
                query=_query(http, endpoint),
                headers=_headers(http),
                body=await _body(http, endpoint, spool),
                caller=caller,
                request_id=request_id,
                store=self._store,
                allows=allows,
                spool=None if spool is None else Path(spool.name),
            )
            return await self._handle(http, endpoint, request)

    async def _handle(self, http: Request, endpoint: Endpoint, request: AdminRequest) -> Response:
        def require() -> None:
            missing = resolve_external_ids(request, endpoint.subjects)
            if isinstance(endpoint.action, Action) and callable(endpoint.resource):
                request.require(endpoint.action, endpoint.resource(request))
            if missing is not None:
                raise missing

        def handle() -> object:
            require()
            return endpoint.handler(request)

        answer: object
        if inspect.iscoroutinefunction(endpoint.handler):
            if callable(endpoint.resource):
                await self._in_thread(endpoint, require)
            answer = await _unless_gone(http, endpoint.handler(request))
        else:
            answer = await self._in_thread(endpoint, handle)  # in one go: every way to a thread and back takes its time
        if not isinstance(answer, Answer):
            raise TypeError(f"{endpoint.method} {endpoint.path} did not return an `Answer`")
        return _response(answer)

    def _route(self, http: Request) -> tuple[Endpoint, dict[str, str]]:
        raw = _raw_path(http)
        if not _PATH.fullmatch(raw):
            raise HTTPException(404)
        segments = raw.decode("ascii").split("/")[1:]
        method = "GET" if http.method == "HEAD" else http.method
        known: set[str] = set()
        for route, methods in self._paths:
            params = _match(route, segments)
            if params is not None:
                if method in methods:
                    return methods[method], params
                known |= methods.keys()
        if known:
            raise HTTPException(
                405, headers={"allow": ", ".join(sorted(known | {"HEAD"} if "GET" in known else known))}
            )
        raise HTTPException(404)

    async def _admit(self, http: Request, endpoint: Endpoint) -> tuple[Caller, RolePolicies | None]:
        if endpoint.action is Open.ANYBODY:
            return _NOBODY, None
        token = _bearer(http)
        known = self._known
        if known is None:
            return await self._in_thread(endpoint, lambda: (self._identify(token), self._roles()))
        recalled = known.recall(token)
        if recalled is not None:
            return recalled
        limiter = self._admissions if endpoint.action is Action.SYNC else None
        found, roles = await anyio.to_thread.run_sync(known.admit, token, limiter=limiter)
        known.remember(token, found)
        return found.caller, roles

    async def _in_thread(self, endpoint: Endpoint, work: Callable[[], T]) -> T:
        """Do what may wait, in a thread. Sidecars have threads of their own, so that nobody else waits for them."""
        limiter = self._for_sidecars if endpoint.action is Action.SYNC else None
        return await anyio.to_thread.run_sync(work, limiter=limiter)


def _raw_path(http: Request) -> bytes:
    """The path as it came, still encoded."""
    raw: bytes = http.scope.get("raw_path") or quote(http.scope["path"]).encode()
    return raw.partition(b"?")[0]


def _match(route: tuple[str, ...], segments: list[str]) -> dict[str, str] | None:
    """The parameters of a path, decoded, where it fits a route."""
    if len(route) != len(segments):
        return None
    params: dict[str, str] = {}
    for part, segment in zip(route, segments, strict=True):
        name = part[1:-1] if part.startswith("{") else ""
        value = _opaque(segment) if name in OPAQUE else _plain(segment)
        if value is None or (not name and value != part):
            return None
        if name:
            params[name] = value
    return params


def _plain(segment: str) -> str | None:
    """A segment that needs no escapes but those of a colon and an at sign."""
    text = _ESCAPES.sub(lambda match: _PLAIN_ESCAPES[match[0]], segment)
    return text if _PLAIN.fullmatch(text) else None


def _opaque(segment: str) -> str | None:
    """A segment that is an id of somebody else's, in the normal form C."""
    try:
        text = unquote_to_bytes(segment).decode()
    except UnicodeDecodeError:
        return None
    return None if _CONTROL.search(text) else normalize_subject_id(text)


async def _unless_gone(http: Request, work: Awaitable[Answer]) -> Answer:
    """Do what may wait for something to happen, and give it up when the caller goes away.

    Raises:
        ClientDisconnect: it has.
    """
    working = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_gone(http))
    try:
        await asyncio.wait({working, gone}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise ClientDisconnect
    finally:
        for task in (working, gone):
            task.cancel()
        await asyncio.gather(working, gone, return_exceptions=True)


async def _gone(http: Request) -> None:
    """Wait until the caller goes away; its body was read."""
    while (await http.receive())["type"] != "http.disconnect":
        pass


def _request_id(http: Request) -> str:
    given = http.headers.getlist("x-request-id")
    return given[0] if len(given) == 1 and _REQUEST_ID.fullmatch(given[0]) else str(uuid.uuid4())


def _bearer(http: Request) -> str:
    values = http.headers.getlist("authorization")
    if len(values) > 1:
        raise RequestError(400, "malformed request", "the header `Authorization` must be given once")
    scheme, _, token = values[0].partition(" ") if values else ("", "", "")
    if scheme.lower() != "bearer" or not token.strip():
        raise RequestError(401, "unauthorized", "the header `Authorization: Bearer` with a key or token is needed")
    return token.strip()


def _query(http: Request, endpoint: Endpoint) -> Mapping[str, str]:
    known = (*endpoint.query, *(_PAGING if endpoint.paged else ()))
    found: dict[str, str] = {}
    for name, value in http.query_params.multi_items():
        if name not in known:
            near = nearest(name, known)
            raise RequestError(400, "invalid request", f"no parameter `{name[:100]}` here", near)
        if name in found:
            raise RequestError(400, "invalid request", f"the parameter `{name}` must be given once")
        if "\x00" in value:
            raise RequestError(400, "invalid request", f"the parameter `{name}` has a character that no text has")
        found[name] = to_nfc(value)
    return found


def _headers(http: Request) -> Mapping[str, str]:
    """The headers by their names in lower case, without the credentials; one that is given twice, joined."""
    found: dict[str, str] = {}
    for name, value in http.headers.items():
        if name != "authorization":
            found[name] = f"{found[name]}, {value}" if name in found else value
    return found


async def _body(http: Request, endpoint: Endpoint, spool: IO[bytes] | None = None) -> bytes:
    """Read the body, into memory or `spool`, in which case nothing is left to return."""
    most = 0 if endpoint.method in _BODILESS else endpoint.max_body
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(_BODY_TIMEOUT) as limit:
            async for part in http.stream():
                size += len(part)
                if size > most:
                    said = f"a body may have {most} bytes at most" if most else "this takes no body"
                    raise RequestError(413, "content too large", said)
                if spool is None:
                    parts.append(part)
                else:
                    await run_in_threadpool(spool.write, part)
                    limit.reschedule(asyncio.get_running_loop().time() + _BODY_TIMEOUT)  # large ones take their time
    except TimeoutError:
        detail = f"the body did not arrive within {_BODY_TIMEOUT:g} seconds"
        raise RequestError(408, "request timeout", detail) from None
    if size:
        types = http.headers.getlist("content-type")
        if len(types) != 1 or types[0].partition(";")[0].strip().lower() not in endpoint.media_types:
            wanted = " or ".join(f"`{it}`" for it in endpoint.media_types)
            raise RequestError(415, "unsupported media type", f"the header `Content-Type` must be {wanted}")
    if spool is not None:
        spool.flush()
    body = b"".join(parts)
    # PostgreSQL keeps no such text, and nothing here is called so.
    if b"\x00" in body or (b"\\u0000" in body and _NUL.search(body)):
        raise BodyError([BodyProblem("", "bad-character", "has the character U+0000, which no text has")])
    return body


def _response(answer: Answer) -> Response:
    headers = dict(answer.headers)
    if isinstance(answer.body, bytes):
        return Response(answer.body, answer.status, headers)
    return StreamingResponse(answer.body, answer.status, headers)


def _problem_response(error: Exception, request_id: str) -> Response:
    problem = problem_document(error)
    if isinstance(error, OperatorError):
        _log.error("a request failed", request_id=request_id, error=str(error))
    elif problem.status >= 500:
        _log.error("a request failed", request_id=request_id, exc_info=error)
    headers = problem_headers(problem)
    if isinstance(error, HTTPException) and error.headers:
        headers |= dict(error.headers)
    return Response(problem_json(problem), problem.status, headers, MEDIA_TYPE)
