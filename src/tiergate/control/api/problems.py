"""The control plane's table from exceptions to problem documents."""

from __future__ import annotations

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
    NotKeptError,
    OperatorError,
    OutdatedReviewError,
    PreconditionError,
    ReadOnlyStoreError,
    RequestError,
    UnknownFeatureError,
)
from tiergate.wire.problem import ProblemDetail, ProblemDocument, problem, status_problem

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tiergate.errors import BodyProblem

_UNREADABLE: Final = frozenset({"bad-json", "not-utf-8", "too-deep", "bad-character"})


def problem_document(error: Exception) -> ProblemDocument:
    """Convert an exception to a problem; an unforeseen one reveals nothing."""
    match error:
        case BodyError(problems=problems):
            is_unreadable = any(entry.code in _UNREADABLE for entry in problems)
            title, status = ("malformed body", 400) if is_unreadable else ("invalid body", 422)
            return problem(title, status, _count(problems), errors=_details(problems))
        case AuthorError(problems=problems):
            errors = tuple(
                ProblemDetail(entry.sentence, entry.code, None, entry.file, entry.line, entry.column)
                for entry in problems
            )
            return problem("invalid files", 422, _count(problems), errors=errors)
        case CallerError():
            return _caller_problem(error)
        case HTTPException(status_code=status):
            return status_problem(status, str(error.detail))
        case ReadOnlyStoreError():
            return problem("read-only", 503, "the store is read-only until its database accepts changes again")
        case OperatorError():
            return problem("unavailable", 503, "the control plane cannot do this now; see its log")
        case _:
            return problem("internal error", 500, "see the control plane's log")


def _caller_problem(error: CallerError) -> ProblemDocument:
    match error:
        case NotFoundError(kind=kind, id=id_, suggestion=suggestion):
            return problem("not found", 404, f"no {kind} `{id_}`", suggestion)
        case UnknownFeatureError(feature=feature, suggestion=suggestion):
            return problem("unknown feature", 404, f"no feature `{feature}` in the catalog", suggestion)
        case NotKeptError():
            return problem("not kept", 410, str(error))
        case PreconditionError(etag=etag):
            return _outdated(error, str(etag))
        case OutdatedReviewError(tag=tag):
            return _outdated(error, tag)
        case LossError(code=code, impact=impact, token=token):
            document = problem(code.replace("-", " "), 409, str(error), slug=code)
            return msgspec.structs.replace(document, impact=impact, accept_loss=token or None)
        case ConflictError(code=code, problems=problems):
            return problem(code.replace("-", " "), 409, str(error), slug=code, errors=_details(problems))
        case ForbiddenError():
            return problem("forbidden", 403, str(error))
        case RequestError(status=status, title=title, detail=detail, suggestion=suggestion):
            return problem(title, status, detail, suggestion)
        case _:
            return problem("invalid request", 400, str(error))


def _outdated(error: CallerError, tag: str) -> ProblemDocument:
    document = problem("changed by somebody else", 412, str(error), slug="precondition-failed")
    return msgspec.structs.replace(document, etag=f'"{tag}"')


def _details(problems: Sequence[BodyProblem]) -> tuple[ProblemDetail, ...]:
    return tuple(
        ProblemDetail(entry.sentence, entry.code, entry.pointer, suggestion=entry.suggestion) for entry in problems
    )


def _count(problems: Sequence[object]) -> str:
    return "one thing is wrong" if len(problems) == 1 else f"{len(problems)} things are wrong"
