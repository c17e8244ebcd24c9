"""What the endpoints of customers and subscriptions share: the conditions of a write, and the form of answers.

Functions that read a request raise `ParameterError` or `BodyError` if a value is invalid, or `as_of` is too far ahead
of the store's clock, and `RequestError` (400) if `If-Match` is invalid.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from tiergate.admin.instant_filters import instant_filter
from tiergate.admin.json_members import members
from tiergate.admin.loss_gate import parse_loss_token
from tiergate.admin.write_order import MAX_AHEAD, WriteConditions
from tiergate.control.api.request import Response
from tiergate.control.api.request_values import strip_answer_members
from tiergate.control.api.responses import stamp_data
from tiergate.errors import BodyError, BodyProblem, ParameterError
from tiergate.model import format_instant, parse_instant
from tiergate.naming import is_id, path_segment

if TYPE_CHECKING:
    from collections.abc import Callable

    from tiergate.admin.results import SubjectResult
    from tiergate.control.api.request import AdminRequest
    from tiergate.control.api.router import Handler
    from tiergate.model import Instant

ACCEPT_LOSS: Final = "accept_loss"
"""The query parameter with the token of the loss that the caller accepts."""

AS_OF: Final = "as_of"
"""The member of a body, and the query parameter of `DELETE`, with the instant at which a write is true."""

_NO_INSTANT: Final = "must be an instant such as 2026-11-01T00:00:00Z, with its offset"

_read_text = msgspec.json.Decoder(str).decode


def write_conditions(request: AdminRequest) -> WriteConditions:
    """Return the conditions of a write: `If-Match`, `as_of` and `accept_loss`."""
    latest = request.store.clock() + MAX_AHEAD
    as_of = _as_of_parameter(request, latest) if request.method == "DELETE" else _as_of_member(request.body, latest)
    return WriteConditions(request.precondition, as_of, accept_loss_parameter(request))


def _as_of_parameter(request: AdminRequest, latest: Instant) -> Instant | None:
    as_of = instant_parameter(request, AS_OF)
    if as_of is not None and as_of > latest:
        raise ParameterError(AS_OF, _too_far_ahead(latest))
    return as_of


def _as_of_member(body: bytes, latest: Instant) -> Instant | None:
    part = members(body).get(AS_OF)
    if part is None:
        return None
    try:
        as_of = read_instant(_read_text(part), "/as_of")
    except (ValueError, msgspec.DecodeError):
        raise BodyError([BodyProblem("/as_of", "bad-instant", _NO_INSTANT)]) from None
    if as_of > latest:
        raise BodyError([BodyProblem("/as_of", "as-of-ahead", _too_far_ahead(latest))])
    return as_of


def _too_far_ahead(latest: Instant) -> str:
    return f"must not be ahead of the store's clock, which is at {format_instant(latest - MAX_AHEAD)}"


def accept_loss_parameter(request: AdminRequest) -> str:
    """Return the token of the loss that the caller accepts, or ''."""
    text = request.query.get(ACCEPT_LOSS)
    if text is None:
        return ""
    try:
        return parse_loss_token(text)
    except BodyError as error:
        raise ParameterError(ACCEPT_LOSS, error.problems[0].sentence) from None


def read_instant(text: str, pointer: str) -> Instant:
    """Read an instant at a place of a body."""
    try:
        return parse_instant(text)
    except ValueError:
        raise BodyError([BodyProblem(pointer, "bad-instant", _NO_INSTANT)]) from None


def instant_parameter(request: AdminRequest, name: str) -> Instant | None:
    """Return an instant among the query's parameters."""
    return instant_filter(request.query, name)


def tags_parameter(request: AdminRequest) -> tuple[str, ...]:
    """Return the tags of the query, `?tag=eu,beta`."""
    text = request.query.get("tag")
    tags = text.split(",") if text else []
    if not all(is_id(tag) for tag in tags):
        raise ParameterError("tag", f"must be tags separated by commas, not `{text}`")
    return tuple(tags)


# ── Answers ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def writing(
    use_case: Callable[..., SubjectResult], collection: str = "", strip: Callable[[bytes], bytes] = strip_answer_members
) -> Handler:
    """Return the handler of a use case that writes a subject, by the parameters of the path and the body, if any.

    `collection`: the path of the collection that it may add to; `strip`: removes members of the body. The docstring of
    the use case is the summary of the route.
    """

    def handler(request: AdminRequest) -> Response:
        body = () if request.method == "DELETE" else (strip(request.body),)
        return change_subject(request, use_case, *request.params.values(), *body, collection=collection)

    handler.__doc__ = use_case.__doc__
    return handler


def change_subject(
    request: AdminRequest, use_case: Callable[..., SubjectResult], *args: object, collection: str = ""
) -> Response:
    """Run a use case with the conditions of a write as its last argument in one transaction, and answer its result."""
    actor, conditions = request.actor, write_conditions(request)
    return request.change(
        lambda unit: subject_response(use_case(actor, unit, *args, conditions), collection), brief=True
    )


def subject_response(result: SubjectResult, collection: str = "") -> Response:
    """Answer with the result of a write of a subject or of a part of it."""
    if result.data is None:
        return Response.empty(etag=result.etag)
    data = result.data if result.stamp is None else result.data | stamp_data(result.stamp)
    if result.applied is not None:
        data |= {"applied": result.applied}
    location = f"{collection}/{path_segment(str(data['id']))}" if result.created and collection else None
    return Response.json(data, 201 if result.created else 200, etag=result.etag, location=location)
