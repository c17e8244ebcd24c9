"""HTTP responses, as ASGI messages and as bytes for the wire.

Both forms are made from the same headers in the same order, so that nobody can tell by which path a request went.
INVARIANT (one reply, two forms): tests compare them byte by byte.
"""

from __future__ import annotations

import http
from typing import TYPE_CHECKING

import msgspec
from starlette.exceptions import HTTPException
from starlette.responses import Response

from tiergate.sidecar.api.problems import problem_document
from tiergate.sidecar.native_decisions import NativeDecision
from tiergate.sidecar.request_context import context_of
from tiergate.wire.problem import MEDIA_TYPE, ProblemDocument, problem_headers, problem_json

if TYPE_CHECKING:
    from collections.abc import Iterable

    from starlette.requests import Request
    from starlette.types import Send

    from tiergate.errors import TiergateError
    from tiergate.sidecar.check_service import CheckService
    from tiergate.sidecar.metrics import Metrics
    from tiergate.sidecar.request_context import RequestContext

JSON = b"application/json"

_STATUS_LINES = {
    status.value: b"HTTP/1.1 %d %s\r\n" % (status.value, status.phrase.encode("ascii")) for status in http.HTTPStatus
}


class HttpResponse(msgspec.Struct, frozen=True, gc=False):
    """A status, a body, and the headers that are not the same for all.

    `decision_id` is none if nothing was decided. `decision` is the cached one that may be repeated for the same
    request, or none. `slug` is a problem's type.
    """

    status: int
    body: bytes
    decision_id: bytes | None = None
    media_type: bytes = JSON
    extra: tuple[tuple[bytes, bytes], ...] = ()
    decision: NativeDecision | None = None
    slug: str | None = None


def rejected(
    error: Exception, metrics: Metrics, endpoint: str = "other", extra: tuple[tuple[bytes, bytes], ...] = ()
) -> HttpResponse:
    """Respond with a problem; counts it, and logs a caller's mistake."""
    problem = problem_document(error)
    metrics.count_request(endpoint, problem.status)
    metrics.count_problem(problem.slug)
    metrics.caller_errors.note(endpoint, problem.status, problem.slug, problem.detail)
    return _response(problem, extra)


def reject(service: CheckService, endpoint: str, error: TiergateError) -> HttpResponse:
    """Respond with a problem of a request for decisions; logs it if only an operator can fix it."""
    service.log_failure(error)
    return rejected(error, service.metrics, endpoint)


def problem_response(error: Exception, extra: tuple[tuple[bytes, bytes], ...] = ()) -> HttpResponse:
    """Respond with a problem."""
    return _response(problem_document(error), extra)


def _response(problem: ProblemDocument, extra: tuple[tuple[bytes, bytes], ...]) -> HttpResponse:
    headers_of_problem = ((name.encode(), value.encode()) for name, value in problem_headers(problem).items())
    return HttpResponse(
        problem.status,
        problem_json(problem),
        media_type=MEDIA_TYPE.encode(),
        extra=(*headers_of_problem, *extra),
        slug=problem.slug,
    )


def headers(response: HttpResponse, context: RequestContext) -> list[tuple[bytes, bytes]]:
    """Return the headers of a response, in the order in which they are sent."""
    pairs: list[tuple[bytes, bytes]] = []
    if response.status not in (204, 304):
        pairs.append((b"content-type", response.media_type))
        pairs.append((b"content-length", b"%d" % len(response.body)))
    pairs += response.extra
    if context.request_id is not None:
        pairs.append((b"x-request-id", context.request_id))
    if response.decision_id is not None:
        pairs.append((b"tiergate-decision-id", response.decision_id))
    return pairs


class ProblemHandler:
    """Responds to what endpoints and routing raise; for Starlette's `exception_handlers`."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    async def __call__(self, request: Request, error: Exception) -> Response:
        """Respond to an error."""
        extra: tuple[tuple[bytes, bytes], ...] = ()
        if isinstance(error, HTTPException) and error.headers:
            extra = tuple((name.lower().encode(), value.encode()) for name, value in error.headers.items())
        problem = rejected(error, self._metrics, extra=extra)
        response = Response(problem.body, problem.status)
        response.raw_headers = headers(problem, context_of(request.scope["headers"]))
        return response


async def send_response(response: HttpResponse, context: RequestContext, send: Send) -> None:
    """Send a response as ASGI messages."""
    await send({"type": "http.response.start", "status": response.status, "headers": headers(response, context)})
    await send({"type": "http.response.body", "body": response.body})


def encode_response(response: HttpResponse, context: RequestContext, defaults: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Encode a response in HTTP/1.1, for a connection that stays open unless a header closes it."""
    parts = [_STATUS_LINES[response.status]]
    for name, value in (*defaults, *headers(response, context)):
        parts += (name, b": ", value, b"\r\n")
    parts += (b"\r\n", response.body)
    return b"".join(parts)
