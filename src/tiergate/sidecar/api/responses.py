"""Replies: what an endpoint answers, before it is ASGI messages or bytes on the wire.

Both forms are made here, from the same headers in the same order, so that nobody can tell by which path a request
went. INVARIANT (one reply, two forms): tests compare them byte by byte.
"""

from __future__ import annotations

import http
import re
from typing import TYPE_CHECKING, NamedTuple

from starlette.exceptions import HTTPException
from starlette.responses import Response

from tiergate.sidecar.api.problems import problem_document
from tiergate.wire.problem import MEDIA_TYPE, ProblemDocument, problem_headers, problem_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from starlette.requests import Request
    from starlette.types import Send

    from tiergate.sidecar.check_service import Answer
    from tiergate.sidecar.metrics import Metrics

JSON = b"application/json"

_TOKEN = re.compile(rb"[A-Za-z0-9._~:/+=@-]{1,128}")
_PRINTABLE = re.compile(rb"[ -~]{1,512}")
_CONTEXT_HEADERS = frozenset({b"x-request-id", b"traceparent", b"tracestate"})
_STATUS_LINES = {
    status.value: b"HTTP/1.1 %d %s\r\n" % (status.value, status.phrase.encode("ascii")) for status in http.HTTPStatus
}


class Context(NamedTuple):
    """What a request says of itself beside its question: its id, and where in a trace it stands (W3C)."""

    request_id: bytes | None = None
    traceparent: bytes | None = None
    tracestate: bytes | None = None


NO_CONTEXT = Context()
"""A request that says nothing of itself."""


class HttpResponse(NamedTuple):
    """A status, a body, and the headers that are not the same for all.

    `decision_id` is none where nothing was decided. `answer` is the decision that may be repeated for the same
    request, or none. `slug` is a problem's type.
    """

    status: int
    body: bytes
    decision_id: bytes | None = None
    media_type: bytes = JSON
    extra: tuple[tuple[bytes, bytes], ...] = ()
    answer: Answer | None = None
    slug: str | None = None


def context_of(pairs: Iterable[tuple[bytes, bytes]]) -> Context:
    """Read the context from headers, their names in lower case. What is given twice, or unsafe, is left out."""
    found: dict[bytes, bytes] = {}
    for name, value in pairs:
        if name in _CONTEXT_HEADERS:
            found[name] = b"" if name in found else value
    return make_context(found) if found else NO_CONTEXT


def make_context(found: Mapping[bytes, bytes]) -> Context:
    """Make a context of header values, without those that are not safe to echo or to log.

    An id is safe that is 1 to 128 letters, digits and `._~:/+=@-`; the others, where they are printable and not long.
    """
    return Context(
        _safe(found.get(b"x-request-id"), _TOKEN),
        _safe(found.get(b"traceparent"), _PRINTABLE),
        _safe(found.get(b"tracestate"), _PRINTABLE),
    )


def _safe(value: bytes | None, form: re.Pattern[bytes]) -> bytes | None:
    return value if value is not None and form.fullmatch(value) else None


def refused(
    error: Exception, metrics: Metrics, endpoint: str = "other", extra: tuple[tuple[bytes, bytes], ...] = ()
) -> HttpResponse:
    """Answer with a problem, counted, and noted where it is a caller's mistake."""
    problem = problem_document(error)
    metrics.count_request(endpoint, problem.status)
    metrics.count_problem(problem.slug)
    metrics.mistakes.note(endpoint, problem.status, problem.slug, problem.detail)
    return _reply(problem, extra)


def problem_response(error: Exception, extra: tuple[tuple[bytes, bytes], ...] = ()) -> HttpResponse:
    """Answer with a problem."""
    return _reply(problem_document(error), extra)


def _problem_headers(problem: ProblemDocument) -> tuple[tuple[bytes, bytes], ...]:
    return tuple((name.encode(), value.encode()) for name, value in problem_headers(problem).items())


def _reply(problem: ProblemDocument, extra: tuple[tuple[bytes, bytes], ...]) -> HttpResponse:
    return HttpResponse(
        problem.status,
        problem_json(problem),
        media_type=MEDIA_TYPE.encode(),
        extra=_problem_headers(problem) + extra,
        slug=problem.slug,
    )


def headers(reply: HttpResponse, context: Context) -> list[tuple[bytes, bytes]]:
    """The headers of a reply, in the order in which they go out."""
    found: list[tuple[bytes, bytes]] = []
    if reply.status not in (204, 304):
        found.append((b"content-type", reply.media_type))
        found.append((b"content-length", b"%d" % len(reply.body)))
    found += reply.extra
    if context.request_id is not None:
        found.append((b"x-request-id", context.request_id))
    if reply.decision_id is not None:
        found.append((b"tiergate-decision-id", reply.decision_id))
    return found


class ProblemHandler:
    """Answers what endpoints and routing raise; for Starlette's `exception_handlers`."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    async def __call__(self, request: Request, error: Exception) -> Response:
        """Answer one exception."""
        extra: tuple[tuple[bytes, bytes], ...] = ()
        if isinstance(error, HTTPException) and error.headers:
            extra = tuple((name.lower().encode(), value.encode()) for name, value in error.headers.items())
        reply = refused(error, self._metrics, extra=extra)
        response = Response(reply.body, reply.status)
        response.raw_headers = headers(reply, context_of(request.scope["headers"]))
        return response


async def send_response(reply: HttpResponse, context: Context, send: Send) -> None:
    """Send a reply as ASGI messages."""
    await send({"type": "http.response.start", "status": reply.status, "headers": headers(reply, context)})
    await send({"type": "http.response.body", "body": reply.body})


def encode_response(reply: HttpResponse, context: Context, defaults: Iterable[tuple[bytes, bytes]]) -> bytes:
    """A whole answer in HTTP/1.1, for a connection that stays open unless the reply says otherwise."""
    parts = [_STATUS_LINES[reply.status]]
    for name, value in (*defaults, *headers(reply, context)):
        parts += (name, b": ", value, b"\r\n")
    parts += (b"\r\n", reply.body)
    return b"".join(parts)
