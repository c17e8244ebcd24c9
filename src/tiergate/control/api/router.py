"""Routes of the administration API as data, and the table that finds them.

A route is an :class:`Endpoint`; it cannot be made without an action. The resource is a constant, or a function of the
request that may read the store. A handler never checks its own permission; if it does several things, it requires the
others with `request.require`. For example::

    def endpoints() -> list[Endpoint]:
        return [
            Endpoint("GET", "/v1/notes", Action.VIEW, list_notes, Resource.store(), query=("tag",), paged=True),
            Endpoint("POST", "/v1/notes/{customer}", Action.EDIT_CUSTOMER, create_note, _customer),
        ]

    def _customer(request: AdminRequest) -> Resource:
        return Resource.customer_of(request.params["customer"])

    def list_notes(request: AdminRequest) -> Response:
        '''List the notes.'''
        rows = request.read(lambda unit: notes_after(unit, request.cursor, request.limit + 1, request.query.get("tag")))
        page = rows[: request.limit]
        return Response.page([as_json(row) for row in page], page[-1].id if len(rows) > len(page) else None)

    def create_note(request: AdminRequest) -> Response:
        '''Write a note.'''
        body = request.decode(NoteBody)              # BodyError -> 400 or 422, with JSON Pointers

        def work(unit: WriteUnit) -> Response:         # one transaction; runs again after a lost race
            note = notes.create(request.actor, unit, request.params["customer"], body.text)
            return Response.json(as_json(note), 201, etag=note.etag, location=f"/v1/notes/{note.id}")

        return request.change(work)                  # honours `Idempotency-Key`

A handler is a function, which runs in the thread pool, or a coroutine function, which runs on the event loop and must
not block. It returns an `Response` or raises one of `tiergate.errors`.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote_to_bytes

from starlette.exceptions import HTTPException

from tiergate.control.api.request import AdminRequest, Response
from tiergate.naming import normalize_subject_id
from tiergate.permissions import Action, Resource

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Handler = Callable[[AdminRequest], Response | Awaitable[Response]]

OPAQUE: Final = frozenset({"customer", "subscription", "subject"})
"""The parameters of paths that are ids of customers and subscriptions: any text, percent-encoded."""

METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE")
JSON: Final = ("application/json",)

_MAX_BODY: Final = 2**20
# A path is split before anything is decoded: an escaped slash is part of an id. Names of routes and of our own ids need
# no escapes but these, so that a path means the same to every proxy; ids of customers and subscriptions may need any.
_PATH: Final = re.compile(rb"(?:/(?!\.{1,2}(?:/|\Z))(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})+)+")
_PLAIN: Final = re.compile(r"[A-Za-z0-9._~:@$+-]+")
_PLAIN_ESCAPES: Final = {"%3A": ":", "%3a": ":", "%40": "@"}
_ESCAPES: Final = re.compile("|".join(_PLAIN_ESCAPES))
_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f]")


class Open(Enum):
    """The action of a route that no role restricts."""

    ANYBODY = "anybody"
    """No credentials; the response reveals nothing about the store."""
    AUTHENTICATED = "authenticated"
    """Any caller with credentials; the response is only about the caller."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A route: method, path, the action and resource that permissions are checked for, and the handler.

    `query`: its parameters; `paged`: `limit` and `cursor` as well. `max_body` in bytes; `media_types` of a body that is
    not empty. `is_binary`: the body is no text. `spooled`: the body is written to a file, `AdminRequest.spool`, which
    is removed after the response.
    `is_brief`: the handler makes one brief change and waits for nothing else. It runs inside the transaction of the
    change (`brief_changes`), perhaps several times.
    `purpose`: what the handler requires in the end, if `action` is only the least that it needs.
    `subjects`: the members of the query and the body, `customer` or `subscription`, that are ids; as in the path,
    external ids may replace them.
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
    is_binary: bool = False
    spooled: bool = False
    subjects: tuple[str, ...] = ()
    is_brief: bool = False
    purpose: Action | None = None

    def __post_init__(self) -> None:
        """Check that it is complete."""
        where = f"{self.method} {self.path}"
        if not isinstance(self.action, Action | Open):
            raise ValueError(f"{where}: an endpoint needs an action")
        if isinstance(self.action, Action) == (self.resource is None):
            raise ValueError(f"{where}: an action needs a resource, and nothing else has one")
        if self.method not in METHODS or not self.path.startswith("/") or self.path.endswith("/"):
            raise ValueError(f"{where}: unknown method or invalid path")

    @property
    def summary(self) -> str:
        """The first line of the handler's docstring."""
        return (inspect.getdoc(self.handler) or "").partition("\n")[0]

    @property
    def description(self) -> str:
        """The rest of the handler's docstring, in one line for each paragraph."""
        rest = (inspect.getdoc(self.handler) or "").partition("\n")[2].strip()
        return "\n\n".join(" ".join(part.split()) for part in rest.split("\n\n")) if rest else ""


