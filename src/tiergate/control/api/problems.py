"""The control plane's one table from exceptions to HTTP answers: problem documents (RFC 9457).

A problem's `type` is a URN that never changes, `title` says the same in words, `detail` says it of this request. Where
several things are wrong, `errors` names each: with its JSON Pointer in the body, or its place in a file.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Final

import msgspec
from starlette.exceptions import HTTPException

from tiergate.errors import (
    AuthorError,
    BodyError,
    CallerError,
    ConflictError,
    ForbiddenError,
    LossError,
    NotFoundError,
    OperatorError,
    OutdatedReviewError,
    ParameterError,
    PreconditionError,
    ReadOnlyStoreError,
    RequestError,
    UnknownFeatureError,
    did_you_mean,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tiergate.errors import BodyProblem
    from tiergate.model import Problem

PROBLEM_TYPE: Final = "application/problem+json"

_URN: Final = "urn:tiergate:problem:"
_NOT_JSON: Final = frozenset({"bad-json", "not-utf-8", "too-deep", "bad-character"})
_SAID: Final = {404: "there is nothing at this path", 405: "this path does not know the method"}
_CLOSING: Final = frozenset({408, 413})


class ProblemDetail(msgspec.Struct, frozen=True, omit_defaults=True):
    """One of several things that are wrong. `pointer`: in the body; `file`, `line`, `column`: in a file."""

    detail: str
    code: str
    pointer: str | None = None
    file: str | None = None
    line: int | None = None
    column: int | None = None
    suggestion: str | None = None


class ProblemDocument(msgspec.Struct, frozen=True, omit_defaults=True):
    """What went wrong (RFC 9457, section 3.1), with members of our own."""

    type: str
    title: str
    status: int
    detail: str
    suggestion: str | None = None
    errors: tuple[ProblemDetail, ...] = ()
    etag: str | None = None
    impact: dict[str, object] | None = None
    accept_loss: str | None = None

    @property
    def slug(self) -> str:
        """The last part of the type, such as `not-found`."""
        return self.type.removeprefix(_URN)


def problem_document(error: Exception) -> ProblemDocument:
    """Say an exception as a problem. One that nobody foresaw says nothing of itself."""
    match error:
        case BodyError(problems=problems):
            return _body(problems)
        case AuthorError(problems=problems):
            return _files(problems)
        case CallerError():
            return _mistake(error)
        case HTTPException(status_code=status):
            phrase = HTTPStatus(status).phrase.lower()
            return _problem(phrase.replace(" ", "-"), phrase, status, _SAID.get(status) or str(error.detail).lower())
        case ReadOnlyStoreError():
            detail = "the store is read-only now: it can be read, and takes no changes until its database does"
            return _problem("read-only", "read-only", 503, detail)
        case OperatorError():
            return _problem("unavailable", "unavailable", 503, "the control plane cannot do this now; its log says why")
        case _:
            return _problem("internal-error", "internal error", 500, "the control plane's log says more")


def _mistake(error: CallerError) -> ProblemDocument:
    match error:
        case NotFoundError(suggestion=suggestion):
            return _problem("not-found", "not found", 404, str(error), suggestion)
        case UnknownFeatureError(suggestion=suggestion):
            return _problem("unknown-feature", "unknown feature", 404, str(error), suggestion)
        case PreconditionError(etag=etag):
            found = _problem("precondition-failed", "changed by somebody else", 412, str(error))
            return msgspec.structs.replace(found, etag=f'"{etag}"')
        case OutdatedReviewError(tag=tag):
            found = _problem("precondition-failed", "changed by somebody else", 412, str(error))
            return msgspec.structs.replace(found, etag=f'"{tag}"')
        case LossError(code=code, impact=impact, token=token):
            found = _problem(code, code.replace("-", " "), 409, str(error))
            return msgspec.structs.replace(found, impact=impact, accept_loss=token or None)
        case ConflictError(code=code, problems=problems):
            found = _problem(code, code.replace("-", " "), 409, str(error))
            return msgspec.structs.replace(found, errors=_details(problems))
        case ForbiddenError():
            return _problem("forbidden", "forbidden", 403, str(error))
        case ParameterError():
            return _problem("invalid-request", "invalid request", 400, str(error))
        case RequestError(status=status, title=title, detail=detail, suggestion=suggestion):
            sentence = detail + did_you_mean(suggestion)
            return _problem(title.lower().replace(" ", "-"), title, status, sentence, suggestion)
        case _:
            return _problem("invalid-request", "invalid request", 400, str(error))


def problem_headers(problem: ProblemDocument) -> dict[str, str]:
    """The headers that go with a problem, beside its media type."""
    found: dict[str, str] = {}
    if problem.status == 401:
        found["www-authenticate"] = 'Bearer realm="tiergate"'
    if problem.status == 503:
        found["retry-after"] = "5" if problem.slug == "read-only" else "1"
    if problem.status in _CLOSING:
        found["connection"] = "close"
    if problem.etag is not None:
        found["etag"] = problem.etag
    return found


def _problem(slug: str, title: str, status: int, detail: str, suggestion: str | None = None) -> ProblemDocument:
    return ProblemDocument(_URN + slug, title, status, detail, suggestion)


def _body(problems: Sequence[BodyProblem]) -> ProblemDocument:
    unreadable = any(one.code in _NOT_JSON for one in problems)
    errors = _details(problems)
    slug, title = ("malformed-body", "malformed body") if unreadable else ("invalid-body", "invalid body")
    return ProblemDocument(_URN + slug, title, 400 if unreadable else 422, _many(len(errors)), None, errors)


def _details(problems: Sequence[BodyProblem]) -> tuple[ProblemDetail, ...]:
    return tuple(
        ProblemDetail(problem.sentence, problem.code, pointer=problem.pointer, suggestion=problem.suggestion)
        for problem in problems
    )


def _files(problems: Sequence[Problem]) -> ProblemDocument:
    errors = tuple(
        ProblemDetail(problem.sentence, problem.code, None, problem.file, problem.line, problem.column)
        for problem in problems
    )
    return ProblemDocument(_URN + "invalid-files", "invalid files", 422, _many(len(errors)), None, errors)


def _many(count: int) -> str:
    return "one thing is wrong" if count == 1 else f"{count} things are wrong"
