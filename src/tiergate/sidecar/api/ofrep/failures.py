"""From an error to a failure of OFREP."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tiergate.errors import CheckError, RequestError, UnknownFeatureError
from tiergate.sidecar.api.problems import problem_document
from tiergate.sidecar.api.responses import HttpResponse
from tiergate.wire.decision import UNSET
from tiergate.wire.json import encode
from tiergate.wire.ofrep import (
    FLAG_NOT_FOUND,
    GENERAL,
    INVALID_CONTEXT,
    PARSE_ERROR,
    TARGETING_KEY_MISSING,
    FlagFailure,
)
from tiergate.wire.ofrep_reader import TargetingKeyError
from tiergate.wire.problem import problem_headers

if TYPE_CHECKING:
    from tiergate.errors import TiergateError
    from tiergate.sidecar.check_service import CheckService
    from tiergate.sidecar.metrics import Metrics

_BAD_REQUEST: Final = 400
_MAX_KEY: Final = 200
_MEMBERS: Final = {"subject.id": "targetingKey", "subject.user": "user"}


def failure(error: TiergateError, key: str | None) -> FlagFailure:
    """Return the failure of a flag, or of a request for all."""
    details = problem_document(_located(error)).detail
    return FlagFailure(key=UNSET if key is None else key[:_MAX_KEY], error_code=_code(error), error_details=details)


def reject(service: CheckService, endpoint: str, error: TiergateError, key: str | None = None) -> HttpResponse:
    """Respond with a failure; counts it, and logs a caller's mistake or what only an operator can fix."""
    service.log_failure(error)
    return rejected(service.metrics, endpoint, error, key)


def rejected(metrics: Metrics, endpoint: str, error: TiergateError, key: str | None = None) -> HttpResponse:
    """Respond with a failure; counts it, and logs a caller's mistake."""
    problem = problem_document(_located(error))
    metrics.count_request(endpoint, problem.status)
    metrics.count_problem(problem.slug)
    metrics.caller_errors.note(endpoint, problem.status, problem.slug, problem.detail)
    extra = tuple((name.encode(), value.encode()) for name, value in problem_headers(problem).items())
    return HttpResponse(problem.status, encode(failure(error, key)), extra=extra, slug=problem.slug)


def _located(error: TiergateError) -> TiergateError:
    """Return an error of the engine with the member of the context that it is about."""
    if not isinstance(error, CheckError) or error.field.startswith("/"):
        return error
    member = _MEMBERS.get(error.field, error.field)
    return CheckError(f"/context/{member}", error.detail, error.suggestion)


def _code(error: TiergateError) -> str:
    match error:
        case TargetingKeyError():
            return TARGETING_KEY_MISSING
        case CheckError():
            return INVALID_CONTEXT
        case UnknownFeatureError():
            return FLAG_NOT_FOUND
        case RequestError(status=status) if status == _BAD_REQUEST:
            return PARSE_ERROR
        case _:
            return GENERAL
