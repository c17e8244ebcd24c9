"""From a decision to AuthZEN's. The context is the decision in the form of our own API, without `allowed`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tiergate.sidecar.api.problems import problem_document
from tiergate.wire.decision import decision_json
from tiergate.wire.json import encode

if TYPE_CHECKING:
    from tiergate.errors import TiergateError
    from tiergate.model import Decision
    from tiergate.sidecar.access_decisions import ServedAccess
    from tiergate.sidecar.api.authzen.questions import Refusal

_ALLOWED: Final = b'{"allowed":true,'
_DENIED: Final = b'{"allowed":false,'


def decided(decision: Decision) -> bytes:
    """Encode a decision of the check service."""
    said = decision_json(decision)
    if decision.allowed:
        return b'{"decision":true,"context":{%b}' % said.removeprefix(_ALLOWED)
    return b'{"decision":false,"context":{%b}' % said.removeprefix(_DENIED)


def accessed(served: ServedAccess) -> bytes:
    """Encode a decision on access."""
    decision = served.decision
    said = {
        "reason": decision.reason.value,
        "policies": decision.policies,
        "revision": served.revision,
        "stale": served.stale,
    }
    return encode({"decision": decision.allowed, "context": said})


def refused(refusal: Refusal) -> bytes:
    """Encode a refusal."""
    return encode({"decision": False, "context": {"reason": refusal.reason, "detail": refusal.detail}})


def failed(error: TiergateError) -> bytes:
    """Encode what is wrong with one evaluation of several."""
    problem = problem_document(error)
    said = {"status": problem.status, "message": problem.detail}
    return encode({"decision": False, "context": {"reason": problem.slug.replace("-", "_"), "error": said}})
