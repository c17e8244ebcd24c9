"""The sidecar's table from exceptions to problem documents."""

from __future__ import annotations

from starlette.exceptions import HTTPException

from tiergate.errors import CheckError, OperatorError, RequestError, UnknownFeatureError, UnreadableError
from tiergate.wire.problem import ProblemDocument, problem, status_problem


def problem_document(error: Exception, at: str = "") -> ProblemDocument:
    """Convert an exception to a problem; an unforeseen one reveals nothing. `at` points to the check in its request."""
    match error:
        case CheckError(field=field, detail=detail, suggestion=suggestion):
            # The detail alone is a sentence about the field; for people the text names the field, too.
            text = f"`{field}`: {detail}" if field else f"the body {detail}"
            return problem("invalid request", 400, text, suggestion, field=field)
        case UnknownFeatureError(feature=feature, suggestion=suggestion):
            detail = f"no feature `{feature}` in the catalog"
            return problem("unknown feature", 404, detail, suggestion, field=f"{at}/feature")
        case RequestError(status=status, title=title, detail=detail, suggestion=suggestion):
            return problem(title, status, detail, suggestion, field=error.field)
        case HTTPException(status_code=status):
            return status_problem(status, str(error.detail))
        case UnreadableError(reason=reason):
            return problem("cannot decide", 503, f"cannot read the data to decide by: {reason}")
        case OperatorError():
            return problem("cannot decide", 503, "cannot read the data to decide by")
        case _:
            return problem("internal error", 500, "see the sidecar's log")
