"""Problem documents (RFC 9457) of every process.

A problem's `type` is a URN that never changes, `title` the same in words, `detail` a sentence about this request. Each
process has its own table from exceptions to problems; the form, the URNs and the headers are the same.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Any, Final

import msgspec

from tiergate.errors import did_you_mean
from tiergate.naming import PROBLEM_TYPE_PREFIX
from tiergate.wire.json import encode

MEDIA_TYPE: Final = "application/problem+json"

CLOSING: Final = frozenset({408, 413, 431})
"""Statuses after which the connection closes, because the rest of the request was not read."""

_STATUS_DETAILS: Final = {404: "there is nothing at this path", 405: "this path does not have this method"}

_Suggestion = Annotated[str, msgspec.Meta(description="What was probably meant.")]


class ProblemDetail(msgspec.Struct, frozen=True, omit_defaults=True):
    """One of several errors: in the body (`pointer`) or in a file (`file`, `line`, `column`)."""

    detail: str
    code: str
    pointer: Annotated[str, msgspec.Meta(description="A JSON Pointer (RFC 6901) into the body.")] | None = None
    file: str | None = None
    line: Annotated[int, msgspec.Meta(ge=0)] | None = None
    column: Annotated[int, msgspec.Meta(ge=0)] | None = None
    suggestion: _Suggestion | None = None


class ProblemDocument(msgspec.Struct, frozen=True, omit_defaults=True):
    """What went wrong (RFC 9457, section 3.1)."""

    type: Annotated[
        str, msgspec.Meta(pattern=f"^{PROBLEM_TYPE_PREFIX}[a-z0-9-]+$", extra_json_schema={"format": "uri"})
    ]
    title: str
    status: int
    detail: str
    field: Annotated[str, msgspec.Meta(description="A JSON Pointer into the body, or a query parameter.")] | None = None
    suggestion: _Suggestion | None = None
    errors: tuple[ProblemDetail, ...] = ()
    etag: (
        Annotated[str, msgspec.Meta(pattern='^"[0-9]+(-[0-9a-f]{32})?"$', description="The current entity tag.")] | None
    ) = None
    impact: dict[str, Any] | None = None
    accept_loss: Annotated[str, msgspec.Meta(description="The token that accepts the loss.")] | None = None

    @property
    def slug(self) -> str:
        """The last part of the type, such as `unknown-feature`."""
        return self.type.removeprefix(PROBLEM_TYPE_PREFIX)


def problem(
    title: str,
    status: int,
    detail: str,
    suggestion: str | None = None,
    *,
    slug: str | None = None,
    field: str | None = None,
    errors: tuple[ProblemDetail, ...] = (),
) -> ProblemDocument:
    """Make a problem. The slug is the title with hyphens unless given; the suggestion is added to the detail."""
    slug = title.lower().replace(" ", "-") if slug is None else slug
    return ProblemDocument(
        PROBLEM_TYPE_PREFIX + slug, title, status, detail + did_you_mean(suggestion), field, suggestion, errors
    )


def status_problem(status: int, detail: str) -> ProblemDocument:
    """Make the problem of an HTTP status that routing gave; `detail` if the status has no sentence of its own."""
    return problem(HTTPStatus(status).phrase.lower(), status, _STATUS_DETAILS.get(status, detail.lower()))


def problem_headers(problem: ProblemDocument) -> dict[str, str]:
    """Return the headers that belong to a problem, besides its media type."""
    headers: dict[str, str] = {}
    if problem.status == HTTPStatus.UNAUTHORIZED:
        headers["www-authenticate"] = 'Bearer realm="tiergate"'
    if problem.status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers["retry-after"] = "5" if problem.slug == "read-only" else "1"
    if problem.status in CLOSING:
        headers["connection"] = "close"
    if problem.etag is not None:
        headers["etag"] = problem.etag
    return headers


def problem_json(problem: ProblemDocument) -> bytes:
    """Encode a problem as JSON."""
    return encode(problem)
