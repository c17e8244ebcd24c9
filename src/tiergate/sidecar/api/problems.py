"""The one table from exceptions to HTTP answers: problem documents (RFC 9457).

A problem's `type` is a URN that never changes, `title` says the same in words, `detail` says it of this request. Where
one field is at fault, `field` points to it, and `suggestion` is the likely id where something was nearly right.
"""

from __future__ import annotations

from http import HTTPStatus

import msgspec
from starlette.exceptions import HTTPException

from tiergate.errors import CheckError, OperatorError, RequestError, UnknownFeatureError, UnreadableError, did_you_mean

MEDIA_TYPE = b"application/problem+json"

CLOSING = frozenset({408, 413, 431})
"""Statuses after which the connection closes, because the rest of the request was not read."""

_URN = "urn:tiergate:problem:"
_OWN_TITLES = frozenset({400, 403})
_HEADERS: dict[int, tuple[tuple[bytes, bytes], ...]] = {
    401: ((b"www-authenticate", b'Bearer realm="tiergate"'),),
    503: ((b"retry-after", b"1"),),
}


class ProblemDocument(msgspec.Struct, frozen=True, omit_defaults=True):
    """What went wrong (RFC 9457, section 3.1), with two members of our own."""

    type: str
    title: str
    status: int
    detail: str
    field: str | None = None
    suggestion: str | None = None

    @property
    def slug(self) -> str:
        """The last part of the type, such as `unknown-feature`."""
        return self.type.removeprefix(_URN)


def document(error: Exception, at: str = "") -> ProblemDocument:
    """Say an exception as a problem. `at` points to the check in its request.

    An exception that nobody foresaw says nothing of itself.
    """
    match error:
        case CheckError(field=field, detail=detail, suggestion=suggestion):
            # The detail alone reads as a sentence about the field; the text names it too, for people.
            shown = (f"`{field}`: {detail}" if field else f"the body {detail}") + did_you_mean(suggestion)
            return _problem("invalid-request", "invalid request", 400, shown, field, suggestion)
        case UnknownFeatureError(suggestion=suggestion):
            return _problem("unknown-feature", "unknown feature", 404, str(error), f"{at}/feature", suggestion)
        case RequestError(status=status, title=title, detail=detail):
            return _problem(title.lower().replace(" ", "-"), title, status, detail)
        case HTTPException(status_code=status):
            phrase = HTTPStatus(status).phrase.lower()
            return _problem(phrase.replace(" ", "-"), phrase, status, _detail_of(error))
        case UnreadableError(reason=reason):
            detail = f"the data to decide by cannot be read: {reason}"
            return _problem("cannot-decide", "cannot decide", 503, detail)
        case OperatorError():
            return _problem("cannot-decide", "cannot decide", 503, "the data to decide by cannot be read")
        case _:
            return _problem("internal-error", "internal error", 500, "the sidecar's log says more")


def render(problem: ProblemDocument) -> bytes:
    """Write a problem as JSON."""
    return msgspec.json.encode(problem)


def problem_headers(status: int) -> tuple[tuple[bytes, bytes], ...]:
    """The headers that go with any problem of this status, beside its media type."""
    return _HEADERS.get(status, ()) + (((b"connection", b"close"),) if status in CLOSING else ())


def _problem(
    slug: str, title: str, status: int, detail: str, field: str | None = None, suggestion: str | None = None
) -> ProblemDocument:
    return ProblemDocument(_URN + slug, title, status, detail, field, suggestion)


def _detail_of(error: HTTPException) -> str:
    match error.status_code:
        case 404:
            return "there is nothing at this path"
        case 405:
            return "this path does not know the method"
        case _:
            return error.detail.lower()