BriefEndpoint: Final = partial(Endpoint, is_brief=True)
"""An endpoint whose handler makes one brief change."""


class RouteTable:
    """All endpoints by path and method."""

    def __init__(self, endpoints: Iterable[Endpoint]) -> None:
        """Sort the endpoints."""
        self.endpoints = tuple(endpoints)
        by_path: dict[str, dict[str, Endpoint]] = {}
        for endpoint in self.endpoints:
            methods = by_path.setdefault(endpoint.path, {})
            if endpoint.method in methods:
                raise ValueError(f"two endpoints for {endpoint.method} {endpoint.path}")
            methods[endpoint.method] = endpoint
        # Literal parts come before parameters: /v1/keys/new before /v1/keys/{id}.
        paths = sorted(by_path, key=lambda path: [("{" in part, part) for part in path.split("/")])
        self._paths: dict[tuple[int, str], list[tuple[tuple[str, ...], dict[str, Endpoint]]]] = {}
        for path in paths:
            route = tuple(path.split("/")[1:])
            self._paths.setdefault(_group(route), []).append((route, by_path[path]))

    def find(self, method: str, path: bytes) -> tuple[Endpoint, dict[str, str]]:
        """Return the endpoint of an encoded path, and the decoded parameters; raises `HTTPException` 404 or 405."""
        if not _PATH.fullmatch(path):
            raise HTTPException(404)
        segments = path.decode("ascii").split("/")[1:]
        method = "GET" if method == "HEAD" else method
        allowed: set[str] = set()
        length, topic = _group(segments)
        for route, methods in (*self._paths.get((length, topic), ()), *self._paths.get((length, ""), ())):
            params = _match(route, segments)
            if params is not None:
                if method in methods:
                    return methods[method], params
                allowed |= methods.keys()
        if not allowed:
            raise HTTPException(404)
        names = allowed | {"HEAD"} if "GET" in allowed else allowed
        raise HTTPException(405, headers={"allow": ", ".join(sorted(names))})


def _group(parts: Sequence[str]) -> tuple[int, str]:
    """Return the number of parts, and the one that says what a path is about; '' if that is a parameter."""
    topic = parts[min(1, len(parts) - 1)]
    return len(parts), "" if topic.startswith("{") else topic


def _match(route: tuple[str, ...], segments: list[str]) -> dict[str, str] | None:
    """Return the decoded parameters of a path if it matches a route."""
    if len(route) != len(segments):
        return None
    params: dict[str, str] = {}
    for part, segment in zip(route, segments, strict=True):
        if segment == part:
            continue
        name = part[1:-1] if part.startswith("{") else ""
        value = _opaque(segment) if name in OPAQUE else _plain(segment)
        if value is None or (not name and value != part):
            return None
        if name:
            params[name] = value
    return params


def _plain(segment: str) -> str | None:
    """Decode a segment whose only escapes are those of a colon and an at sign."""
    text = _ESCAPES.sub(lambda match: _PLAIN_ESCAPES[match[0]], segment)
    return text if _PLAIN.fullmatch(text) else None


def _opaque(segment: str) -> str | None:
    """Decode a segment that is an opaque id, in the normal form C."""
    try:
        text = unquote_to_bytes(segment).decode()
    except UnicodeDecodeError:
        return None
    return None if _CONTROL.search(text) else normalize_subject_id(text)
