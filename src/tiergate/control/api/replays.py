"""The endpoints that repeat a decision of the past and explain one: `POST /v1/replay` and `POST /v1/explain`.

An explanation is requested as from a sidecar, and has the same form. It is based on the state of the store at that
instant, which a sidecar may have received a little later, and on no usage but that in the check.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from tiergate.admin.decision_replay import ReplayRequest, check_resource, replay
from tiergate.control.api.request import AdminRequest, Response
from tiergate.control.api.request_values import decode_parts
from tiergate.control.api.router import Endpoint
from tiergate.engine import decision_json, reasoning_sentences
from tiergate.engine.decision_inputs import DecisionBasis, read_basis
from tiergate.errors import BodyError, BodyProblem, CheckError, RequestError
from tiergate.model import format_instant, parse_instant
from tiergate.permissions import Action, Resource
from tiergate.publish.bundle_cache import BundleCache
from tiergate.wire.check_reader import locate, read_check, read_check_at

if TYPE_CHECKING:
    from tiergate.admin.decision_replay import Replay

_NOBODY: Final = Resource.customer_of("*")


class _Body(msgspec.Struct, forbid_unknown_fields=True):
    check: msgspec.Raw
    at: str | msgspec.UnsetType = msgspec.UNSET
    publication: int | msgspec.UnsetType = msgspec.UNSET
    revision: str | msgspec.UnsetType = msgspec.UNSET
    basis: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


def endpoints() -> list[Endpoint]:
    """Return the routes."""
    bundles = BundleCache()

    def replay_check(request: AdminRequest) -> Response:
        """Make a decision of the past again: the same bytes, and the reasoning behind it, as data and in sentences."""
        wanted, text = _read_replay(request)
        result = _run(request, bundles, wanted, text, "/check")
        past = result.past
        return Response.json(
            {
                "decision": msgspec.Raw(decision_json(result.explanation.decision)),
                "at": format_instant(past.at),
                "publication": past.publication.sequence,
                "revision": past.publication.revision,
                "position": past.state.position,
                "redacted": past.state.redacted,
                "sentences": reasoning_sentences(result.reasoning),
                "reasoning": result.reasoning,
            }
        )

    def explain(request: AdminRequest) -> Response:
        """Explain how a check is decided now, or was `at` a moment: the reasoning as data and in sentences."""
        result = _run(request, bundles, _read_explain(request), request.body, "")
        members = msgspec.structs.asdict(result.reasoning)
        return Response.json(
            {
                **members,
                "sentences": reasoning_sentences(result.reasoning),
                "position": result.past.state.position,
                "redacted": result.past.state.redacted,
            }
        )

    return [
        Endpoint("POST", "/v1/explain", Action.VIEW, explain, _explain_resource),
        Endpoint("POST", "/v1/replay", Action.VIEW, replay_check, _replay_resource),
    ]


def _run(request: AdminRequest, bundles: BundleCache, wanted: ReplayRequest, text: bytes, pointer: str) -> Replay:
    """Repeat a decision. `text`: of the check; `pointer`: to the check in the body."""
    try:
        return replay(request.actor, request.store, bundles, wanted)
    except CheckError as error:
        raise _wrong_value(locate(error.field, text, pointer), error.detail, error.suggestion) from None


def _explain_resource(request: AdminRequest) -> Resource:
    try:
        return _resource(request, _read_explain(request))
    except (BodyError, RequestError):
        return _NOBODY


def _replay_resource(request: AdminRequest) -> Resource:
    try:
        return _resource(request, _read_replay(request)[0])
    except (BodyError, RequestError):
        return _NOBODY


def _resource(request: AdminRequest, wanted: ReplayRequest) -> Resource:
    return request.read(lambda unit: check_resource(unit, wanted.check.subject))


def _read_explain(request: AdminRequest) -> ReplayRequest:
    try:
        check, at = read_check_at(request.body)
    except CheckError as error:
        raise _wrong_value(error.field, error.detail, error.suggestion) from None
    return ReplayRequest(check, at)


def _read_replay(request: AdminRequest) -> tuple[ReplayRequest, bytes]:
    body = decode_parts(request, _Body)
    text = bytes(body.check)
    try:
        check = read_check(text, "/check")
    except CheckError as error:
        raise _wrong_value(error.field, error.detail, error.suggestion) from None
    try:
        at = None if body.at is msgspec.UNSET else parse_instant(body.at)
    except ValueError as error:
        raise _wrong_value("/at", str(error)) from None
    try:
        basis = DecisionBasis() if body.basis is msgspec.UNSET else read_basis(body.basis)
    except ValueError as error:
        raise _wrong_value("/basis", str(error)) from None
    sequence = None if body.publication is msgspec.UNSET else body.publication
    revision = None if body.revision is msgspec.UNSET else body.revision
    if sequence is not None and not 0 < sequence < 2**62:
        raise _wrong_value("/publication", "must be the number of a publication")
    if basis.position is not None and basis.position < 0:
        raise _wrong_value("/basis/position", "must not be negative")
    return ReplayRequest(check, at, sequence, revision, basis), text


def _wrong_value(pointer: str, detail: str, suggestion: str | None = None) -> BodyError:
    return BodyError([BodyProblem(pointer, "wrong-value", detail, suggestion)])
