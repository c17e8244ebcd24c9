"""Reading the JSON of responses: objects, lists, and problems as errors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tiergate.errors import CallerError, CheckError, RequestError, UnknownFeatureError, did_you_mean
from tiergate.naming import PROBLEM_TYPE_PREFIX, normalize_subject_id

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tiergate.model import Subject


def is_about(shown: object, subject: Subject) -> bool:
    """Return whether a list belongs to a subject, as far as the list names one."""
    if not isinstance(shown, dict):
        return True
    user = None if subject.user is None else normalize_subject_id(subject.user)
    wanted = (subject.type.value, normalize_subject_id(subject.id), user)
    return (shown.get("type"), shown.get("id"), shown.get("user")) == wanted


def members(content: object) -> Mapping[str, object]:
    """Return the members of a JSON object; raises `ValueError` if it is none."""
    if isinstance(content, dict):
        return content
    raise ValueError("the body is not an object")


def listed(content: object, name: str) -> list[object]:
    """Return a list of a JSON object; raises `ValueError` if it has none."""
    found = members(content).get(name)
    if isinstance(found, list):
        return found
    raise ValueError(f"the body has no list `{name}`")


def caller_error(problem: Mapping[str, object], feature: str) -> CallerError:
    """Convert a problem document (RFC 9457) to the error that the sidecar raised."""
    detail, field, suggestion = (str(problem.get(name, "")) for name in ("detail", "field", "suggestion"))
    if problem.get("type") == f"{PROBLEM_TYPE_PREFIX}unknown-feature":
        return UnknownFeatureError(feature, suggestion or None)
    if problem.get("type") == f"{PROBLEM_TYPE_PREFIX}invalid-request":
        detail = detail.removesuffix(did_you_mean(suggestion)).removeprefix(f"`{field}`").lstrip(": ")
        return CheckError(field, detail, suggestion or None)
    status = problem.get("status")
    return RequestError(status if isinstance(status, int) else 500, str(problem.get("title", "refused")), detail)
